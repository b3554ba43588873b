"""The motion and the homography between two views, found robustly, refined, and doubted.

`points0` and `points1` are (M, 2) float64, ideal (undistorted) pixels of one camera K, row by row a
match; rows that are not finite are never inliers. Thresholds are pixels: of the Sampson distance
for a motion, of the transfer distance for a homography.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.robust import Limits, refine_homography, refine_motion, sample_homography
from nodes.vision.significance import epipolar_false_alarms, homography_false_alarms
from nodes.vision.two_view import (
    fundamental,
    normalised,
    parallax,
    sampson_distance,
    spread,
    transfer_distance,
)

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Sampler = Callable[[Float, Float, Float, Limits, int], Float | None]
"""Finds a first T_1_0 (4, 4) from points0, points1, K, limits and a seed; None where it cannot."""

MIN_MATCHES = 8
MIN_SPREAD_PX = 1.0
MIN_LOSS_SCALE_PX = 0.01  # keeps the loss defined where the points are exact


@dataclass(frozen=True, eq=False)
class Motion:
    """T_1_0 (4, 4) with unit translation and its inliers (M,); or None, and the reason."""

    T_1_0: Float | None
    inliers: Bool
    reason: str | None = None


def estimate_motion(
    sample: Sampler, points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Motion:
    """Find a motion by sampling, refine it over its inliers, and say why where there is none."""
    usable = _finite_rows(points0, points1)
    x0, x1 = points0[usable], points1[usable]
    T_1_0, reason = None, why_undetermined(x0, x1, "matches")
    if reason is None:
        T_1_0 = sample(x0, x1, K, limits, seed)
        reason = "degenerate: no sample of the matches gives a motion" if T_1_0 is None else None
    inliers = np.zeros(len(points0), np.bool_)
    if T_1_0 is not None:
        T_1_0, found = _refined(T_1_0, x0, x1, K, limits.threshold_px)
        inliers[usable] = found
        reason = _why_doubtful(found, x0, x1, limits.threshold_px)
    return (
        Motion(T_1_0, inliers) if reason is None else Motion(None, np.zeros_like(inliers), reason)
    )


def motion_inliers(
    T_1_0: Float, points0: Float, points1: Float, K: Float, threshold_px: float
) -> Bool:
    """Return which matches (M,) fit: near their epipolar lines, and no further behind a camera."""
    is_near = sampson_distance(fundamental(T_1_0, K), points0, points1) < threshold_px
    motion = parallax(T_1_0, normalised(points0, K), normalised(points1, K))
    is_in_front = motion * np.sqrt(K[0, 0] * K[1, 1]) > -threshold_px
    return np.asarray(is_near & is_in_front, np.bool_)


def _refined(
    T_1_0: Float, points0: Float, points1: Float, K: Float, threshold_px: float
) -> tuple[Float, Bool]:
    """Refine a motion over its inliers; return it with its new inliers.

    The scale of the Cauchy loss is the median distance, as it is in a Cauchy distribution: it
    adapts to how well this camera and detector localise points.
    """
    inliers = motion_inliers(T_1_0, points0, points1, K, threshold_px)
    if inliers.sum() >= MIN_MATCHES:
        x0, x1 = points0[inliers], points1[inliers]
        scale = float(np.median(sampson_distance(fundamental(T_1_0, K), x0, x1)))
        T_1_0 = refine_motion(T_1_0, x0, x1, K, max(scale, MIN_LOSS_SCALE_PX))
    return T_1_0, motion_inliers(T_1_0, points0, points1, K, threshold_px)


def _why_doubtful(inliers: Bool, points0: Float, points1: Float, threshold_px: float) -> str | None:
    """Return why inliers do not make a motion credible, None where they do."""
    reason = why_undetermined(points0[inliers], points1[inliers], "inliers")
    num_distinct = num_distinct_points(points0[inliers])
    if reason is None and epipolar_false_alarms(num_distinct, points0, points1, threshold_px) > 0:
        reason = f"too_few_inliers: {inliers.sum()} of {len(inliers)} may be chance"
    return reason


def why_undetermined(points0: Float, points1: Float, what: str) -> str | None:
    """Return why matches cannot determine a motion or a homography, None where they may.

    `what` names the matches in the reason.
    """
    if len(points0) < MIN_MATCHES:
        return f"too_few_{what}: {len(points0)} < {MIN_MATCHES}"
    num_distinct = min(num_distinct_points(points0), num_distinct_points(points1))
    if num_distinct < MIN_MATCHES:
        return f"degenerate: {num_distinct} distinct points in {len(points0)} {what}"
    if min(spread(points0), spread(points1)) < MIN_SPREAD_PX:
        return f"degenerate: {len(points0)} {what} on one line"
    return None


def num_distinct_points(points: Float) -> int:
    """Return how many different points there are in (M, 2); SIFT gives one for each orientation."""
    return len(np.unique(np.ascontiguousarray(points, np.float64).view(np.complex128)))


def estimate_homography(
    points0: Float, points1: Float, limits: Limits, seed: int
) -> tuple[Float | None, Bool]:
    """Find H_1_0 (3, 3), H[2, 2] = 1, by sampling and least squares over its inliers (M,).

    None where the matches do not determine one, or fit it no better than chance would.
    """
    usable = _finite_rows(points0, points1)
    inliers = np.zeros(len(points0), np.bool_)
    x0, x1 = points0[usable], points1[usable]
    H_1_0 = _fitted_homography(x0, x1, limits, seed)
    if H_1_0 is not None:
        near = transfer_distance(H_1_0, x0, x1) < limits.threshold_px
        if _is_homography_doubtful(near, x0, x1, limits.threshold_px):
            return None, inliers
        inliers[usable] = near
    return H_1_0, inliers


def _fitted_homography(points0: Float, points1: Float, limits: Limits, seed: int) -> Float | None:
    if why_undetermined(points0, points1, "matches"):
        return None
    H_1_0 = sample_homography(points0, points1, limits, seed)
    if H_1_0 is None:
        return None
    near = transfer_distance(H_1_0, points0, points1) < limits.threshold_px
    return refine_homography(H_1_0, points0[near], points1[near])


def _is_homography_doubtful(
    inliers: Bool, points0: Float, points1: Float, threshold_px: float
) -> bool:
    if why_undetermined(points0[inliers], points1[inliers], "inliers"):
        return True
    num_distinct = num_distinct_points(points0[inliers])
    return homography_false_alarms(num_distinct, points0, points1, threshold_px) > 0


def _finite_rows(points0: Float, points1: Float) -> Bool:
    return np.asarray(np.isfinite(np.hstack([points0, points1])).all(axis=1), np.bool_)
