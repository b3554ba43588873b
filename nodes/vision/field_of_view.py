"""How much a camera sees, and what its lens model does within its picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision import fisheye, radtan
from nodes.vision.camera import Camera

Float = npt.NDArray[np.float64]

GRID = 65
NUM_DIRECTIONS = 16


@dataclass(frozen=True)
class FieldOfView:
    """Angles in degrees between the rays at opposite edges or corners; NaN where one has no ray."""

    horizontal_deg: float
    vertical_deg: float
    diagonal_deg: float


def field_of_view(camera: Camera) -> FieldOfView:
    """Measure along the row and the column of the principal point, and between the corners.

    Each is the sum of both sides' angles from the axis, so that it may be more than 180.
    """
    right, bottom = camera.width - 0.5, camera.height - 0.5
    ends = np.array([
        [-0.5, camera.cy], [right, camera.cy], [camera.cx, -0.5], [camera.cx, bottom],
        [-0.5, -0.5], [right, bottom],
    ])  # fmt: skip
    angles = angles_deg(camera, ends)
    return FieldOfView(*(float(pair.sum()) for pair in angles.reshape(3, 2)))


def angles_deg(camera: Camera, pixels: Float) -> Float:
    """Return the angle (N,) of each pixel's ray from the axis; NaN where it has none."""
    rays = camera.rays(pixels)
    angles = np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])
    return np.asarray(np.degrees(angles), np.float64)


def picture_grid(camera: Camera) -> Float:
    """Return pixels (N, 2) all over the picture, its corners among them."""
    x, y = (np.linspace(0, length - 1, GRID) for length in (camera.width, camera.height))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def corner_shift_px(camera: Camera) -> float:
    """Return how far the lens moves the farthest-moved corner from where `camera.ideal` sees it.

    NaN where a corner has no ideal pixel.
    """
    right, bottom = camera.width - 1, camera.height - 1
    corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]], np.float64)
    return float(np.hypot(*(camera.undistorted_pixels(corners) - corners).T).max())


def max_angle_deg(camera: Camera) -> float:
    """Return the largest angle from the axis that can be undistorted all around, at most 90.

    Further out the lens model folds, or there are no normalised coordinates.
    """
    if camera.is_ideal:
        return 90.0
    if camera.model == "fisheye":
        return float(min(90.0, np.degrees(fisheye.max_angle(camera.distortion))))
    turns = np.linspace(0, 2 * np.pi, NUM_DIRECTIONS, endpoint=False)
    directions = np.column_stack([np.cos(turns), np.sin(turns)])
    return float(np.degrees(min(radtan.max_angle(camera.distortion, d) for d in directions)))
