"""The network while it learns: with batch norm before each ReLU, which is folded away at the end.

Ioffe, Szegedy, "Batch Normalization", ICML 2015. In inference a batch norm is an affine map of each
channel, and one that follows a convolution directly is part of it: the saved network has none, and
gives the same to rounding.
"""

import copy

import torch
from torch import nn

from nodes.networks.superpoint import Layer, SuperPoint, Widths


def make_network(widths: Widths, *, batch_norm: bool, seed: int) -> SuperPoint:
    """Return a network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SuperPoint(widths)
        for layer in _layers(network):
            nn.init.kaiming_normal_(layer.conv.weight, nonlinearity="relu")
            nn.init.zeros_(layer.conv.bias)  # type: ignore[arg-type]
    return add_batch_norm(network) if batch_norm else network


def add_batch_norm(network: SuperPoint) -> SuperPoint:
    """Put a batch norm between the convolution and the ReLU of each layer, and return the network.

    The last layers of the heads have no ReLU, and get none.
    """
    for layer in _layers(network):
        if layer.relu:
            norm = nn.BatchNorm2d(layer.conv.out_channels)
            layer.conv = nn.Sequential(layer.conv, norm)  # type: ignore[assignment]
    return network


def folded(network: SuperPoint) -> SuperPoint:
    """Return a plain copy, on the CPU, that gives in inference what the network does."""
    plain = copy.deepcopy(network).cpu().eval()
    for layer in _layers(plain):
        match list(layer.conv.children()):
            case [nn.Conv2d() as conv, nn.BatchNorm2d() as norm]:
                layer.conv = nn.utils.fuse_conv_bn_eval(conv, norm)
    return plain


def _layers(network: SuperPoint) -> list[Layer]:
    return [layer for layer in network.children() if isinstance(layer, Layer)]
