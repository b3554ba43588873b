"""The homography H_1_0 between two pictures."""

import cv2
import numpy as np
import numpy.typing as npt
import poselib

from nodes.vision.robust.limits import Limits
from nodes.vision.robust.options import (
    REFINE_ITERATIONS,
    bundle_options,
    require_finite,
    usac_params,
)

Float = npt.NDArray[np.float64]


def sample_homography(points0: Float, points1: Float, limits: Limits, seed: int) -> Float | None:
    """Find H_1_0 by OpenCV's MAGSAC (Barath, Matas & Noskova, CVPR 2019)."""
    require_finite(points0, points1)
    H_1_0, _ = cv2.findHomography(points0, points1, usac_params(limits, seed))
    return None if H_1_0 is None else _scaled(np.asarray(H_1_0, np.float64))


def refine_homography(H_1_0: Float, points0: Float, points1: Float) -> Float | None:
    """Minimise the squared transfer distances, from H_1_0 on."""
    require_finite(points0, points1)
    options = bundle_options({"loss_type": "TRIVIAL", "max_iterations": REFINE_ITERATIONS})
    return _scaled(poselib.refine_homography(points0, points1, H_1_0, options)[0])


def _scaled(H: Float) -> Float | None:
    """Return H with H[2, 2] = 1; None where it is singular or mirrors the picture."""
    if not np.isfinite(H).all() or abs(H[2, 2]) < 1e-12:
        return None
    H = np.asarray(H / H[2, 2], np.float64)
    return H if np.linalg.det(H) > 0 else None
