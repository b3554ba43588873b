"""Weights of SuperPoint that nobody trained, but that answer like trained ones.

The first layer sees dark spots: its weights sum to 0 and all but the central one are positive, so
that a picture without content gives 0 everywhere, also beside the zeros around it. The layers
behind keep that, and the dustbin wins where there is nothing. Where there is something, it fires
somewhere in the cell.
"""

import math

import torch

from nodes.networks.superpoint import SuperPoint, Widths

SMALL = Widths((8, 8, 16, 16), 32, 32)


def generated_superpoint(
    widths: Widths = SMALL, *, batch_norm: bool = False, seed: int = 0
) -> SuperPoint:
    """Return a network that finds keypoints in texture and none in a plain picture."""
    dice = torch.Generator().manual_seed(seed)
    network = SuperPoint(widths, batch_norm=batch_norm)
    with torch.no_grad():
        for name, layer in network.named_children():
            weight = layer.conv.weight
            inputs = weight[0].numel()
            values = torch.randn(weight.shape, generator=dice) * math.sqrt(2 / inputs)
            if name == "conv1a":
                values = values.abs()
                values[:, :, 1, 1] -= values.sum(dim=(2, 3))
            weight.copy_(values * (12 if name == "convPb" else 1))
            layer.conv.bias.zero_()
        network.convPb.conv.bias[-1] = 4.0
    return network.eval()


def with_random_statistics(network: SuperPoint, seed: int = 0) -> SuperPoint:
    """Give every batch norm of a network statistics of its own, as training would."""
    dice = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=dice))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=dice) * 0.1)
    return network
