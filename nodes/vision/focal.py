"""The focal length of an uncalibrated camera, from pairs of pictures that it took.

A pair tells the focal length only where it sees depth from two sides, with optical axes that are
neither parallel nor meet (Sturm, Cheng, Chen & Poo, "Focal length calibration from two views",
CVIU 2005, section 4), or a turn that is large enough (Hartley, "Self-calibration from multiple
views with a rotating camera", ECCV 1994). Near other motions noise decides, and so does what the
model leaves out: where the principal point is, and how the lens distorts. The uncertainty that both
leave says whether a pair can tell. A plane misleads without looking uncertain, and is sorted out.

`points0` and `points1` are (M, 2) float64, pixels relative to the centre of the picture, row by row
a match; `longer_px` is the longer side of the picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.focal_fit import View, fit_view
from nodes.vision.robust import Limits, sample_homography, sample_motion_and_focal
from nodes.vision.significance import epipolar_false_alarms
from nodes.vision.two_view import fundamental, sampson_distance, transfer_distance

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LIMITS = Limits(threshold_px=1.5, min_iterations=100, max_iterations=500)
MIN_INLIERS = 30
MAX_FLAT = 0.8  # share of the inliers of a pair that one homography may explain
MAX_SIGMA = 0.2  # a pair that is less certain of the logarithm of its focal length is not asked
FOCAL_RANGE = (0.6, 6.0)  # times half the longer side: fields of view from 118 to 19 degrees
MIN_NOISE_PX = 0.1  # keeps exact points from being infinitely certain
UNEXPLAINED_SIGMA = 0.1  # what moves a pair's answer beside all this, from real pictures
COMMON_SIGMA = 0.07  # and what moves all pairs of a camera alike, such as its lens
NUM_RESAMPLES = 200


@dataclass(frozen=True)
class PairFocal:
    """The focal length that a pair tells, and the standard deviation of its logarithm."""

    focal_px: float
    sigma: float


@dataclass(frozen=True)
class SharedFocal:
    """One focal length for all pairs, and by what factor (standard deviation) it may be wrong."""

    focal_px: float
    spread: float
    num_pairs: int

    @property
    def range_px(self) -> tuple[float, float]:
        """One standard deviation down and up."""
        return self.focal_px / (1 + self.spread), self.focal_px * (1 + self.spread)


def estimate_focal(points0: Float, points1: Float, longer_px: float, seed: int) -> PairFocal | None:
    """Return the focal length that a pair tells, None where it cannot tell one."""
    if len(points0) < MIN_INLIERS:
        return None
    found = sample_motion_and_focal(points0, points1, LIMITS, seed)
    if found is None:
        return None
    T_1_0, focal_px = found
    near = sampson_distance(_fundamental(T_1_0, focal_px), points0, points1) < LIMITS.threshold_px
    if not _is_credible(near, points0, points1):
        return None
    half = longer_px / 2
    start = View(T_1_0, math.log(np.clip(focal_px / half, *FOCAL_RANGE)))
    view, sigma = fit_view(start, points0[near] / half, points1[near] / half, MIN_NOISE_PX / half)
    focal = math.exp(view.log_focal)
    if sigma > MAX_SIGMA or not FOCAL_RANGE[0] < focal < FOCAL_RANGE[1]:
        return None
    pair = PairFocal(focal * half, sigma)
    is_told = not _is_plane(view.T_1_0, pair.focal_px, points0[near], points1[near], seed)
    return pair if is_told else None


def combine_focals(pairs: Sequence[PairFocal], seed: int = 0) -> SharedFocal:
    """Return the median of the pairs (at least one), weighted by how certain they are.

    Its spread is that of the medians of resampled pairs (Efron & Tibshirani, An Introduction to the
    Bootstrap, 1993, section 6), never below what the pairs claim of themselves, with what they have
    in common added.
    """
    logs = np.log([pair.focal_px for pair in pairs])
    weights = 1 / (np.array([pair.sigma for pair in pairs]) ** 2 + UNEXPLAINED_SIGMA**2)
    draws = np.random.default_rng(seed).integers(0, len(logs), (NUM_RESAMPLES, len(logs)))
    medians = [_weighted_median(logs[draw], weights[draw]) for draw in draws]
    sampling = max(float(np.std(medians)), float(weights.sum() ** -0.5))
    focal_px = math.exp(_weighted_median(logs, weights))
    return SharedFocal(focal_px, math.hypot(sampling, COMMON_SIGMA), len(pairs))


def _weighted_median(values: Float, weights: Float) -> float:
    """Return the value with half of the weight on either side, between the two nearest."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(weights.sum() / 2, below, values[order]))


def _fundamental(T_1_0: Float, focal_px: float) -> Float:
    return fundamental(T_1_0, np.diag([focal_px, focal_px, 1.0]))


def _is_credible(inliers: Bool, points0: Float, points1: Float) -> bool:
    count = int(inliers.sum())
    return (
        count >= MIN_INLIERS
        and epipolar_false_alarms(count, points0, points1, LIMITS.threshold_px) < 0
    )


def _is_plane(T_1_0: Float, focal_px: float, points0: Float, points1: Float, seed: int) -> bool:
    """Say whether one homography explains most of the inliers, but not that of the turn alone."""
    H_1_0 = sample_homography(points0, points1, LIMITS, seed)
    K = np.diag([focal_px, focal_px, 1.0])
    turn = K @ T_1_0[:3, :3] @ np.linalg.inv(K)
    return (
        H_1_0 is not None
        and _share(H_1_0, points0, points1) > MAX_FLAT
        and _share(turn, points0, points1) < MAX_FLAT
    )


def _share(H_1_0: Float, points0: Float, points1: Float) -> float:
    return float(np.mean(transfer_distance(H_1_0, points0, points1) < LIMITS.threshold_px))
