"""Places a camera against the landmarks that it sees."""

import numpy as np
import numpy.typing as npt

from nodes.vision.odometry.local_map import LocalMap
from nodes.vision.odometry.view import View
from nodes.vision.robust import Limits, refine_camera_pose, sample_camera_pose
from nodes.vision.triangulation import reprojection_errors

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MIN_ROWS = 6


def place(
    local_map: LocalMap, view: View, max_error_px: float, seed: int
) -> tuple[Float | None, Int]:
    """Find where the camera of a view is, from the landmarks that it sees.

    Returns:
        T_cam_world (4, 4) or None, and the rows of the view that agree with it.
    """
    points = local_map.positions(view.ids)
    rows = np.flatnonzero(np.isfinite(points).all(axis=1))
    points, pixels = points[rows], view.pixels[rows]
    limits = Limits(max_error_px, max_iterations=1000)
    T_cam_world = sample_camera_pose(points, pixels, local_map.K, limits, seed)
    if T_cam_world is None:
        return None, rows[:0]
    for _ in range(2):
        errors = reprojection_errors(T_cam_world, points, pixels, local_map.K)
        is_near = errors < max_error_px
        if is_near.sum() < MIN_ROWS:
            return None, rows[:0]
        scale = max(float(np.median(errors[is_near])), 0.05)
        T_cam_world = refine_camera_pose(
            T_cam_world, points[is_near], pixels[is_near], local_map.K, scale
        )
    errors = reprojection_errors(T_cam_world, points, pixels, local_map.K)
    return T_cam_world, rows[errors < max_error_px]
