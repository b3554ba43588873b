"""Alignment takes out exactly what it may, and the errors are what was put in."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.alignment import align, ate, path_length, rms, rpe, viewing_plane
from nodes.vision.se3 import from_rotation_translation

R = Rotation.from_rotvec([0.4, -1.2, 2.0]).as_matrix()
T_SHIFT = np.array([3.0, -2.0, 5.0])
RNG = np.random.default_rng(5)
POINTS = RNG.normal(size=(40, 3))


def _circle(num: int = 40, radius: float = 2.0) -> np.ndarray:
    """Return T_world_cam (num, 4, 4) of a camera that drives a circle on the ground, y down."""
    poses = []
    for angle in np.linspace(0, 1.5 * np.pi, num):
        turn = Rotation.from_euler("y", angle).as_matrix()
        centre = radius * np.array([1 - np.cos(angle), 0, np.sin(angle)])
        poses.append(from_rotation_translation(turn, centre))
    return np.array(poses)


def _moved(T_world_cam: np.ndarray, scale: float) -> np.ndarray:
    """Return the same cameras in another world, of another scale."""
    moved = from_rotation_translation(R, T_SHIFT) @ T_world_cam
    moved[:, :3, 3] *= scale
    return moved


# ---------------------------------------------------------------- alignment


@pytest.mark.parametrize("scale", [0.01, 1.0, 250.0])
def test_a_similarity_is_found_again(scale: float) -> None:
    found = align(POINTS, scale * POINTS @ R.T + T_SHIFT, with_scale=True)
    assert found.scale == pytest.approx(scale, rel=1e-12)
    assert np.allclose(found.R_a_b, R, atol=1e-12)
    assert np.allclose(found.t_a_b, T_SHIFT, atol=1e-9)
    assert np.allclose(found.apply(POINTS), scale * POINTS @ R.T + T_SHIFT)


def test_without_scale_the_scale_stays_one_and_the_rotation_is_the_same() -> None:
    found = align(POINTS, 3 * POINTS @ R.T, with_scale=False)
    assert found.scale == 1.0
    assert np.allclose(found.R_a_b, R, atol=1e-12)


def test_a_mirrored_path_is_not_mirrored_back() -> None:
    found = align(POINTS, POINTS * [1, 1, -1], with_scale=True)
    assert np.linalg.det(found.R_a_b) == pytest.approx(1)
    assert ate(POINTS, POINTS * [1, 1, -1], with_scale=True)[1] > 0.5


def test_the_alignment_is_the_least_squares_one() -> None:
    noisy = 2 * POINTS @ R.T + RNG.normal(scale=0.3, size=POINTS.shape)
    best = align(POINTS, noisy, with_scale=True)
    least = rms(np.linalg.norm(best.apply(POINTS) - noisy, axis=1))
    for change in (1.01, 0.99):
        other = change * best.scale * POINTS @ best.R_a_b.T
        other += (noisy - other).mean(axis=0)
        assert rms(np.linalg.norm(other - noisy, axis=1)) > least
    for axis in np.eye(3):
        turn = Rotation.from_rotvec(0.01 * axis).as_matrix()
        other = best.scale * POINTS @ (turn @ best.R_a_b).T
        other += (noisy - other).mean(axis=0)
        assert rms(np.linalg.norm(other - noisy, axis=1)) > least


@pytest.mark.parametrize("num", [0, 1, 2])
@pytest.mark.parametrize("with_scale", [True, False])
def test_few_positions_are_aligned_without_complaint(num: int, with_scale: bool) -> None:
    errors, rmse = ate(POINTS[:num], 2 * POINTS[:num] + 1, with_scale=with_scale)
    assert errors.shape == (num,)
    if num == 1 or (num == 2 and with_scale):
        assert rmse == pytest.approx(0, abs=1e-12)


def test_an_estimate_that_never_moves_keeps_its_scale_and_the_truth_s_spread_as_error() -> None:
    still = np.tile(T_SHIFT, (40, 1))
    assert align(still, POINTS, with_scale=True).scale == 1.0
    _, rmse = ate(still, POINTS, with_scale=True)
    assert rmse == pytest.approx(rms(np.linalg.norm(POINTS - POINTS.mean(axis=0), axis=1)))


def test_a_straight_path_is_aligned_along_its_line() -> None:
    line = np.outer(np.arange(10.0), [1, 2, 3])
    _, rmse = ate(line, 0.5 * line @ R.T, with_scale=True)
    assert rmse == pytest.approx(0, abs=1e-9)


# ---------------------------------------------------------------- absolute errors


def test_the_absolute_error_of_one_displaced_pose_is_known() -> None:
    true = np.vstack([POINTS, -POINTS, [[0, 0, 0]]])  # the centre pulls on nothing but the mean
    estimated = true.copy()
    estimated[-1] = [0, 0, 0.1]
    errors, rmse = ate(estimated, true, with_scale=False)
    num = len(true)
    assert errors[-1] == pytest.approx(0.1 * (num - 1) / num, rel=1e-3)
    assert rmse == pytest.approx(0.1 * np.sqrt((num - 1) / num**2), rel=1e-3)


def test_the_scale_of_a_single_camera_costs_se3_and_not_sim3() -> None:
    true = _circle()[:, :3, 3]
    estimated = _moved(_circle(), 0.25)[:, :3, 3]
    assert ate(estimated, true, with_scale=True)[1] == pytest.approx(0, abs=1e-12)
    spread = rms(np.linalg.norm(true - true.mean(axis=0), axis=1))
    assert ate(estimated, true, with_scale=False)[1] == pytest.approx(0.75 * spread)


# ---------------------------------------------------------------- relative errors


@pytest.mark.parametrize("step", [1, 10])
def test_relative_errors_do_not_see_world_and_scale(step: int) -> None:
    errors = rpe(_moved(_circle(), 7.0), _circle(), step)
    assert len(errors.translation) == len(errors.rotation_deg) == 40 - step
    assert errors.translation.max() < 1e-12
    assert errors.rotation_deg.max() < 1e-5


def test_a_turn_of_one_degree_is_seen_by_the_pairs_that_span_it() -> None:
    estimated = _circle()
    turn = from_rotation_translation(Rotation.from_euler("y", 1, degrees=True).as_matrix(), [0] * 3)
    estimated[20:, :3, :3] = estimated[20:, :3, :3] @ turn[:3, :3]
    one, ten = rpe(estimated, _circle(), 1), rpe(estimated, _circle(), 10)
    assert np.flatnonzero(one.rotation_deg > 0.5).tolist() == [19]
    assert one.rotation_deg[19] == pytest.approx(1)
    assert np.flatnonzero(ten.rotation_deg > 0.5).tolist() == list(range(10, 20))


def test_a_step_twice_as_long_is_one_step_wrong() -> None:
    line = np.array([from_rotation_translation(R, [0, 0, z]) for z in range(101)])
    estimated = line.copy()
    estimated[50:, 2, 3] += 1
    errors = rpe(estimated, line, 1)
    assert errors.translation[49] == pytest.approx(1, abs=0.05)  # the scale gives way a little
    assert np.median(errors.translation) < 0.02


def test_pairs_are_counted_in_frames_and_not_in_poses() -> None:
    frames = np.array([0, 1, 2, 5, 6, 7, 12])
    errors = rpe(_circle()[frames], _circle()[frames], 5, frames)
    assert len(errors.translation) == 4  # 0-5, 1-6, 2-7, 7-12


@pytest.mark.parametrize("num", [0, 1, 2])
def test_few_poses_have_few_relative_errors(num: int) -> None:
    assert len(rpe(_circle()[:num], _circle()[:num], 1).rotation_deg) == max(num - 1, 0)
    assert len(rpe(_circle()[:num], _circle()[:num], 10).translation) == 0


def test_a_camera_that_never_moves_has_no_relative_error() -> None:
    still = np.tile(np.eye(4), (5, 1, 1))
    assert rpe(still, still, 1).translation.tolist() == [0] * 4


# ---------------------------------------------------------------- where to look from


def test_the_length_of_a_path_is_the_sum_of_its_steps() -> None:
    assert path_length(np.array([[0.0, 0, 0], [3, 4, 0], [3, 4, 2]])) == 7
    assert path_length(np.zeros((1, 3))) == path_length(np.zeros((0, 3))) == 0


def test_a_drive_is_seen_from_above_and_not_mirrored() -> None:
    axes, is_wall = viewing_plane(_moved(_circle(), 1.0))
    assert not is_wall
    up = R @ [0, -1, 0]
    assert np.allclose(np.cross(axes[0], axes[1]), up)
    x, y = ((_moved(_circle(), 1.0)[:, :3, 3] - T_SHIFT) @ axes.T).T
    turns = np.cross(
        np.diff(np.column_stack([x, y, 0 * x])[:3], axis=0)[0], [x[2] - x[1], y[2] - y[1], 0]
    )
    assert turns[2] < 0  # to the right, as the camera does
    assert x[-1] >= x[0]


def test_a_camera_that_climbs_a_wall_is_seen_from_the_side() -> None:
    climb = _circle()
    climb[:, :3, 3] = climb[:, [0, 2, 1], 3]  # sideways and up or down, looking ahead
    climb[:, :3, :3] = np.eye(3)
    axes, is_wall = viewing_plane(climb)
    assert is_wall
    assert np.allclose(axes[1], [0, -1, 0])


@pytest.mark.parametrize("num", [1, 2, 9])
def test_a_straight_or_still_path_is_seen_from_above(num: int) -> None:
    straight = np.array([from_rotation_translation(np.eye(3), [0, 0, z]) for z in range(num)])
    axes, is_wall = viewing_plane(straight)
    assert np.allclose(axes @ axes.T, np.eye(2))
    if num > 1:
        assert not is_wall
        assert np.allclose(axes[0], [0, 0, 1])
        assert np.allclose(np.cross(axes[0], axes[1]), [0, -1, 0])
