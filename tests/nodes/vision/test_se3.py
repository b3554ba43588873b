"""Rigid motions."""

import numpy as np
import pytest

from nodes.vision.se3 import (
    direction_angle,
    from_quaternion,
    from_rotation_translation,
    from_rotation_vector,
    inverse,
    quaternion,
    rotation_angle,
    skew,
    transform,
)

QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def test_a_motion_turns_first_and_then_shifts() -> None:
    T_a_b = from_rotation_translation(QUARTER_TURN, np.array([10.0, 0.0, 0.0]))
    assert np.allclose(transform(T_a_b, np.array([[1.0, 0.0, 5.0]])), [[10, 1, 5]])


def test_the_inverse_undoes_a_motion() -> None:
    T_a_b = from_rotation_vector(np.array([0.3, -0.2, 0.9]), np.array([1.0, 2.0, 3.0]))
    points = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose(transform(inverse(T_a_b), transform(T_a_b, points)), points)
    assert np.allclose(inverse(T_a_b) @ T_a_b, np.eye(4))


def test_a_rotation_vector_is_axis_times_radians() -> None:
    T = from_rotation_vector(np.array([0.0, 0.0, np.pi / 2]), np.zeros(3))
    assert np.allclose(T[:3, :3], QUARTER_TURN)


def test_a_quaternion_is_x_y_z_w_with_w_not_negative() -> None:
    half = np.sqrt(0.5)
    T = from_quaternion(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, -half, -half]))
    assert np.allclose(T[:3, :3], QUARTER_TURN)
    assert np.allclose(T[:3, 3], [1, 2, 3])
    assert np.allclose(quaternion(T), [0, 0, half, half])


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, np.pi])
def test_the_angle_of_a_rotation_is_exact_also_where_it_is_tiny(angle: float) -> None:
    T = from_rotation_vector(angle * np.array([0.0, 0.6, 0.8]), np.zeros(3))
    assert rotation_angle(T[:3, :3]) == pytest.approx(angle, rel=1e-6, abs=1e-15)


def test_the_angle_between_directions_does_not_depend_on_their_lengths() -> None:
    assert direction_angle(np.array([2.0, 0, 0]), np.array([0, 0.1, 0])) == pytest.approx(np.pi / 2)
    tiny = direction_angle(np.array([1.0, 0, 0]), np.array([1.0, 1e-9, 0]))
    assert tiny == pytest.approx(1e-9)


def test_the_direction_of_nothing_is_as_wrong_as_can_be() -> None:
    assert direction_angle(np.zeros(3), np.array([1.0, 0, 0])) == np.pi
    assert direction_angle(np.array([1.0, 0, 0]), np.zeros(3)) == np.pi


def test_skew_is_the_cross_product() -> None:
    v, u = np.array([1.0, -2.0, 3.0]), np.array([0.5, 4.0, -1.0])
    assert np.array_equal(skew(v) @ u, np.cross(v, u))
