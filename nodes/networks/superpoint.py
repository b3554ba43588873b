"""The network of SuperPoint, of any width, with or without batch norm.

DeTone, Malisiewicz, Rabinovich, "SuperPoint: Self-Supervised Interest Point Detection and
Description", CVPR Workshops 2018, section 3. An encoder of four blocks divides the image into cells
of 8 x 8 pixels; two heads tell for each cell where its keypoint is, and describe it.

Letters in shapes: B batch, H W image, D descriptor.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

CELL = 8
"""Side of a cell, pixels."""
CHANNELS = CELL * CELL + 1
"""One channel for each pixel of a cell, row by row, and the dustbin for "no keypoint here"."""
STRIP_PX = 64
"""Rows that a CPU takes at once through the first block."""
BATCH_NORM_EPS = 1e-3  # of the published re-implementation, whose weights need it


@dataclass(frozen=True)
class Widths:
    """Numbers of channels; the defaults are the paper's."""

    blocks: tuple[int, int, int, int] = (64, 64, 128, 128)
    """Of both layers of each block of the encoder."""
    heads: int = 256
    """Of the first layer of each head."""
    descriptor: int = 256

    def __post_init__(self) -> None:
        for name, width in (
            *((f"blocks[{i}]", width) for i, width in enumerate(self.blocks)),
            ("heads", self.heads),
            ("descriptor", self.descriptor),
        ):
            if width < 1:
                raise ValueError(f"{name} must be at least 1, not {width}")


class Layer(nn.Module):
    """A convolution, then ReLU, then (as in the open re-implementation) batch norm."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, relu: bool = True, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        self.norm = nn.BatchNorm2d(outputs, eps=BATCH_NORM_EPS) if batch_norm else None
        self.relu = relu

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return (B, outputs, H, W) for values (B, inputs, H, W)."""
        values = self.conv(values)
        if self.relu:
            values = functional.relu(values, inplace=True)
        return values if self.norm is None else self.norm(values)


class SuperPoint(nn.Module):
    """Encoder, detector head (convPa, convPb) and descriptor head (convDa, convDb)."""

    def __init__(self, widths: Widths | None = None, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.widths = widths or Widths()
        self.batch_norm = batch_norm
        w1, w2, w3, w4 = self.widths.blocks
        heads = self.widths.heads
        self.conv1a = Layer(1, w1, 3, batch_norm=batch_norm)
        self.conv1b = Layer(w1, w1, 3, batch_norm=batch_norm)
        self.conv2a = Layer(w1, w2, 3, batch_norm=batch_norm)
        self.conv2b = Layer(w2, w2, 3, batch_norm=batch_norm)
        self.conv3a = Layer(w2, w3, 3, batch_norm=batch_norm)
        self.conv3b = Layer(w3, w3, 3, batch_norm=batch_norm)
        self.conv4a = Layer(w3, w4, 3, batch_norm=batch_norm)
        self.conv4b = Layer(w4, w4, 3, batch_norm=batch_norm)
        self.convPa = Layer(w4, heads, 3, batch_norm=batch_norm)
        self.convPb = Layer(heads, CHANNELS, 1, relu=False, batch_norm=batch_norm)
        self.convDa = Layer(w4, heads, 3, batch_norm=batch_norm)
        self.convDb = Layer(heads, self.widths.descriptor, 1, relu=False, batch_norm=batch_norm)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what both heads say of grey images from 0 to 1.

        images: (B, 1, H, W) float, H and W multiples of 8. Returns logits (B, 65, H/8, W/8) and
        descriptors (B, D, H/8, W/8) of any length: the norm is taken where they are sampled.
        """
        if images.device.type == "cpu" and not torch.is_grad_enabled():
            values = self._first_block_in_strips(images)
        else:
            values = pool(self.conv1b(self.conv1a(images)))
        values = pool(self.conv2b(self.conv2a(values)))
        values = pool(self.conv3b(self.conv3a(values)))
        values = self.conv4b(self.conv4a(values))
        return self.convPb(self.convPa(values)), self.convDb(self.convDa(values))

    def _first_block_in_strips(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the first block would, pooled, strip after strip.

        Its activations are the largest by far. A strip of them stays in the cache and in memory
        that the allocator keeps, which spares a CPU a fifth of its time.
        """
        height = images.shape[2]
        strips = []
        for top in range(0, height, STRIP_PX):
            bottom = min(top + STRIP_PX, height)
            first, last = max(top - 2, 0), min(bottom + 2, height)
            values = images[:, :, first:last]
            for layer in (
                self.conv1a,
                self.conv1b,
            ):  # each makes the rows at a cut wrong: drop them
                values = layer(values)
                values = values[:, :, int(first > 0) : values.shape[2] - int(last < height)]
            strips.append(pool(values))
        return torch.cat(strips, dim=2)


def pool(values: torch.Tensor) -> torch.Tensor:
    """Return the largest of each 2 x 2 pixels; values: (B, C, H, W), H and W even.

    On a CPU two maxima take a quarter of the time of PyTorch's pooling where channels are few.
    """
    if values.device.type != "cpu" or torch.is_grad_enabled():
        return functional.max_pool2d(values, 2)
    rows = torch.maximum(values[:, :, 0::2], values[:, :, 1::2])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])
