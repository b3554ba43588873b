"""The pose T_cam_world of a known camera that sees landmarks."""

import numpy as np
import numpy.typing as npt
import poselib

from nodes.vision.robust.limits import Limits
from nodes.vision.robust.options import (
    NO_ITERATIONS,
    bundle_options,
    cauchy,
    pinhole,
    require_finite,
    sampling,
)
from nodes.vision.se3 import from_rotation_translation

Float = npt.NDArray[np.float64]

MIN_AGREEING = 4  # of landmarks


def sample_camera_pose(
    points_world: Float, pixels: Float, K: Float, limits: Limits, seed: int
) -> Float | None:
    """Find T_cam_world by poselib's LO-RANSAC over P3P (Persson & Nordberg, ECCV 2018).

    `points_world` is (L, 3), `pixels` (L, 2) ideal, row by row a landmark and where it is seen.
    None where fewer than four of them agree: any three do, in up to four ways.
    """
    require_finite(points_world, pixels)
    ransac = sampling(limits, seed, "max_reproj_error")
    found, score = poselib.estimate_absolute_pose(
        pixels, points_world, pinhole(K), ransac, bundle_options(NO_ITERATIONS)
    )
    return _rigid(found.R, found.t) if score["num_inliers"] >= MIN_AGREEING else None


def refine_camera_pose(
    T_cam_world: Float, points_world: Float, pixels: Float, K: Float, loss_scale_px: float
) -> Float:
    """Minimise the Cauchy loss of the reprojection errors, from T_cam_world on.

    `points_world` is (L, 3), `pixels` (L, 2) ideal.
    """
    require_finite(points_world, pixels)
    start = poselib.CameraPose()
    start.R, start.t = T_cam_world[:3, :3], T_cam_world[:3, 3]
    refined, _ = poselib.refine_absolute_pose(
        pixels, points_world, start, pinhole(K), cauchy(loss_scale_px)
    )
    better = _rigid(refined.R, refined.t)
    return T_cam_world if better is None else better


def _rigid(R: Float, t: Float) -> Float | None:
    """Return T; None where it is not finite."""
    T = from_rotation_translation(np.asarray(R), np.asarray(t))
    return T if np.isfinite(T).all() else None
