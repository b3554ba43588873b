"""From a map of scores to the best pixels that are not too near to a better one.

Greedy non-maximum suppression as published with SuperPoint: it takes the best candidate, removes
all others within a radius in x and y, and so on. Here each round takes all candidates at once that
are the best of their own window.

There are two forms with one result: `best_everywhere` treats all pixels alike, with fixed shapes
and nothing read back, as a CUDA graph needs it; `best_listed` looks at the candidates only, which
are few, as suits a CPU.

Of equal scores the upper pixel is better, then the left one. Both are put into one number, the key
of a pixel: larger is better, no two are equal, and 0 is no candidate.

Letters in shapes: B batch, H W image padded to whole cells of 8 pixels, H' W' before, K keypoints.
"""

import numpy as np
import torch
from torch.nn import functional

from nodes.networks.selection import Selection

ROUNDS = 6
"""Of suppression. Greedy suppression is a chain of decisions; a candidate that is still undecided
after so many links is dropped. Real images were seen to need 4, and 5 at a threshold of 0.001."""


def best_keys(scores: torch.Tensor, masks: torch.Tensor, selection: Selection) -> torch.Tensor:
    """Return the keys (B, K) float64 of the best pixels in descending order, filled up with 0.

    scores: (B, H, W) float32. masks: (B, H', W') uint8; no keypoint lies where it is 0.
    """
    if scores.device.type != "cpu":
        return best_everywhere(scores, masks, selection)
    pairs = zip(scores, masks, strict=True)
    return torch.stack([best_listed(image, mask, selection) for image, mask in pairs])


def best_everywhere(
    scores: torch.Tensor, masks: torch.Tensor, selection: Selection
) -> torch.Tensor:
    """Do what `best_keys` does at all pixels alike, with fixed shapes.

    Of what suppression left, a square of radius + 1 pixels holds at most one: few are to be sorted.
    """
    height, width = masks.shape[1:]
    keys = keys_of(scores, height, width, selection.threshold)
    keys = suppress_everywhere(keys, selection.nms_radius_px)
    keys = keys.masked_fill(~_allowed(masks, scores.shape, selection.border_px), 0)
    side = selection.nms_radius_px + 1
    squares = functional.max_pool2d(keys, (1, side), ceil_mode=True)
    squares = functional.max_pool2d(squares, (side, 1), ceil_mode=True).flatten(1)
    return squares.topk(_capacity(scores.shape, selection), dim=1).values


def best_listed(scores: torch.Tensor, mask: torch.Tensor, selection: Selection) -> torch.Tensor:
    """Do what `best_keys` does for one image (H, W), looking at its candidates only."""
    (height, width), columns, size = mask.shape, scores.shape[1], scores.numel()
    is_candidate = scores[:height, :width] >= np.float32(selection.threshold).item()
    y, x = is_candidate.nonzero(as_tuple=True)
    steps = scores[y, x].view(torch.int32) - _floor(selection.threshold)
    keys = steps.double().mul_(size).add_(size - 1 - (y * columns + x))
    kept = suppress_listed(x, y, keys, selection.nms_radius_px)
    place = size - 1 - kept.long() % size
    x, y = place % columns, place // columns
    border = selection.border_px
    is_inside = (x >= border) & (x < width - border) & (y >= border) & (y < height - border)
    kept = kept[is_inside & (mask[y, x] != 0)]
    capacity = _capacity(scores.shape, selection)
    best = kept.topk(min(len(kept), capacity)).values
    return functional.pad(best, (0, capacity - len(best)))


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


