"""How much is chance."""

import math

import numpy as np
import pytest

from nodes.vision.significance import (
    epipolar_false_alarms,
    homography_false_alarms,
    rotation_false_alarms,
)

CORNERS = np.array([[0.0, 0.0], [639.0, 479.0]])


def spread_out(num_points: int) -> np.ndarray:
    """Return points (M, 2) whose box is 640 x 480."""
    return np.vstack([CORNERS, np.full((num_points - 2, 2), 100.0)])


def test_the_count_of_epipolar_false_alarms_is_that_of_the_formula() -> None:
    points = spread_out(20)
    chance = 2 * math.sqrt(2) * 1.0 * 800 / (640 * 480)
    expected = 10 * 15 * math.comb(20, 12) * math.comb(12, 5) * chance**7
    found = epipolar_false_alarms(12, points, points, 1.0)
    assert found == pytest.approx(math.log10(expected))


def test_the_count_of_homography_false_alarms_is_that_of_the_formula() -> None:
    points = spread_out(20)
    chance = math.pi * 9 / (640 * 480)
    expected = 16 * math.comb(20, 6) * math.comb(6, 4) * chance**2
    assert homography_false_alarms(6, points, points, 3.0) == pytest.approx(math.log10(expected))


def test_no_more_inliers_than_a_sample_prove_nothing() -> None:
    points = spread_out(20)
    assert epipolar_false_alarms(5, points, points, 1.0) == math.inf
    assert homography_false_alarms(4, points, points, 1.0) == math.inf


def test_inliers_prove_more_the_more_they_are_and_less_in_a_small_area() -> None:
    points = spread_out(100)
    by_count = [epipolar_false_alarms(k, points, points, 1.0) for k in (10, 20, 40, 80)]
    assert by_count == sorted(by_count, reverse=True)
    assert epipolar_false_alarms(40, points, points / 20, 1.0) > 0 > by_count[2]


def test_in_an_area_smaller_than_the_threshold_nothing_is_proved() -> None:
    points = spread_out(30) / 1000
    assert epipolar_false_alarms(30, points, points, 1.0) > 0
    assert homography_false_alarms(30, points, points, 1.0) > 0


def test_the_count_of_rotation_false_alarms_is_that_of_the_formula() -> None:
    points = spread_out(20)
    chance = math.pi * 4 / (640 * 480)
    expected = 18 * math.comb(20, 5) * math.comb(5, 2) * chance**3
    assert rotation_false_alarms(5, points, points, 2.0) == pytest.approx(math.log10(expected))
    assert rotation_false_alarms(2, points, points, 2.0) == math.inf
