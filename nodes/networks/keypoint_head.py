"""From what the heads of SuperPoint say to keypoints with descriptors, all on one device.

DeTone, Malisiewicz, Rabinovich, "SuperPoint: Self-Supervised Interest Point Detection and
Description", CVPR Workshops 2018, section 3, and the post-processing published with it: a score for
each pixel, greedy non-maximum suppression, no keypoints at the border, the best of the rest.

All shapes are fixed, and on a GPU nothing is read back, so that a CUDA graph can hold it.

Letters in shapes: B batch, H W image padded to whole cells of 8 pixels, h w = H/8 W/8, K keypoints,
D descriptor.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nodes.networks.refinement import refine
from nodes.networks.selection import Selection
from nodes.networks.superpoint import CELL
from nodes.networks.suppression import best_keys, decode


class Found(NamedTuple):
    """Keypoints of one image on the host, float32, best first."""

    keypoints: npt.NDArray[np.float32]
    """(N, 2), pixels."""
    scores: npt.NDArray[np.float32]
    """(N,), probabilities."""
    descriptors: npt.NDArray[np.float32]
    """(N, D), of unit norm."""
    scales: npt.NDArray[np.float32]
    """(N,), pixels of the image to one of the octave in which it was found: 1, 2, 4 or 8."""


class Batch(NamedTuple):
    """Keypoints of images on the device, best first, float32; a score of 0 is none."""

    points: torch.Tensor
    """(B, K, 2), pixels."""
    scores: torch.Tensor
    """(B, K)."""
    descriptors: torch.Tensor
    """(B, K, D)."""
    scales: torch.Tensor
    """(B, K); see `Found`."""


def find_keypoints(
    logits: torch.Tensor,
    descriptors: torch.Tensor,
    masks: torch.Tensor,
    selection: Selection,
) -> torch.Tensor:
    """Return the keypoints of each image of one size, packed: `unpack` reads them."""
    return pack(find_batch(logits, descriptors, masks, selection))


def find_batch(
    logits: torch.Tensor,
    descriptors: torch.Tensor,
    masks: torch.Tensor,
    selection: Selection,
) -> Batch:
    """Return the keypoints of each image of one size.

    logits: (B, 65, h, w). descriptors: (B, D, h, w). masks: (B, H', W') uint8, of the images'
    sizes before they were padded at the right and at the bottom; no keypoint lies where it is 0.
    Where a logit is not finite, all scores of its image are NaN: an overflow in the network must
    not look like an image without keypoints.
    """
    heat = pixel_scores(logits)
    keys = best_keys(heat, masks, selection)
    points, scores = decode(keys, heat.shape, selection.threshold)
    scores += 0 * heat.sum(dim=(1, 2)).unsqueeze(1)
    scales = torch.ones_like(scores)
    if not selection.subpixel:
        return Batch(points, scores, sample(descriptors, points), scales)
    points = refine(heat, points, *masks.shape[1:])
    return in_order(Batch(points, scores, sample(descriptors, points), scales))


def in_order(batch: Batch, number: int | None = None) -> Batch:
    """Return the best `number` of each image by (-score, y, x, scale), the canonical order."""
    order = batch.scales.argsort(dim=1, stable=True)
    for values in (batch.points[..., 0], batch.points[..., 1]):
        order = order.gather(1, values.gather(1, order).argsort(dim=1, stable=True))
    falling = batch.scores.gather(1, order).argsort(dim=1, descending=True, stable=True)
    return _take(batch, order.gather(1, falling)[:, :number])


def pack(batch: Batch) -> torch.Tensor:
    """Return all of a batch in one float32 tensor (B, K * (D + 4))."""
    return torch.cat(
        [batch.descriptors.flatten(1), batch.points.flatten(1), batch.scores, batch.scales], dim=1
    )


def unpack(packed: npt.NDArray[np.float32], length: int) -> Found:
    """Return copies of the keypoints of one image; packed: (K * (D + 4),), length: D."""
    count = len(packed) // (length + 4)
    ends = [count * length, count * (length + 2), count * (length + 3)]
    descriptors, points, scores, scales = np.split(packed, ends)
    number = np.count_nonzero(scores)
    return Found(
        points.reshape(count, 2)[:number].copy(),
        scores[:number].copy(),
        descriptors.reshape(count, length)[:number].copy(),
        scales[:number].copy(),
    )


def pixel_scores(logits: torch.Tensor) -> torch.Tensor:
    """Return the probability (B, H, W) float32 of a keypoint at each pixel, without the dustbin."""
    batch, _, rows, columns = logits.shape
    shares = functional.softmax(logits.permute(0, 2, 3, 1).float(), dim=3)[..., :-1]
    cells = shares.reshape(batch, rows, columns, CELL, CELL)
    return cells.transpose(2, 3).reshape(batch, rows * CELL, columns * CELL)


def sample(descriptors: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the descriptors (B, K, D) float32 of unit norm at points (B, K, 2) in pixels.

    descriptors: (B, D, h, w), of unit norm once normalised for each cell. The centre of cell i lies
    at the pixel 8 i + 3.5, between the centres of its pixels 8 i and 8 i + 7; beyond the centres of
    the outermost cells their descriptors hold. The sampling that was published with the paper puts
    the centre of the first cell at pixel 0 and that of the last one at W, which is wrong by up to
    half a cell towards the borders; the open re-implementation does as is done here.
    """
    batch, length, height, width = descriptors.shape
    table = descriptors.permute(0, 2, 3, 1).reshape(batch * height * width, length)
    first = torch.arange(batch, device=table.device).unsqueeze(1) * (height * width)
    cells = (points - (CELL - 1) / 2) / CELL
    x = cells[..., 0].clamp(0, width - 1)
    y = cells[..., 1].clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    found = torch.zeros((*points.shape[:2], length), device=table.device)
    for step_y, weight_y in ((0, top + 1 - y), (1, y - top)):
        for step_x, weight_x in ((0, left + 1 - x), (1, x - left)):
            row = (top + step_y).clamp(max=height - 1).long()
            column = (left + step_x).clamp(max=width - 1).long()
            places = first + row * width + column
            corner = table.index_select(0, places.flatten()).view(found.shape).float()
            found += functional.normalize(corner, dim=2) * (weight_y * weight_x).unsqueeze(2)
    return functional.normalize(found, dim=2)


def _take(batch: Batch, rows: torch.Tensor) -> Batch:
    """Return the keypoints of each image at some indices (B, N)."""
    first = torch.arange(len(rows), device=rows.device).unsqueeze(1) * batch.scores.shape[1]
    places = (rows + first).flatten()
    return Batch(
        *(
            values.flatten(0, 1).index_select(0, places).view(*rows.shape, *values.shape[2:])
            for values in batch
        )
    )
