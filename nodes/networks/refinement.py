"""Keypoints between pixels: the peak of a parabola through the scores around each.

The usual refinement of scale-space extrema (Brown and Lowe, "Invariant Features from Interest Point
Groups", BMVC 2002, section 2.1), here fitted by least squares to the logarithm of the scores: where
they fall off as a Gaussian does, the parabola is exact.

All shapes are fixed and nothing is read back. Letters in shapes: B batch, H W image padded to whole
cells of 8 pixels, K keypoints.
"""

import torch

MAX_SHIFT_PX = 0.49
"""A refined keypoint still rounds to its own pixel, which the mask allows."""
TINY = 1e-30
"""In place of a score of 0, which has no logarithm."""


def refine(scores: torch.Tensor, points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return points (B, K, 2), each moved by up to half a pixel in x and y to the peak around it.

    scores: (B, H, W) float32. points: (B, K, 2) float32, whole pixels of the image (height, width).
    At the edge of the image, and where the scores around a point have no peak, it stays.
    """
    logs = _around(scores, points)
    columns, rows = logs.sum(dim=2), logs.sum(dim=3)
    slope_x, slope_y = (columns[..., 2] - columns[..., 0]) / 6, (rows[..., 2] - rows[..., 0]) / 6
    bend_x = (columns[..., 0] + columns[..., 2] - 2 * columns[..., 1]) / 3
    bend_y = (rows[..., 0] + rows[..., 2] - 2 * rows[..., 1]) / 3
    corners = logs[..., 0, 0] + logs[..., 2, 2] - logs[..., 0, 2] - logs[..., 2, 0]
    twist = corners / 4
    determinant = bend_x * bend_y - twist.square()
    shift_x = (twist * slope_y - bend_y * slope_x) / determinant
    shift_y = (twist * slope_x - bend_x * slope_y) / determinant
    shift = torch.stack([shift_x, shift_y], dim=2).clamp(-MAX_SHIFT_PX, MAX_SHIFT_PX)
    x, y = points.unbind(dim=2)
    is_inside = (x >= 1) & (y >= 1) & (x <= width - 2) & (y <= height - 2)
    is_peak = is_inside & (bend_x < 0) & (determinant > 0)
    return torch.where(is_peak.unsqueeze(2), points + shift, points)


def _around(scores: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Return the logarithms (B, K, 3, 3) of the scores around each point, rows along y."""
    height, width = scores.shape[1:]
    x = points[..., 0].long().clamp(1, width - 2)
    y = points[..., 1].long().clamp(1, height - 2)
    steps = torch.arange(-1, 2, device=scores.device)
    window = steps.unsqueeze(1) * width + steps
    places = (y * width + x)[..., None, None] + window
    found = scores.flatten(1).gather(1, places.flatten(1)).view(places.shape)
    return found.clamp_min(TINY).log()
