"""Errors of points carried over by a homography, in units of the noise of one image."""

import numpy as np
from two_view_scene import VGA, make_scene

from nodes.vision.se3 import from_rotation_vector
from nodes.vision.transfer import FAR_PX, transfer, turned
from nodes.vision.two_view import normalised

FOCAL = np.array([500.0, 500.0])


def rays(points: np.ndarray) -> np.ndarray:
    return normalised(points, VGA.K)


def test_points_of_a_turn_have_no_error_under_its_rotation() -> None:
    scene = make_scene(translation=(0.0, 0.0, 0.0), rotation_deg=(3.0, -8.0, 20.0))
    moved = transfer(scene.T_cur_prev[:3, :3], *map(rays, scene.ideal), FOCAL)
    assert np.abs(moved.errors).max() < 1e-9


def test_the_errors_have_the_deviation_of_the_noise_of_one_image_even_under_a_zoom() -> None:
    rng = np.random.default_rng(0)
    G = np.diag([2.0, 2.0, 1.0]) @ from_rotation_vector(np.array([0, 0, 0.3]), np.zeros(3))[:3, :3]
    rays0 = rng.uniform(-0.3, 0.3, (20_000, 2))
    rays1 = (np.column_stack([rays0, np.ones(20_000)]) @ G.T)[:, :2]
    noisy = [r + rng.normal(0, 0.5 / 500, r.shape) for r in (rays0, rays1)]
    errors = transfer(G, noisy[0], noisy[1], FOCAL).errors
    assert np.abs(np.cov(errors) - 0.25 * np.eye(2)).max() < 0.01


def test_the_derivative_is_that_of_finite_differences() -> None:
    rays0 = np.random.default_rng(1).uniform(-0.4, 0.4, (5, 2))
    G = from_rotation_vector(np.array([0.1, -0.05, 0.2]), np.zeros(3))[:3, :3]
    q = np.column_stack([rays0, np.ones(5)]) @ G.T
    rays1 = q[:, :2] / q[:, 2:]  # without errors, as their whitening changes with G as well
    derivative = transfer(G, rays0, rays1, FOCAL).derivative
    for k in range(3):
        change = np.zeros((3, 3))
        change[k, 2] = 1e-6  # moves every q alike
        errors = transfer(G + change, rays0, rays1, FOCAL).errors
        assert np.allclose(-errors / 1e-6, derivative[k], atol=0.01)


def test_the_derivative_by_a_rotation_is_that_of_finite_differences() -> None:
    rays0 = np.random.default_rng(1).uniform(-0.4, 0.4, (5, 2))
    R = from_rotation_vector(np.array([0.1, -0.05, 0.2]), np.zeros(3))[:3, :3]
    q = np.column_stack([rays0, np.ones(5)]) @ R.T
    rays1 = q[:, :2] / q[:, 2:]
    by_rotation = transfer(R, rays0, rays1, FOCAL).by_rotation
    for k in range(3):
        turn = from_rotation_vector(np.eye(3)[k] * 1e-6, np.zeros(3))[:3, :3]
        errors = transfer(turn @ R, rays0, rays1, FOCAL).errors
        assert np.allclose(-errors / 1e-6, by_rotation[k], atol=0.01)


def test_a_point_behind_the_camera_is_far_and_moves_nothing() -> None:
    half_turn = np.diag([-1.0, 1.0, -1.0])
    moved = transfer(half_turn, np.zeros((1, 2)), np.zeros((1, 2)), FOCAL)
    assert np.all(moved.errors == FAR_PX)
    assert np.all(moved.derivative == 0)


def test_what_depends_on_a_vector_is_moved_by_its_turns() -> None:
    v, w = np.array([1.0, 2.0, 3.0]), np.array([0.3, -0.1, 0.2])
    by_v = np.array([[2.0, 0.0], [-1.0, 3.0], [0.5, 1.0]])
    by_w = turned(by_v[:, :, None], v[:, None])[:, :, 0]
    assert np.allclose(w @ by_w, np.cross(w, v) @ by_v)
