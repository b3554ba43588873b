"""Whether the inliers of a robust fit are more than chance would bring.

A-contrario reasoning (Moisan & Stival, "A probabilistic criterion to detect rigid point matches",
IJCV 2004, section 3; Moulon, Monasse & Marlet, ACCV 2012, section 2): among matches thrown at
random over the picture, how many models would one expect to find with so many inliers? Below 1 the
model means something. Matches that are wrong and yet all stay near their place are not random, and
may pass. All logarithms are to the base 10.
"""

import math

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


def epipolar_false_alarms(
    num_inliers: int, points0: Float, points1: Float, threshold_px: float
) -> float:
    """Return the logarithm of the number of essential matrices that chance fits as well.

    Args:
        num_inliers: matches within the threshold.
        points0, points1: (M, 2) pixels, all matches.
        threshold_px: largest Sampson distance of an inlier.
    """
    # A Sampson distance is shared by two views: in one of them a point is sqrt(2) times as far from
    # its line. The strip on both sides of the longest line is what chance has to hit.
    chance = max(
        2 * math.sqrt(2) * threshold_px * math.hypot(*_extent(points)) / math.prod(_extent(points))
        for points in (points0, points1)
    )
    return _false_alarms(num_inliers, len(points0), min(chance, 1.0), sample=5, num_models=10)


def homography_false_alarms(
    num_inliers: int, points0: Float, points1: Float, threshold_px: float
) -> float:
    """Return the logarithm of the number of homographies that chance fits as well.

    Arguments as above; `threshold_px` is the largest transfer distance of an inlier.
    """
    chance = math.pi * threshold_px**2 / math.prod(_extent(points1))
    return _false_alarms(num_inliers, len(points0), min(chance, 1.0), sample=4, num_models=1)


def rotation_false_alarms(
    num_inliers: int, points0: Float, points1: Float, threshold_px: float
) -> float:
    """Return the logarithm of the number of rotations that chance fits as well.

    Arguments as above.
    """
    chance = math.pi * threshold_px**2 / math.prod(_extent(points1))
    return _false_alarms(num_inliers, len(points0), min(chance, 1.0), sample=2, num_models=1)


def _extent(points: Float) -> tuple[float, float]:
    """Return width and height of the box around points, pixels."""
    width, height = (float(values.max() - values.min()) + 1 for values in points.T)
    return width, height


def _false_alarms(k: int, n: int, chance: float, sample: int, num_models: int) -> float:
    """Return log10(num_models (n - sample) C(n, k) C(k, sample) chance^(k - sample))."""
    if k <= sample:
        return math.inf
    tests = math.log10(num_models * (n - sample)) + _log_choose(n, k) + _log_choose(k, sample)
    return tests + (k - sample) * math.log10(chance)


def _log_choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)