def decode(
    keys: torch.Tensor, shape: torch.Size, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (B, K, 2) in pixels and scores (B, K), 0 where the key is 0; float32.

    shape: (B, H, W) of the scores that the keys were made of.
    """
    size, width = shape[1] * shape[2], shape[2]
    whole = keys.long()
    place = size - 1 - whole % size
    bits = (whole // size + _floor(threshold)).int()
    scores = bits.view(torch.float32).masked_fill(whole == 0, 0)
    return torch.stack([place % width, place // width], dim=2).float(), scores


def suppress(keys: torch.Tensor, radius: int) -> torch.Tensor:
    """Return the keys that greedy non-maximum suppression keeps, 0 elsewhere; (B, H, W) float64."""
    if keys.device.type != "cpu":
        return suppress_everywhere(keys, radius)
    kept = []
    for image in keys:
        y, x = image.nonzero(as_tuple=True)
        best = suppress_listed(x, y, image[y, x], radius)
        kept.append(image.masked_fill(~torch.isin(image, best), 0))
    return torch.stack(kept)


def suppress_everywhere(keys: torch.Tensor, radius: int) -> torch.Tensor:
    """Return the keys that greedy non-maximum suppression keeps, 0 elsewhere; (B, H, W) float64."""
    alive = keys
    kept = torch.zeros_like(keys)
    for _ in range(ROUNDS):
        is_best = (alive == _window_max(alive, radius)) & (alive > 0)
        kept = torch.where(is_best, keys, kept)
        alive = alive.masked_fill(_window_max(is_best.float(), radius) > 0, 0)
    return kept


def suppress_listed(
    x: torch.Tensor, y: torch.Tensor, keys: torch.Tensor, radius: int
) -> torch.Tensor:
    """Return those of the keys (N,) at pixels (x, y) of one image that suppression keeps."""
    if not len(keys):
        return keys
    width = int(x.max()) + 1 + 2 * radius
    height = int(y.max()) + 1 + 2 * radius
    alive = (y + radius) * width + x + radius
    field = torch.zeros(height * width, dtype=keys.dtype).index_copy_(0, alive, keys)
    window, close = _window(radius, width), _window(min(radius, 1), width)
    kept = []
    for _ in range(ROUNDS):
        best = _best_around(field, alive, close)  # few are the best of their nearest neighbours
        best = _best_around(field, best, window)
        kept.append(field[best])
        field.index_fill_(0, (best.unsqueeze(1) + window).flatten(), 0)
        alive = alive[field[alive] > 0]
        if not len(alive):
            break
    return torch.cat(kept)


def _floor(threshold: float) -> int:
    """Return the integer before that of the lowest allowed score."""
    return int(np.float32(threshold).view(np.int32)) - 1


def _capacity(shape: torch.Size, selection: Selection) -> int:
    """Return the number K of keypoints that there is room for in an image of shape (..., H, W)."""
    side = selection.nms_radius_px + 1
    return min(selection.max_keypoints, -(-shape[-2] // side) * -(-shape[-1] // side))


def _window_max(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Return the largest value within the radius of each pixel: first along x, then along y."""
    size = 2 * radius + 1
    rows = functional.max_pool2d(values, (1, size), stride=1, padding=(0, radius))
    return functional.max_pool2d(rows, (size, 1), stride=1, padding=(radius, 0))


def _window(radius: int, width: int) -> torch.Tensor:
    """Return the steps from a pixel to those of its window, in a flat image of that width."""
    steps = torch.arange(-radius, radius + 1)
    return (steps.unsqueeze(1) * width + steps).flatten()


def _best_around(field: torch.Tensor, places: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Return those of some places in a flat image that hold the largest value of their window."""
    return places[field[places] == field[places.unsqueeze(1) + window].amax(dim=1)]


def _allowed(masks: torch.Tensor, shape: torch.Size, border: int) -> torch.Tensor:
    """Return where keypoints may be (B, H, W) bool: inside the mask and away from the border."""
    (height, width), (padded_height, padded_width) = masks.shape[1:], shape[1:]
    y = torch.arange(padded_height, device=masks.device)
    x = torch.arange(padded_width, device=masks.device)
    rows = (y >= border) & (y < height - border)
    columns = (x >= border) & (x < width - border)
    padded = functional.pad(masks, (0, padded_width - width, 0, padded_height - height))
    return (padded != 0) & rows.unsqueeze(1) & columns
