"""From what the heads of SuperPoint say to keypoints with descriptors, all on one device.

DeTone, Malisiewicz, Rabinovich, "SuperPoint: Self-Supervised Interest Point Detection and
Description", CVPR Workshops 2018, section 3, and the post-processing published with it: a score for
each pixel, greedy non-maximum suppression, no keypoints at the border, the best of the rest.

All shapes are fixed and nothing is read back, so that a CUDA graph can hold it. The suppression has
a second form, with the same result, that a CPU does faster.

Keypoints are whole pixels. Of equal scores the upper one is better, then the left one. Both are put
into one number, the key of a pixel: larger is better, no two are equal, and 0 is no candidate.

Letters in shapes: B batch, H W image padded to whole cells of 8 pixels, h w = H/8 W/8, K keypoints,
D descriptor.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nodes.networks.superpoint import CELL

ROUNDS = 6
"""Of suppression. Greedy suppression is a chain of decisions; a candidate that is still undecided
after so many links is dropped. Real images were seen to need 4, and 5 at a threshold of 0.001."""
MIN_THRESHOLD = 1e-4
"""With it keys of images up to 80 million pixels are exact in float64."""
MAX_RADIUS_PX = 16
"""A CPU looks at the windows of all candidates at once."""


@dataclass(frozen=True)
class Selection:
    """Which pixels become keypoints; the defaults are the published ones."""

    max_keypoints: int = 1024
    threshold: float = 0.015
    nms_radius_px: int = 4
    """No two keypoints have a distance of it or less in both x and y."""
    border_px: int = 4

    def __post_init__(self) -> None:
        if self.max_keypoints < 1:
            raise ValueError(f"max_keypoints must be at least 1, not {self.max_keypoints}")
        if not MIN_THRESHOLD <= self.threshold < 1:
            raise ValueError(
                f"threshold must be at least {MIN_THRESHOLD} and less than 1, not {self.threshold}"
            )
        if not 0 <= self.nms_radius_px <= MAX_RADIUS_PX:
            limit = f"from 0 to {MAX_RADIUS_PX}"
            raise ValueError(f"nms_radius_px must be {limit}, not {self.nms_radius_px}")
        if self.border_px < 0:
            raise ValueError(f"border_px must be at least 0, not {self.border_px}")


class Found(NamedTuple):
    """Keypoints (N, 2), scores (N,) and descriptors (N, D) of one image, float32, best first."""

    keypoints: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.float32]


def find_keypoints(
    logits: torch.Tensor,
    descriptors: torch.Tensor,
    masks: torch.Tensor,
    selection: Selection,
) -> torch.Tensor:
    """Return the keypoints of each image, packed: `unpack` reads them.

    logits: (B, 65, h, w). descriptors: (B, D, h, w). masks: (B, H', W') uint8, of the images'
    sizes before they were padded at the right and at the bottom; no keypoint lies where it is 0.
    Returns (B, K * (D + 3)) float32. Where a logit is not finite, all scores of its image are NaN:
    an overflow in the network must not look like an image without keypoints.
    """
    height, width = masks.shape[1:]
    heat = pixel_scores(logits)
    keys = keys_of(heat, height, width, selection.threshold)
    keys = suppress(keys, selection.nms_radius_px)
    keys = keys.masked_fill(~_allowed(masks, heat, selection.border_px), 0)
    best = _best(keys, selection)
    points, scores = _decode(best, heat.shape, selection.threshold)
    scores += 0 * heat.sum(dim=(1, 2)).unsqueeze(1)
    found = sample(descriptors, points)
    return torch.cat([found.flatten(1), points.flatten(1), scores], dim=1)


def unpack(packed: npt.NDArray[np.float32], length: int) -> Found:
    """Return copies of the keypoints of one image; packed: (K * (D + 3),), length: D."""
    count = len(packed) // (length + 3)
    descriptors, points, scores = np.split(packed, [count * length, count * (length + 2)])
    number = np.count_nonzero(scores)
    return Found(
        points.reshape(count, 2)[:number].copy(),
        scores[:number].copy(),
        descriptors.reshape(count, length)[:number].copy(),
    )


def pixel_scores(logits: torch.Tensor) -> torch.Tensor:
    """Return the probability (B, H, W) float32 of a keypoint at each pixel, without the dustbin."""
    batch, _, rows, columns = logits.shape
    shares = functional.softmax(logits.permute(0, 2, 3, 1).float(), dim=3)[..., :-1]
    cells = shares.reshape(batch, rows, columns, CELL, CELL)
    return cells.transpose(2, 3).reshape(batch, rows * CELL, columns * CELL)


def keys_of(scores: torch.Tensor, height: int, width: int, threshold: float) -> torch.Tensor:
    """Return the key (B, H, W) float64 of each pixel; 0 below the threshold and outside the image.

    The bits of a positive float32, read as an integer, are in the order of the floats.
    """
    size = scores.shape[1] * scores.shape[2]
    behind = torch.arange(size - 1, -1, -1, dtype=torch.float64, device=scores.device)
    steps = scores.contiguous().view(torch.int32) - _floor(threshold)
    keys = steps.double().mul_(size).add_(behind.view(scores.shape[1:]))
    keys.masked_fill_(~(scores >= np.float32(threshold).item()), 0)
    keys[:, height:].zero_()
    keys[:, :, width:].zero_()
    return keys


def suppress(keys: torch.Tensor, radius: int) -> torch.Tensor:
    """Return the keys that greedy non-maximum suppression keeps, 0 elsewhere; (B, H, W) float64.

    Greedy suppression takes the best candidate, removes all others within `radius` in x and y, and
    so on. Here each round takes all candidates at once that are the best of their own window.
    """
    if keys.device.type == "cpu":
        return torch.stack([suppress_listed(image, radius) for image in keys])
    return suppress_everywhere(keys, radius)


def suppress_everywhere(keys: torch.Tensor, radius: int) -> torch.Tensor:
    """Do what `suppress` does at all pixels alike, with fixed shapes."""
    alive = keys
    kept = torch.zeros_like(keys)
    for _ in range(ROUNDS):
        is_best = (alive == _window_max(alive, radius)) & (alive > 0)
        kept = torch.where(is_best, keys, kept)
        alive = alive.masked_fill(_window_max(is_best.float(), radius) > 0, 0)
    return kept


def suppress_listed(keys: torch.Tensor, radius: int) -> torch.Tensor:
    """Do what `suppress` does for one image (H, W), looking at its candidates only."""
    field = functional.pad(keys, [radius] * 4)
    flat = field.view(-1)
    window = _window(radius, field.shape[1])
    close = _window(min(radius, 1), field.shape[1])
    alive = flat.nonzero().squeeze(1)
    kept = torch.zeros_like(flat)
    for _ in range(ROUNDS):
        best = _best_around(flat, alive, close)  # few are the best of their nearest neighbours
        best = _best_around(flat, best, window)
        kept.index_copy_(0, best, flat[best])
        flat.index_fill_(0, (best.unsqueeze(1) + window).flatten(), 0)
        alive = alive[flat[alive] > 0]
        if not len(alive):
            break
    return kept.view(field.shape)[radius : radius + len(keys), radius : radius + keys.shape[1]]


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


def _floor(threshold: float) -> int:
    """Return the integer before that of the lowest allowed score."""
    return int(np.float32(threshold).view(np.int32)) - 1


def _window_max(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Return the largest value within the radius of each pixel: first along x, then along y."""
    size = 2 * radius + 1
    rows = functional.max_pool2d(values, (1, size), stride=1, padding=(0, radius))
    return functional.max_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))


