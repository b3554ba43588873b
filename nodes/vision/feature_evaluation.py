"""How good keypoints, descriptors and matches are, where the truth is a homography or true corners.

Points are (N, 2), (x, y) pixels, the centre of the first pixel at (0, 0); sizes are (width, height)
in pixels; matches are (M, 2), column 0 in image 0, column 1 in image 1. Distances between points of
two images are measured in image 1. What is within a threshold is at most so far away.

The measures are those of SuperPoint (DeTone, Malisiewicz & Rabinovich, CVPR Workshops 2018,
sections 5 and 7 and appendices A to C) and of D2-Net (Dusmanu et al., CVPR 2019, section 5.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nodes.vision.matching import Neighbours
from nodes.vision.robust import Limits, sample_homography

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Matches = npt.NDArray[np.int32]
Size = tuple[int, int]
"""(width, height), pixels."""

THRESHOLD_PX = 3.0
HOMOGRAPHY_LIMITS = Limits(3.0, min_iterations=1, max_iterations=10_000)
NUM_TRIALS = 5


@dataclass(frozen=True, eq=False)
class PlanarPair:
    """Two images of one plane, or from one place: H_1_0 (3, 3) carries points of 0 into 1.

    Its third coordinate is positive where image 0 shows the plane.
    """

    H_1_0: Float
    size0: Size
    size1: Size

    def carried(self, points0: Points) -> Float:
        """Return points of image 0 (N, 2) in image 1."""
        return transform(self.H_1_0, points0)

    def is_shared0(self, points0: Points) -> Bool:
        """Return which points of image 0 (N, 2) image 1 shows too."""
        return is_inside(self.carried(points0), self.size1)

    def is_shared1(self, points1: Points) -> Bool:
        """Return which points of image 1 (N, 2) image 0 shows too."""
        H_0_1 = np.linalg.inv(self.H_1_0).astype(np.float64)
        return is_inside(transform(H_0_1, points1), self.size0)

    def errors(self, points0: Points, points1: Points) -> Float:
        """Return how far points1 (M, 2) are from the true places of points0 (M, 2), pixels (M,)."""
        return distances(self.carried(points0), np.asarray(points1, np.float64))


@dataclass(frozen=True)
class Repeatability:
    """How often keypoints are found again, and how exactly."""

    share: float
    """Of the keypoints in the shared region of both images; 0 where there are none."""
    localisation_px: float | None
    """Mean distance of those found again; None where none is."""


def transform(H: Float, points: Points) -> Float:
    """Carry points (..., 2) by a homography; what it sends to infinity or behind is infinite."""
    carried = np.asarray(points, np.float64) @ H[:, :2].T + H[:, 2]
    depth = carried[..., 2:]
    is_ahead = depth > 1e-12
    return np.where(is_ahead, carried[..., :2] / np.where(is_ahead, depth, 1.0), np.inf)


def distances(points0: Float, points1: Float) -> Float:
    """Return the distances (M,) of points row by row; infinite where a point is."""
    result = np.full(len(points0), np.inf)
    is_finite = _is_finite(points0) & _is_finite(points1)
    result[is_finite] = np.hypot(*(points0[is_finite] - points1[is_finite]).T)
    return result


def is_inside(points: Float, size: Size) -> Bool:
    """Return which points (N, 2) lie between the centres of the outermost pixels of an image."""
    return np.asarray(((points >= 0) & (points <= np.array(size) - 1)).all(axis=1), np.bool_)


def nearest_distances(points: Float, others: Float) -> Float:
    """Return how far the nearest of the others (K, 2) is from each point (N, 2), pixels (N,)."""
    result = np.full(len(points), np.inf)
    is_finite, others = _is_finite(points), others[_is_finite(others)]
    if is_finite.any() and len(others):
        result[is_finite] = cKDTree(others).query(points[is_finite])[0]
    return result


def repeatability(
    points0: Points, points1: Points, pair: PlanarPair, threshold_px: float = THRESHOLD_PX
) -> Repeatability:
    """Count the keypoints of the shared region that have one of the other image within a threshold.

    DeTone et al., appendices A and B: symmetric, over the keypoints of both images.
    """
    shown0 = pair.carried(points0[pair.is_shared0(points0)])
    shown1 = np.asarray(points1[pair.is_shared1(points1)], np.float64)
    nearest = np.concatenate([nearest_distances(shown0, shown1), nearest_distances(shown1, shown0)])
    found = nearest[nearest <= threshold_px]
    mean_px = float(found.mean()) if len(found) else None
    return Repeatability(len(found) / max(1, len(nearest)), mean_px)


def matching_score(
    points0: Points,
    points1: Points,
    matches: Matches,
    pair: PlanarPair,
    threshold_px: float = THRESHOLD_PX,
) -> float:
    """Return the right matches as a share of the keypoints in the shared region, from 0 to 1.

    The mean of both directions; 0 for one without keypoints there (DeTone et al., appendix C).
    """
    shared0, shared1 = pair.is_shared0(points0), pair.is_shared1(points1)
    index0, index1 = matches.T
    is_right = pair.errors(points0[index0], points1[index1]) <= threshold_px
    score0 = np.sum(is_right & shared0[index0]) / max(1, shared0.sum())
    score1 = np.sum(is_right & shared1[index1]) / max(1, shared1.sum())
    return float(score0 + score1) / 2


def share_within(errors_px: Float, thresholds_px: Sequence[float]) -> Float:
    """Return the share of errors (M,) within each threshold (T,), from 0 to 1; 0 if there are none.

    Of matches it is their accuracy (its mean over pairs is D2-Net's MMA), of corner errors the
    homography accuracy (DeTone et al., section 7.3).
    """
    if not len(errors_px):
        return np.zeros(len(thresholds_px))
    return np.asarray((errors_px[:, None] <= np.asarray(thresholds_px)).mean(axis=0), np.float64)


def area_under_accuracy(errors_px: Float, limit_px: float) -> float:
    """Return the mean over all thresholds up to a limit of the share of errors (M,) within them.

    Unlike the share at one threshold it does not jump where an error crosses it. 0 without errors.
    """
    return float(np.maximum(0, 1 - errors_px / limit_px).mean()) if len(errors_px) else 0.0


def average_precision(scores: Points, is_right: Bool, num_truths: int) -> float:
    """Return the area under precision over recall of answers with scores (N,), higher being better.

    Each right answer adds one to the recall of `num_truths`; answers of equal score enter together,
    so that their order does not matter. 0 where there is no truth, or no answer.
    """
    if not num_truths or not len(scores):
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    right = np.cumsum(is_right[order])[ends]
    return float(np.sum(np.diff(right, prepend=0) * right / (ends + 1)) / num_truths)


def nearest_neighbour_precision(
    points0: Points,
    points1: Points,
    there: Neighbours,
    back: Neighbours,
    pair: PlanarPair,
    threshold_px: float = THRESHOLD_PX,
) -> float:
    """Return the average precision of nearest neighbours by descriptor, sorted by their distance.

    Every keypoint answers with its nearest neighbour, whether mutual or not; the truths are the
    keypoints that have one of the other image within the threshold. `there` are the neighbours of
    points0 among points1, `back` those of points1 among points0; the mean of both directions
    (DeTone et al., appendix C).
    """
    if not len(points0) or not len(points1):
        return 0.0
    carried, shown1 = pair.carried(points0), np.asarray(points1, np.float64)
    sides = (
        (there, pair.errors(points0, points1[there.nearest]), nearest_distances(carried, shown1)),
        (back, pair.errors(points0[back.nearest], points1), nearest_distances(shown1, carried)),
    )
    areas = [
        average_precision(
            -found.distance, errors <= threshold_px, int(np.sum(possible <= threshold_px))
        )
        for found, errors, possible in sides
    ]
    return sum(areas) / 2


def corner_error(H_1_0: Float | None, pair: PlanarPair) -> float:
    """Return the mean distance of image 0's corners, carried by H_1_0 and by the truth, pixels.

    Infinite where there is no homography (DeTone et al., section 7.3).
    """
    if H_1_0 is None:
        return float("inf")
    right, bottom = pair.size0[0] - 1, pair.size0[1] - 1
    corners = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)
    return float(distances(transform(H_1_0, corners), pair.carried(corners)).mean())


def homography_errors(
    points0: Points,
    points1: Points,
    pair: PlanarPair,
    num_trials: int = NUM_TRIALS,
    limits: Limits = HOMOGRAPHY_LIMITS,
) -> Float:
    """Return the corner errors (num_trials,) of homographies estimated from matched points (M, 2).

    Every trial has its own seed and order of the matches; fewer than four give infinite errors.
    """
    errors = np.full(num_trials, np.inf)
    if len(points0) >= 4:
        for trial in range(num_trials):
            order = np.random.default_rng(trial).permutation(len(points0))
            x0, x1 = (np.asarray(p[order], np.float64) for p in (points0, points1))
            errors[trial] = corner_error(sample_homography(x0, x1, limits, trial), pair)
    return errors


def find_true(points: Points, corners: Points, threshold_px: float = THRESHOLD_PX) -> Bool:
    """Return which detections (N, 2), best first, are true corners (C, 2); a corner counts once.

    Each takes the nearest corner within the threshold that no better one has taken.
    """
    is_right = np.zeros(len(points), np.bool_)
    if not len(corners):
        return is_right
    is_free = np.ones(len(corners), np.bool_)
    for row, point in enumerate(np.asarray(points, np.float64)):
        far = np.where(is_free, np.hypot(*(corners - point).T), np.inf)
        nearest = int(far.argmin())
        if far[nearest] <= threshold_px:
            is_right[row], is_free[nearest] = True, False
    return is_right


def _is_finite(points: Float) -> Bool:
    return np.asarray(np.isfinite(points).all(axis=1), np.bool_)
