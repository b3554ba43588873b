"""The motion T_1_0 between two pictures of a known camera."""

import cv2
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
    usac_params,
)
from nodes.vision.se3 import from_rotation_translation
from nodes.vision.two_view import motion_in_front, normalised

Float = npt.NDArray[np.float64]

MOTION_ITERATIONS = 10  # each leaves 0.4 of the way to the minimum


def sample_motion_poselib(
    points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Float | None:
    """Find T_1_0 by poselib's LO-RANSAC over the five-point solver (Nister, PAMI 2004).

    Its score counts only points in front of both cameras, which is what tells the two motions apart
    that explain a plane.
    """
    require_finite(points0, points1)
    ransac = sampling(limits, seed, "max_epipolar_error")
    camera = pinhole(K)
    found, _ = poselib.estimate_relative_pose(
        points0, points1, camera, camera, ransac, bundle_options(NO_ITERATIONS)
    )
    return unit_motion(found.R, found.t)


def sample_motion_magsac(
    points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Float | None:
    """Find T_1_0 by OpenCV's MAGSAC (Barath, Matas & Noskova, CVPR 2019).

    It scores essential matrices, which do not know front from behind: a plane may mislead it.
    `limits.min_iterations` has no meaning here.
    """
    require_finite(points0, points1)
    E_1_0, _ = cv2.findEssentialMat(points0, points1, K, K, None, None, usac_params(limits, seed))
    if E_1_0 is None or not np.isfinite(E_1_0).all():
        return None
    return motion_in_front(
        np.asarray(E_1_0, np.float64), normalised(points0, K), normalised(points1, K)
    )


def refine_motion(
    T_1_0: Float, points0: Float, points1: Float, K: Float, loss_scale_px: float
) -> Float:
    """Minimise the Cauchy loss of the Sampson distances, from T_1_0 on."""
    require_finite(points0, points1)
    start, camera = poselib.CameraPose(), pinhole(K)
    start.R, start.t = T_1_0[:3, :3], T_1_0[:3, 3]
    refined, _ = poselib.refine_relative_pose(
        points0, points1, start, camera, camera, cauchy(loss_scale_px, MOTION_ITERATIONS)
    )
    better = unit_motion(refined.R, refined.t)
    return T_1_0 if better is None else better


def unit_motion(R: Float, t: Float) -> Float | None:
    """Return T with unit translation; None where it is not finite or has no direction."""
    norm = np.linalg.norm(t)
    if not (np.isfinite(R).all() and np.isfinite(norm) and norm > 0):
        return None
    return from_rotation_translation(np.asarray(R), np.asarray(t) / norm)
