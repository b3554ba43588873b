"""Octaves: an image at half, a quarter, an eighth of its size, and the keypoints of all of them.

SuperPoint knows one scale. What looks like a corner from afar is found in a reduced image, and
described with its wider surroundings.

All shapes are fixed, so that a CUDA graph can hold it. Letters in shapes: B batch, H W image,
K keypoints.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.nn import functional

from nodes.networks.keypoint_head import Batch, find_batch, in_order
from nodes.networks.selection import Selection
from nodes.networks.superpoint import CELL, SuperPoint


def find_in_octaves(
    network: SuperPoint, images: torch.Tensor, masks: torch.Tensor, selection: Selection
) -> Batch:
    """Return the best keypoints of all octaves of images (B, 1, H, W) from 0 to 1.

    masks: (B, H, W) uint8; no keypoint lies where it is 0.
    """
    sizes = octaves(images, masks, selection.octaves)
    found = [_find(network, *one, selection) for one in sizes]
    return found[0] if len(found) == 1 else join(found, selection.max_keypoints)


def octaves(
    images: torch.Tensor, masks: torch.Tensor, number: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield images (B, 1, H, W) and masks (B, H, W) uint8 as they are, halved, and so on.

    A pixel is the mean of four, and allowed where all four are; an odd last row or column is left
    out. There are `number` of them, or fewer where an image would have no pixels.
    """
    yield images, masks
    for _ in range(number - 1):
        if min(images.shape[2:]) < 2:
            return
        images = functional.avg_pool2d(images, 2)
        masks = _halved(masks)
        yield images, masks


def join(found: Sequence[Batch], max_keypoints: int) -> Batch:
    """Return the best keypoints of all octaves, with points and scales in pixels of the image."""
    full_size = [_enlarged(batch, octave) for octave, batch in enumerate(found)]
    joined = Batch(*(torch.cat(parts, dim=1) for parts in zip(*full_size, strict=True)))
    return in_order(joined, max_keypoints)


def _find(
    network: SuperPoint, images: torch.Tensor, masks: torch.Tensor, selection: Selection
) -> Batch:
    """Return the keypoints of images of one size, in pixels of it."""
    height, width = masks.shape[1:]
    # Repeating the last pixels makes no edge, as zeros would.
    padded = functional.pad(images, (0, -width % CELL, 0, -height % CELL), mode="replicate")
    logits, descriptors = network(padded)
    return find_batch(logits, descriptors, masks, selection)


def _enlarged(batch: Batch, octave: int) -> Batch:
    """Return the keypoints of an octave in pixels of the image.

    The first pixel of octave n reaches from -0.5 to 2**n - 0.5.
    """
    scale = 2.0**octave
    points = (batch.points + 0.5) * scale - 0.5
    return batch._replace(points=points, scales=batch.scales * scale)


def _halved(masks: torch.Tensor) -> torch.Tensor:
    """Return masks (B, H/2, W/2) that are 0 where any of four pixels is."""
    height, width = (side // 2 * 2 for side in masks.shape[1:])
    rows = torch.minimum(masks[:, 0:height:2], masks[:, 1:height:2])
    return torch.minimum(rows[:, :, 0:width:2], rows[:, :, 1:width:2])
