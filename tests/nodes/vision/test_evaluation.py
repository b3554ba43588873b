"""Errors are what they are known to be: exact poses, one degree, missing poses, areas by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.covariance import moved_direction
from nodes.vision.evaluation import (
    PairError,
    auc,
    normalised_error_squared,
    pair_stamps,
    relative_pose,
    score_pair,
    summarise,
    summarise_nees,
    time_tolerance_ns,
    unexplained_flow,
)
from nodes.vision.se3 import from_rotation_translation, inverse

MS = 1_000_000
R = Rotation.from_rotvec([0.1, -0.3, 0.05]).as_matrix()
T_TRUE = from_rotation_translation(R, np.array([0.2, 0.1, 2.0]))


def _turned(T: np.ndarray, axis: str, rotation_deg: float, direction_deg: float) -> np.ndarray:
    """Return T with its rotation and, perpendicular to its translation, its direction turned."""
    R_off = Rotation.from_euler(axis, rotation_deg, degrees=True).as_matrix() @ T[:3, :3]
    t = T[:3, 3] / np.linalg.norm(T[:3, 3])
    side = np.cross(t, [1.0, 0, 0])
    angle = np.radians(direction_deg)
    t_off = np.cos(angle) * t + np.sin(angle) * side / np.linalg.norm(side)
    return from_rotation_translation(R_off, t_off)


# ---------------------------------------------------------------- one pair


def test_an_exact_pose_has_no_error_whatever_its_scale() -> None:
    error = score_pair(_turned(T_TRUE, "x", 0, 0), T_TRUE, None)
    assert error.rotation_deg == pytest.approx(0, abs=1e-6)
    assert error.direction_deg == pytest.approx(0, abs=1e-6)
    assert error.has_pose


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_one_degree_of_rotation_is_one_degree(axis: str) -> None:
    error = score_pair(_turned(T_TRUE, axis, 1, 0), T_TRUE, None)
    assert error.rotation_deg == pytest.approx(1, abs=1e-9)
    assert error.direction_deg == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("degrees", [0.001, 3.0, 90.0, 179.0])
def test_a_turned_direction_is_seen_in_degrees(degrees: float) -> None:
    error = score_pair(_turned(T_TRUE, "x", 0, degrees), T_TRUE, None)
    assert error.direction_deg == pytest.approx(degrees, abs=1e-9)
    assert error.rotation_deg == pytest.approx(0, abs=1e-6)


def test_a_missing_pose_counts_as_180_degrees() -> None:
    assert score_pair(None, T_TRUE, 5.0) == PairError(180.0, 180.0, False, 5.0)


def test_no_translation_where_there_is_one_counts_as_180_degrees() -> None:
    still = from_rotation_translation(T_TRUE[:3, :3], np.zeros(3))
    assert score_pair(still, T_TRUE, None).direction_deg == 180.0


def test_a_camera_that_truly_stands_still_has_no_direction_to_judge() -> None:
    turning = from_rotation_translation(R, np.zeros(3))
    error = score_pair(T_TRUE, turning, None)
    assert error.direction_deg is None
    assert not error.is_direction_seen
    assert score_pair(None, turning, None) == PairError(180.0, None, False)


def test_the_relative_pose_of_two_cameras_maps_points_from_prev_to_cur() -> None:
    T_world_prev = from_rotation_translation(R, np.array([1.0, 2, 3]))
    T_world_cur = T_world_prev @ inverse(T_TRUE)
    assert np.allclose(relative_pose(T_world_prev, T_world_cur), T_TRUE)


# ---------------------------------------------------------------- flow

K = np.array([[500.0, 0, 320], [0, 400, 240], [0, 0, 1]])


def _normalised(points: np.ndarray) -> np.ndarray:
    return points[:, :2] / points[:, 2:]


def test_a_pure_rotation_explains_all_flow() -> None:
    points = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 8], (50, 3))
    flow = unexplained_flow(_normalised(points), _normalised(points @ R.T), K, R)
    assert flow == pytest.approx(0, abs=1e-9)


def test_a_sideways_step_leaves_its_parallax_in_pixels() -> None:
    points = np.random.default_rng(0).uniform([-1, -1, 5], [1, 1, 5], (50, 3))
    cur = points @ R.T
    along_y = cur + np.array([0, 0.1, 0])
    expected = np.median(400 * 0.1 / along_y[:, 2])
    flow = unexplained_flow(_normalised(points), _normalised(along_y), K, R)
    assert flow == pytest.approx(expected, abs=1e-9)


def test_flow_without_points_is_unknown_and_behind_the_camera_without_bound() -> None:
    none = np.empty((0, 2))
    point = np.zeros((1, 2))
    assert unexplained_flow(none, none, K, np.eye(3)) is None
    assert unexplained_flow(point, point, K, np.diag([1.0, -1, -1])) == np.inf


def test_points_that_the_lens_does_not_map_do_not_count_as_flow() -> None:
    prev = np.array([[0, 0], [np.nan, 0], [0, 0]])
    cur = np.array([[0.01, 0], [5, 5], [0, np.nan]])
    assert unexplained_flow(prev, cur, K, np.eye(3)) == pytest.approx(5)
    assert unexplained_flow(prev[1:], cur[1:], K, np.eye(3)) is None


@pytest.mark.parametrize(("flow_px", "is_seen"), [(1.99, False), (2.0, True), (None, True)])
def test_a_direction_is_scored_from_two_pixels_of_flow(
    flow_px: float | None, is_seen: bool
) -> None:
    assert score_pair(T_TRUE, T_TRUE, flow_px).is_direction_seen == is_seen


# ---------------------------------------------------------------- pairing of stamps


def test_stamps_find_the_nearest_true_pose_within_half_its_spacing() -> None:
    truth = np.arange(0, 100, 10, np.int64) * MS
    stamps = np.array([0, 4, 5, 6, 42, 90, 95, 96, -5, -6], np.int64) * MS
    assert pair_stamps(stamps, truth).tolist() == [0, 0, 0, 1, 4, 9, 9, -1, 0, -1]


def test_the_order_of_the_true_poses_does_not_matter() -> None:
    truth = np.array([30, 10, 20], np.int64) * MS
    assert pair_stamps(np.array([11, 21, 29], np.int64) * MS, truth).tolist() == [1, 2, 0]


def test_slow_ground_truth_is_paired_within_20_ms_at_most() -> None:
    truth = np.array([0, 1000, 2000], np.int64) * MS
    assert time_tolerance_ns(truth) == 20 * MS
    assert pair_stamps(np.array([20, 21, 1980], np.int64) * MS, truth).tolist() == [0, -1, 2]


def test_nanoseconds_of_an_epoch_are_not_lost() -> None:
    truth = 1_341_847_980_722_987_891 + np.arange(3, dtype=np.int64) * 10
    assert pair_stamps(truth + 1, truth).tolist() == [0, 1, 2]


@pytest.mark.parametrize("truth", [[], [7 * MS]])
def test_few_true_poses_pair_what_they_can(truth: list[int]) -> None:
    paired = pair_stamps(np.array([0, 100 * MS], np.int64), np.array(truth, np.int64))
    assert paired.tolist() == [0 if truth else -1, -1]


# ---------------------------------------------------------------- summaries


@pytest.mark.parametrize(
    ("errors", "area"),
    [
        ([0.0], 1.0),
        ([0.0, 0.0, 180.0, 180.0], 0.5),
        ([180.0], 0.0),
        ([5.0, 180.0], (0.5 * 5 / 2 + 0.5 * 5) / 10),  # a ramp to 1/2 at 5, then flat to 10
        ([8.0, 2.0], (0.5 * 2 / 2 + 0.75 * 6 + 1 * 2) / 10),
        ([10.0], 0.0),  # an error at the threshold itself is not below it
    ],
)
def test_the_area_under_the_recall_curve_is_what_hand_and_ruler_give(
    errors: list[float], area: float
) -> None:
    assert auc(errors, 10) == pytest.approx(area, abs=1e-12)


def test_the_area_of_no_errors_is_unknown() -> None:
    assert auc([], 5) is None


def test_a_summary_keeps_pairs_of_small_flow_apart() -> None:
    errors = [
        PairError(1.0, 2.0, True, 10.0),
        PairError(3.0, 4.0, True, 10.0),
        PairError(180.0, 180.0, False, 10.0),
        PairError(7.0, 90.0, True, 0.5),
    ]
    summary = summarise(errors)
    assert (summary["num_scored"], summary["num_missing"]) == (4, 1)
    assert summary["rotation_median_deg"] == 5.0
    assert (summary["num_direction_scored"], summary["direction_median_deg"]) == (3, 4.0)
    assert summary["direction_p90_deg"] == pytest.approx(4 + 0.8 * 176)
    assert (summary["num_small_flow"], summary["small_flow_rotation_median_deg"]) == (1, 7.0)
    assert summary["direction_all_pairs_median_deg"] == 47.0
    assert summary["auc_5_deg"] == pytest.approx(auc([2.0, 4.0, 180.0], 5))


# ---------------------------------------------------------------- covariance


def _disturbed(T: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the truth that differs from T by an error of rotation (3) and direction (2)."""
    turn = Rotation.from_rotvec(error[:3]).as_matrix()
    t = moved_direction(T[:3, 3], error[3:]) if len(error) == 5 else T[:3, 3]
    return from_rotation_translation(turn @ T[:3, :3], 7 * t)