def _window(radius: int, width: int) -> torch.Tensor:
    """Return the steps from a pixel to those of its window, in a flat image of that width."""
    steps = torch.arange(-radius, radius + 1)
    return (steps.unsqueeze(1) * width + steps).flatten()


def _best_around(flat: torch.Tensor, places: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Return those of some places in a flat image that hold the largest value of their window."""
    return places[flat[places] == flat[places.unsqueeze(1) + window].amax(dim=1)]


def _allowed(masks: torch.Tensor, heat: torch.Tensor, border: int) -> torch.Tensor:
    """Return where keypoints may be (B, H, W) bool: inside the mask and away from the border."""
    (height, width), (padded_height, padded_width) = masks.shape[1:], heat.shape[1:]
    y = torch.arange(padded_height, device=masks.device)
    x = torch.arange(padded_width, device=masks.device)
    rows = (y >= border) & (y < height - border)
    columns = (x >= border) & (x < width - border)
    padded = functional.pad(masks, (0, padded_width - width, 0, padded_height - height))
    return (padded != 0) & rows.unsqueeze(1) & columns


def _best(keys: torch.Tensor, selection: Selection) -> torch.Tensor:
    """Return the K best keys (B, K) in descending order, filled up with 0.

    Of what suppression left, a square of radius + 1 pixels holds at most one: few are to be sorted.
    """
    side = selection.nms_radius_px + 1
    squares = functional.max_pool2d(keys, (1, side), ceil_mode=True)
    squares = functional.max_pool2d(squares, (side, 1), ceil_mode=True).flatten(1)
    return squares.topk(min(selection.max_keypoints, squares.shape[1]), dim=1).values


def _decode(
    keys: torch.Tensor, shape: torch.Size, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (B, K, 2) in pixels and scores (B, K), 0 where the key is 0; float32."""
    size, width = shape[1] * shape[2], shape[2]
    whole = keys.long()
    place = size - 1 - whole % size
    bits = (whole // size + _floor(threshold)).int()
    scores = bits.view(torch.float32).masked_fill(whole == 0, 0)
    return torch.stack([place % width, place // width], dim=2).float(), scores
