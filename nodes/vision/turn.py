"""A camera that only turns, while its focal length is not known.

The homography of a turn is K R K^-1. With a wrong focal length no rotation fits it, and it looks
like a plane that is passed by; so the focal length with which it comes nearest to a rotation is
tried first (Hartley, "Self-calibration from multiple views with a rotating camera", ECCV 1994).
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

Float = npt.NDArray[np.float64]

FOCAL_RANGE = (0.3, 3.0)  # times the longer side: from 118 to 19 degrees
NUM_TRIED = 24


def camera_of_turn(H_1_0: Float, K: Float) -> Float:
    """Return K (3, 3) with the focal length that makes H_1_0 most like the homography of a turn.

    The principal point of K stays; its centre of the picture tells how large that is.
    """
    longer_px = 2 * float(max(K[0, 2], K[1, 2]))
    low, high = (float(np.log(factor * longer_px)) for factor in FOCAL_RANGE)
    tried = np.linspace(low, high, NUM_TRIED)
    costs = [_unlike_a_turn(log_focal, H_1_0, K) for log_focal in tried]
    best = int(np.argmin(costs))
    around = tried[max(best - 1, 0)], tried[min(best + 1, NUM_TRIED - 1)]
    found = minimize_scalar(_unlike_a_turn, bounds=around, args=(H_1_0, K), method="bounded")
    return _with_focal(K, float(np.exp(found.x)))


def _unlike_a_turn(log_focal: float, H_1_0: Float, K: Float) -> float:
    """Return how far K^-1 H K, of unit determinant, is from the nearest rotation."""
    K = _with_focal(K, float(np.exp(log_focal)))
    G = np.linalg.solve(K, H_1_0 @ K)
    singular = np.linalg.svd(G / np.cbrt(np.linalg.det(G)), compute_uv=False)
    return float(np.sum((singular - 1) ** 2))


def _with_focal(K: Float, focal_px: float) -> Float:
    aspect = K[1, 1] / K[0, 0]
    changed = K.copy()
    changed[0, 0], changed[1, 1] = focal_px, focal_px * aspect
    return changed
