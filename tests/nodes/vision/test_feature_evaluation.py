"""Measures of features, against values worked out by hand and exact warps."""

import math

import numpy as np
import pytest

from nodes.vision.feature_evaluation import (
    PlanarPair,
    area_under_accuracy,
    average_precision,
    corner_error,
    distances,
    find_true,
    homography_errors,
    is_inside,
    matching_score,
    nearest_distances,
    nearest_neighbour_precision,
    repeatability,
    share_within,
    transform,
)
from nodes.vision.matching import find_neighbours, select_matches

SIZE = (100, 80)
SAME = PlanarPair(np.eye(3), SIZE, SIZE)
SHIFT = PlanarPair(np.array([[1.0, 0, 50], [0, 1, 0], [0, 0, 1]]), SIZE, SIZE)
NONE = np.empty((0, 2), np.float32)
NO_MATCH = np.empty((0, 2), np.int32)


def points(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def matches(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, np.int32)


def swapped(pair: PlanarPair) -> PlanarPair:
    return PlanarPair(np.linalg.inv(pair.H_1_0), pair.size1, pair.size0)


def tilted() -> PlanarPair:
    """Return a warp with turn, zoom and perspective; all of image 1's corners stay ahead."""
    turn = np.array([[0.8, -0.3, 40.0], [0.35, 0.9, -10.0], [4e-4, -3e-4, 1.0]])
    return PlanarPair(turn, (320, 240), (300, 260))


def scattered(pair: PlanarPair, num: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return points of image 0, some outside image 1, and exactly where image 1 shows them."""
    points0 = np.random.default_rng(3).uniform((0, 0), np.array(pair.size0) - 1, (num, 2))
    return points0, pair.carried(points0)


def test_a_point_behind_or_at_infinity_is_infinitely_far() -> None:
    H = np.array([[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]])
    carried = transform(H, points((5, 1), (10, 1), (20, 1)))
    assert carried[0].tolist() == [10, 2]
    assert np.isposinf(carried[1:]).all()
    assert distances(carried, carried).tolist() == [0, math.inf, math.inf]
    assert not is_inside(carried[1:], SIZE).any()


def test_an_image_reaches_from_its_first_to_its_last_pixel_centre() -> None:
    inside = is_inside(points((0, 0), (99, 79), (99.1, 0), (0, 79.1), (-0.1, 0)), SIZE)
    assert inside.tolist() == [True, True, False, False, False]


def test_nearest_distances_leave_out_what_is_infinite() -> None:
    some = np.array([[0.0, 0], [math.inf, 0], [3, 4]])
    assert nearest_distances(some, np.array([[0.0, 0], [math.inf, 1]])).tolist() == [0, math.inf, 5]
    assert nearest_distances(some, np.empty((0, 2))).tolist() == [math.inf] * 3


def test_perfect_keypoints_of_an_exact_warp_reach_every_best_value() -> None:
    pair = tilted()
    points0, points1 = scattered(pair)
    shown = is_inside(points1, pair.size1)
    assert 20 < shown.sum() < len(shown)
    descriptors = np.eye(len(points0), dtype=np.float32)
    points1, descriptors1 = points1[shown], descriptors[shown]
    there, back = (
        find_neighbours(descriptors, descriptors1),
        find_neighbours(descriptors1, descriptors),
    )
    found = select_matches(there, cross_check=True)
    found = found[shown[found[:, 0]]]
    again = repeatability(points0, points1, pair)
    assert again.share == 1
    assert again.localisation_px == pytest.approx(0, abs=1e-9)
    assert matching_score(points0, points1, found, pair) == 1
    assert share_within(pair.errors(points0[found[:, 0]], points1[found[:, 1]]), [1e-6]) == [1]
    assert nearest_neighbour_precision(points0, points1, there, back, pair) == 1
    errors = homography_errors(points0[found[:, 0]], points1[found[:, 1]], pair)
    assert errors.shape == (5,)
    assert errors.max() < 1e-3


def test_repeatability_counts_the_shared_region_of_both_images() -> None:
    # (10, 10) is found again 2 px off, (20, 20) is not (4 px), (70, 10) leaves the image; in image
    # 1 (20, 70) shows nothing that image 0 has.
    points0 = points((10, 10), (20, 20), (70, 10))
    points1 = points((60, 12), (74, 20), (20, 70))
    found = repeatability(points0, points1, SHIFT)
    assert found.share == 2 / 4
    assert found.localisation_px == pytest.approx(2)
    wider = repeatability(points0, points1, SHIFT, threshold_px=4)
    assert wider.share == 1
    assert wider.localisation_px == pytest.approx(3)


def test_repeatability_is_that_of_the_images_the_other_way_round() -> None:
    rng = np.random.default_rng(1)
    points0, points1 = rng.uniform(0, 79, (2, 120, 2))
    here, there = (
        repeatability(points0, points1, SHIFT),
        repeatability(points1, points0, swapped(SHIFT)),
    )
    assert 0 < here.share < 1
    assert here.share == there.share
    assert here.localisation_px == pytest.approx(there.localisation_px)


@pytest.mark.parametrize(("points0", "points1"), [(NONE, NONE), (NONE, points((3, 3)))])
def test_without_keypoints_nothing_is_repeated_and_nothing_has_a_place(
    points0: np.ndarray, points1: np.ndarray
) -> None:
    for found in (repeatability(points0, points1, SAME), repeatability(points1, points0, SAME)):
        assert found.share == 0
        assert found.localisation_px is None


def test_the_matching_score_is_the_mean_over_both_images_shared_keypoints() -> None:
    points0 = points((10, 10), (20, 20), (30, 30), (70, 10))  # three of them shared
    points1 = points((60, 10), (70, 26), (20, 70))  # two of them
    found = matches((0, 0), (1, 1))  # the second is 6 px off
    assert matching_score(points0, points1, found, SHIFT) == pytest.approx((1 / 3 + 1 / 2) / 2)
    backwards = matching_score(points1, points0, found[:, ::-1], swapped(SHIFT))
    assert backwards == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert matching_score(points0, points1, found, SHIFT, threshold_px=6) == pytest.approx(5 / 6)


def test_a_right_match_from_outside_the_shared_region_counts_for_the_other_image_only() -> None:
    found = matching_score(
        points((10, 10), (50, 10)), points((60, 10), (99, 10)), matches((1, 1)), SHIFT
    )
    assert found == pytest.approx((0 / 1 + 1 / 2) / 2)
    other = matching_score(points((0, 10)), points((48, 10), (60, 10)), matches((0, 0)), SHIFT)
    assert other == pytest.approx((1 / 1 + 0 / 1) / 2)


def test_without_keypoints_or_matches_the_matching_score_is_0() -> None:
    assert matching_score(NONE, NONE, NO_MATCH, SAME) == 0
    assert matching_score(points((1, 1)), points((1, 1)), NO_MATCH, SAME) == 0


def test_shares_within_thresholds_include_the_threshold() -> None:
    errors = np.array([0.5, 1.0, 3.0, 3.01, math.inf])
    assert share_within(errors, [1, 3, 5]).tolist() == [0.4, 0.6, 0.8]
    assert share_within(np.empty(0), [1, 3]).tolist() == [0, 0]


def test_the_area_under_the_accuracy_is_the_mean_over_all_thresholds() -> None:
    errors = np.array([0.0, 2.5, 5.0, math.inf])
    thresholds = (np.arange(100_000) + 0.5) / 100_000 * 5
    assert area_under_accuracy(errors, 5) == pytest.approx(
        share_within(errors, thresholds).mean(), abs=1e-4
    )
    assert area_under_accuracy(errors, 5) == pytest.approx(1.5 / 4)
    assert area_under_accuracy(np.empty(0), 5) == 0


def test_average_precision_is_the_area_under_the_steps_of_precision() -> None:
    # Right answers at places 1 and 3 of five truths: (1/1 + 2/3) / 5.
    scores, is_right = np.array([0.2, 0.9, 0.5]), np.array([True, True, False])
    assert average_precision(scores, is_right, 5) == pytest.approx((1 + 2 / 3) / 5)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_answers_of_equal_score_enter_together(order: list[int]) -> None:
    scores, is_right = np.array([1.0, 1.0, 1.0]), np.array([True, False, True])
    assert average_precision(scores, is_right[order], 2) == pytest.approx(2 / 3)


def test_without_truths_or_answers_the_average_precision_is_0() -> None:
    assert average_precision(np.array([1.0]), np.array([False]), 0) == 0
    assert average_precision(np.empty(0), np.empty(0, np.bool_), 3) == 0


def test_nearest_neighbours_are_sorted_by_their_distance_in_both_directions() -> None:
    # Keypoints 0 and 1 of both images are the same two points. Descriptors (of one value): 0 finds
    # 0 from 0.1 away; 1 finds 0 as well, wrongly, from 1.1 away; 1 of image 1 finds 1, from 3 away.
    points0, points1 = points((10, 10), (30, 30)), points((10, 11), (30, 31))
    descriptors0 = np.array([[0.1], [1.1]], np.float32)
    descriptors1 = np.array([[0.0], [4.1]], np.float32)
    there = find_neighbours(descriptors0, descriptors1)
    back = find_neighbours(descriptors1, descriptors0)
    assert there.nearest.tolist() == [0, 0]
    assert back.nearest.tolist() == [0, 1]
    found = nearest_neighbour_precision(points0, points1, there, back, SAME)
    assert found == pytest.approx((1 / 2 + 2 / 2) / 2)
    backwards = nearest_neighbour_precision(points1, points0, back, there, SAME)
    assert backwards == pytest.approx(found)


def test_a_confident_wrong_neighbour_costs_precision() -> None:
    points0, points1 = points((10, 10), (30, 30)), points((10, 10), (60, 60))
    values = np.array([[0.0], [5.0]], np.float32)
    for wrong, expected in ((0.5, 1.0), (0.01, 0.5)):  # the right one is 0.1 away
        others = values + np.array([[0.1], [wrong]], np.float32)
        there, back = find_neighbours(values, others), find_neighbours(others, values)
        found = nearest_neighbour_precision(points0, points1, there, back, SAME)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(("num0", "num1"), [(0, 0), (0, 2), (2, 0)])
def test_without_keypoints_the_neighbours_precision_is_0(num0: int, num1: int) -> None:
    some = points((1, 1), (5, 5))
    descriptors = np.eye(2, dtype=np.float32)
    there = find_neighbours(descriptors[:num0], descriptors[:num1])
    back = find_neighbours(descriptors[:num1], descriptors[:num0])
    assert nearest_neighbour_precision(some[:num0], some[:num1], there, back, SAME) == 0


def test_the_corner_error_is_the_mean_over_the_four_corners_of_image_0() -> None:
    assert corner_error(np.array([[1.0, 0, 3], [0, 1, 4], [0, 0, 1]]), SAME) == pytest.approx(5)
    stretched = np.diag([1 + 2 / 99, 1, 1])  # moves the two right corners by 2 px
    assert corner_error(stretched, SAME) == pytest.approx(1)
    assert corner_error(np.eye(3), SAME) == 0


def test_a_missing_homography_and_one_that_sends_a_corner_behind_err_infinitely() -> None:
    assert corner_error(None, SAME) == math.inf
    assert corner_error(np.array([[1.0, 0, 0], [0, 1, 0], [-0.02, 0, 1]]), SAME) == math.inf


def test_fewer_than_four_matches_give_infinite_errors() -> None:
    three = points((1, 1), (50, 2), (3, 70))
    assert homography_errors(three, three, SAME, num_trials=2).tolist() == [math.inf, math.inf]
    assert homography_errors(NONE, NONE, SAME).tolist() == [math.inf] * 5


def test_a_homography_survives_outliers_and_repeats_to_the_bit() -> None:
    pair = tilted()
    points0, points1 = scattered(pair)
    rng = np.random.default_rng(5)
    points1 = points1 + rng.normal(0, 0.5, points1.shape)
    points1[:80] = rng.uniform(0, 240, (80, 2))
    errors = homography_errors(points0, points1, pair)
    assert errors.max() < 1
    assert len(set(errors.tolist())) > 1  # the trials differ
    assert errors.tolist() == homography_errors(points0, points1, pair).tolist()


def test_matches_that_fit_no_homography_do_not_raise() -> None:
    same_place = np.repeat(points((5, 5)), 10, axis=0)
    assert (homography_errors(same_place, same_place, SAME) > 0).all()


def test_a_true_corner_counts_once_and_goes_to_the_best_detection() -> None:
    corners = np.array([[10.0, 10], [20, 10]])
    best_first = points((11, 10), (10, 10), (20, 13), (20, 13.1), (50, 50))
    assert find_true(best_first, corners).tolist() == [True, False, True, False, False]
    assert find_true(best_first[3:], corners).tolist() == [False, False]


def test_a_detection_takes_the_nearest_corner_that_is_free() -> None:
    corners = np.array([[10.0, 10], [12, 10]])
    assert find_true(points((11.5, 10), (12.5, 10), (10, 10)), corners).tolist() == [
        True,
        True,
        False,
    ]
    assert not find_true(points((11.5, 10)), np.empty((0, 2))).any()
    assert find_true(NONE, corners).shape == (0,)