@pytest.mark.parametrize("size", [5, 3])
def test_errors_drawn_from_their_covariance_are_calibrated(size: int) -> None:
    rng = np.random.default_rng(3)
    A = rng.normal(size=(size, size))
    C = 1e-4 * A @ A.T
    T = _turned(T_TRUE, "x", 0, 0)
    drawn = rng.multivariate_normal(np.zeros(size), C, 2000)
    squared = [normalised_error_squared(T, _disturbed(T, error), C) for error in drawn]
    figures = summarise_nees([value for value in squared if value is not None], size)
    assert figures["num_nees"] == 2000
    assert figures["nees_mean"] == pytest.approx(1, abs=0.07)
    assert figures["nees_median"] == pytest.approx(1, abs=0.07)
    assert figures["nees_within_95"] == pytest.approx(0.95, abs=0.015)


def test_a_covariance_that_is_four_times_too_small_shows() -> None:
    T = _turned(T_TRUE, "x", 0, 0)
    drawn = np.random.default_rng(3).normal(scale=0.02, size=(500, 5))
    squared = [normalised_error_squared(T, _disturbed(T, e), 1e-4 * np.eye(5)) for e in drawn]
    figures = summarise_nees([value for value in squared if value is not None], 5)
    assert figures["nees_mean"] == pytest.approx(4, rel=0.1)
    assert figures["nees_median"] == pytest.approx(4, rel=0.1)
    assert (figures["nees_within_95"] or 1) < 0.5


def test_an_opposite_direction_is_half_a_turn_wrong() -> None:
    T = _turned(T_TRUE, "x", 0, 0)
    opposite = from_rotation_translation(T[:3, :3], -T[:3, 3])
    assert normalised_error_squared(T, opposite, np.eye(5)) == pytest.approx(np.pi**2)


def test_where_an_error_has_no_meaning_it_is_unknown() -> None:
    still = from_rotation_translation(R, np.zeros(3))
    assert normalised_error_squared(T_TRUE, still, np.eye(5)) is None
    assert normalised_error_squared(still, T_TRUE, np.eye(5)) is None
    assert normalised_error_squared(T_TRUE, T_TRUE, np.zeros((5, 5))) is None
    assert normalised_error_squared(still, T_TRUE, np.eye(3)) == pytest.approx(0)
    assert summarise_nees([], 5)["nees_median"] is None


def test_a_summary_of_nothing_is_all_unknown() -> None:
    summary = summarise([])
    assert summary["num_scored"] == 0
    assert summary["rotation_median_deg"] is None
    assert summary["auc_20_deg"] is None
