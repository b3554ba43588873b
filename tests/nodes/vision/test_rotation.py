"""The rotation of a turning camera, its noise, and how far it moves points."""

import numpy as np
import pytest
from two_view_scene import VGA, Scene, make_scene

from nodes.vision.rotation import (
    refine_rotation,
    rotate,
    rotation_covariance,
    rotation_flow,
    sample_rotation,
)
from nodes.vision.se3 import from_rotation_vector, rotation_angle
from nodes.vision.two_view import normalised

FOCAL = np.array([500.0, 500.0])
TURN = {"translation": (0.0, 0.0, 0.0), "rotation_deg": (2.0, -6.0, 10.0)}


def rays(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    points0, points1 = scene.ideal
    return normalised(points0, VGA.K), normalised(points1, VGA.K)


def error_deg(R: np.ndarray, scene: Scene) -> float:
    return float(np.degrees(rotation_angle(R.T @ scene.T_cur_prev[:3, :3])))


@pytest.mark.parametrize("seed", range(5))
def test_a_turn_is_found_within_0_05_deg_among_60_percent_outliers(seed: int) -> None:
    scene = make_scene(seed, noise_px=0.5, outlier_fraction=0.6, **TURN)
    first = sample_rotation(*rays(scene), FOCAL, 3.0, seed)
    assert error_deg(first, scene) < 1.0
    assert error_deg(refine_rotation(first, *rays(scene), FOCAL, 0.5), scene) < 0.05


def test_a_still_camera_has_the_identity_among_its_samples() -> None:
    scene = make_scene(translation=(0.0, 0.0, 0.0), rotation_deg=(0.0, 0.0, 0.0), noise_px=0.5)
    assert np.array_equal(sample_rotation(*rays(scene), FOCAL, 3.0, 1), np.eye(3))


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    scene = make_scene(noise_px=0.5, outlier_fraction=0.5, num_points=400, **TURN)
    found = [sample_rotation(*rays(scene), FOCAL, 3.0, seed) for seed in (1, 1, 2)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_points_in_one_place_give_some_rotation() -> None:
    same = np.full((9, 2), 0.1)
    R = sample_rotation(same, same, FOCAL, 3.0, 1)
    assert np.allclose(R @ R.T, np.eye(3))


def test_the_covariance_says_that_rolling_is_known_less_and_falls_with_the_matches() -> None:
    scenes = [make_scene(noise_px=0.5, num_points=n, **TURN) for n in (100, 400)]
    few, many = (
        rotation_covariance(scene.T_cur_prev[:3, :3], *rays(scene), FOCAL, 0.5) for scene in scenes
    )
    assert few is not None and many is not None
    assert few[2, 2] > 2 * max(few[0, 0], few[1, 1])
    assert np.trace(few) == pytest.approx(4 * np.trace(many), rel=0.25)


def test_a_yaw_moves_points_by_the_focal_length_times_its_angle() -> None:
    yaw = from_rotation_vector(np.array([0, 0.01, 0]), np.zeros(3))[:3, :3]
    assert rotation_flow(yaw, np.zeros((5, 2)), FOCAL) == pytest.approx(5.0, rel=1e-3)
    assert rotation_flow(np.diag([-1.0, 1.0, -1.0]), np.zeros((5, 2)), FOCAL) == 0.0


def test_rotating_turns_about_the_axes_of_camera_1() -> None:
    R = rotate(np.eye(3), np.array([0, 0, np.pi / 2]))
    assert np.allclose(
        rotate(R, np.array([0.5, 0, 0])) @ R.T, rotate(np.eye(3), np.array([0.5, 0, 0]))
    )
