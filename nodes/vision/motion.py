"""The motion and the homography between two views, found robustly, refined, and doubted.

`points0` and `points1` are (M, 2) float64, ideal (undistorted) pixels of one camera K, row by row a
match; rows that are not finite are never inliers. Thresholds are pixels: of the Sampson distance
for a motion, of the transfer distance for a homography.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.least_squares import noise_sigma
from nodes.vision.robust import Limits, refine_homography, refine_motion, sample_homography
from nodes.vision.significance import epipolar_false_alarms, homography_false_alarms
from nodes.vision.two_view import (
    epipole_distance,
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
A_FEW = 32
MAX_SAMPLED = 256  # more matches do not change which sample is the best; all of them refine it
MIN_SPREAD_PX = 1.0
MIN_LOSS_SCALE_PX = 0.01  # keeps the loss defined where the points are exact
NUM_REFINEMENTS = 2
NOISE_START = 3.0  # thresholds: where the search for the noise begins
FIT_SIGMAS = 3.5
MEDIAN_TO_SIGMA = 1.4826  # of the absolute value of a normal variable
MAX_PARALLAX = 2.0  # times that of nine tenths of the matches
MIN_EPIPOLE_PX = 20.0


@dataclass(frozen=True, eq=False)
class Motion:
    """T_1_0 (4, 4) with unit translation and its inliers (M,); or None, and the reason."""

    T_1_0: Float | None
    inliers: Bool
    reason: str | None = None
    threshold_px: float = 1.0
    """Largest Sampson distance of an inlier."""


def estimate_motion(
    sample: Sampler, points0: Float, points1: Float, K: Float, limits: Limits, seed: int
) -> Motion:
    """Find a motion by sampling, refine it over its inliers, and say why where there is none."""
    usable = finite_rows(points0, points1)
    x0, x1 = points0[usable], points1[usable]
    T_1_0, reason = None, why_undetermined(x0, x1, "matches")
    if reason is None:
        rows = _spread_rows(len(x0), MAX_SAMPLED)
        T_1_0 = sample(x0[rows], x1[rows], K, limits, seed)
        reason = "degenerate: no sample of the matches gives a motion" if T_1_0 is None else None
    inliers = np.zeros(len(points0), np.bool_)
    if T_1_0 is not None:
        T_1_0, found = _refined(T_1_0, x0, x1, K, limits.threshold_px)
        inliers[usable] = found
        reason = _why_doubtful(found, x0, x1, limits.threshold_px)
    if reason is not None:
        return Motion(None, np.zeros_like(inliers), reason, limits.threshold_px)
    return Motion(T_1_0, inliers, None, limits.threshold_px)


def _spread_rows(num: int, max_rows: int) -> npt.NDArray[np.int64]:
    """Return at most `max_rows` of `num` rows, evenly spread: matches often come best first."""
    return np.arange(min(num, max_rows)) * num // min(num, max_rows)


def motion_inliers(
    T_1_0: Float, points0: Float, points1: Float, K: Float, threshold_px: float
) -> Bool:
    """Return which matches (M,) fit: near their epipolar lines, and no further behind a camera."""
    distance = sampson_distance(fundamental(T_1_0, K), points0, points1)
    moved = moved_px(T_1_0, points0, points1, K)
    return np.asarray((distance < threshold_px) & (moved > -threshold_px), np.bool_)


def moved_px(T_1_0: Float, points0: Float, points1: Float, K: Float) -> Float:
    """Return how far (M,) each match has moved along its epipolar line, negative if backwards."""
    moved = parallax(T_1_0, normalised(points0, K), normalised(points1, K))
    return np.asarray(moved * math.sqrt(K[0, 0] * K[1, 1]), np.float64)


def motion_fit(
    T_1_0: Float, points0: Float, points1: Float, K: Float, threshold_px: float
) -> tuple[Bool, float]:
    """Return which matches (M,) a motion is to be fitted to, and the scale of the Cauchy loss.

    Noise above a third of the threshold widens the set, as a cut through the noise would bias the
    fit; what is then far out weighs little. Two kinds of matches would weigh too much: those that
    moved much further along their epipolar lines than the others, which are more often wrong than
    near, and those beside an epipole, where the distance is not linear in the noise. The scale is
    that of the noise: it adapts to how well this camera and detector localise points.
    """
    distance = sampson_distance(fundamental(T_1_0, K), points0, points1)
    moved = moved_px(T_1_0, points0, points1, K)
    limit_px = max(
        threshold_px, FIT_SIGMAS * noise_sigma(distance**2, 1, NOISE_START * threshold_px)
    )
    chosen = np.asarray((distance < limit_px) & (moved > -limit_px), np.bool_)
    if not chosen.any():
        return chosen, MIN_LOSS_SCALE_PX
    far_px = MAX_PARALLAX * float(np.percentile(moved[chosen], 90)) + NOISE_START * threshold_px
    chosen &= (moved < far_px) & (epipole_distance(T_1_0, points0, points1, K) > MIN_EPIPOLE_PX)
    median = float(np.median(distance[chosen])) if chosen.any() else 0.0
    return chosen, max(MEDIAN_TO_SIGMA * median, MIN_LOSS_SCALE_PX)


def _refined(
    T_1_0: Float, points0: Float, points1: Float, K: Float, threshold_px: float
) -> tuple[Float, Bool]:
    """Refine a motion twice over what it fits; return it with its inliers."""
    for _ in range(NUM_REFINEMENTS):
        chosen, scale = motion_fit(T_1_0, points0, points1, K, threshold_px)
        if chosen.sum() >= MIN_MATCHES:
            T_1_0 = refine_motion(T_1_0, points0[chosen], points1[chosen], K, scale)
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
    # A few of them nearly always have as many.
    if _num_distinct(points0[:A_FEW], points1[:A_FEW]) < MIN_MATCHES:
        num_distinct = _num_distinct(points0, points1)
        if num_distinct < MIN_MATCHES:
            return f"degenerate: {num_distinct} distinct points in {len(points0)} {what}"
    if min(spread(points0), spread(points1)) < MIN_SPREAD_PX:
        return f"degenerate: {len(points0)} {what} on one line"
    return None


def _num_distinct(points0: Float, points1: Float) -> int:
    return min(num_distinct_points(points0), num_distinct_points(points1))


def num_distinct_points(points: Float) -> int:
    """Return how many different points there are in (M, 2); SIFT gives one for each orientation."""
    # A set of Python's is four times as fast as np.unique.
    return len(set(np.ascontiguousarray(points, np.float64).view(np.complex128).ravel().tolist()))


def estimate_homography(
    points0: Float, points1: Float, limits: Limits, seed: int
) -> tuple[Float | None, Bool]:
    """Find H_1_0 (3, 3), H[2, 2] = 1, by sampling and least squares over its inliers (M,).

    None where the matches do not determine one, or fit it no better than chance would.
    """
    usable = finite_rows(points0, points1)
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


def finite_rows(points0: Float, points1: Float) -> Bool:
    """Return which matches (M,) have finite points in both views."""
    return np.asarray(np.isfinite(np.hstack([points0, points1])).all(axis=1), np.bool_)
