"""Covariances are as large as the errors, and information is what back ends mean by it."""

from typing import Literal

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from two_view_scene import VGA, make_scene

from nodes.vision.covariance import (
    information_6dof,
    information_root_6dof,
    m_estimate_covariance,
    motion_covariance,
    moved_direction,
    squared_error,
    tangent_basis,
)
from nodes.vision.least_squares import minimise
from nodes.vision.se3 import from_rotation_translation, from_rotation_vector, inverse
from nodes.vision.two_view import fundamental, normalised, sampson_distance

T_1_0 = from_rotation_vector(np.array([0.1, -0.2, 0.3]), np.array([0.6, 0.0, -0.8]))
FOCAL = np.array([500.0, 500.0])


def perturbed(T: np.ndarray, w: np.ndarray, u: np.ndarray) -> np.ndarray:
    R = Rotation.from_rotvec(w).as_matrix() @ T[:3, :3]
    return from_rotation_translation(R, moved_direction(T[:3, 3], u))


@pytest.mark.parametrize("t", [(1, 0, 0), (0, 1, 0), (0, 0, -1), (0.48, 0.6, -0.64)])
def test_the_basis_is_orthonormal_and_right_handed_with_the_direction(
    t: tuple[float, float, float],
) -> None:
    direction = np.array(t, float)
    frame = np.column_stack([tangent_basis(direction), direction])
    assert np.allclose(frame.T @ frame, np.eye(3))
    assert np.linalg.det(frame) == pytest.approx(1)


def test_the_error_of_a_perturbed_motion_is_its_perturbation() -> None:
    w, u = np.array([0.02, -0.01, 0.03]), np.array([0.2, -0.1])
    deviations = np.array([0.01, 0.02, 0.03, 0.1, 0.2])
    expected = np.sum((np.concatenate([w, u]) / deviations) ** 2)
    true = perturbed(T_1_0, w, u)
    true[:3, 3] *= 7  # its length does not matter
    assert squared_error(T_1_0, np.diag(deviations**2), true) == pytest.approx(expected)
    of_turn = squared_error(T_1_0, np.diag(deviations[:3] ** 2), true)
    assert of_turn == pytest.approx(np.sum((w / deviations[:3]) ** 2))
    assert squared_error(T_1_0, np.eye(5), T_1_0) == pytest.approx(0)


def test_the_covariance_of_a_motion_is_that_of_numerical_derivatives() -> None:
    scene, exact = make_scene(noise_px=0.01), make_scene()
    T = scene.T_cur_prev.copy()
    T[:3, 3] = scene.direction
    squared = []
    for k in range(5):
        change = np.eye(5)[k] * 1e-6
        F = fundamental(perturbed(T, change[:3], change[3:]), VGA.K)
        squared.append(np.sum(sampson_distance(F, *exact.ideal) ** 2) / 1e-12)
    points = [normalised(points, VGA.K) for points in scene.ideal]
    found = motion_covariance(T, points[0], points[1], FOCAL, 0.01)
    assert found is not None
    variance = np.array(squared) / np.linalg.inv(found).diagonal()
    assert variance.mean() == pytest.approx(1.35 * 0.01**2, rel=0.15)  # what the loss costs
    assert variance == pytest.approx(np.full(5, variance.mean()), rel=0.01)


@pytest.mark.parametrize(("dimensions", "num"), [(1, 60), (1, 300), (2, 100)])
def test_m_estimates_of_lines_err_as_their_covariance_says(dimensions: int, num: int) -> None:
    rng, errors = np.random.default_rng(0), []
    for _ in range(600):
        J, noise = rng.normal(size=(4, dimensions, num)), rng.normal(size=(dimensions, num))
        found = minimise(
            np.zeros(4),
            lambda x, J=J, e=noise: (e - np.tensordot(x, J, 1), J),
            lambda x, step: x + step,
            1.0,
        )
        normal = np.einsum("idm,jdm->ij", J, J)
        covariance = m_estimate_covariance(noise - np.tensordot(found, J, 1), normal, 1.0, 4)
        assert covariance is not None
        errors.append(found @ np.linalg.solve(covariance, found))
    assert abs(np.mean(errors) - 4) < 4 * np.sqrt(2 * 4 / 600)


def test_too_few_or_useless_matches_have_no_covariance() -> None:
    assert m_estimate_covariance(np.ones((1, 4)), np.eye(5), 1.0, 5) is None
    assert m_estimate_covariance(np.ones((1, 40)), np.diag([1.0, 0.0]), 1.0, 2) is None
    assert m_estimate_covariance(np.full((1, 40), 9.0), np.eye(2), 1.0, 2) is None
    assert motion_covariance(T_1_0, np.ones((5, 2)), np.ones((5, 2)), FOCAL, 1.0) is None


def factor_error(order: str, measured: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the error (6,) that a back end computes for a factor."""
    D = inverse(measured) @ true
    rotation = Rotation.from_matrix(D[:3, :3])
    if order == "g2o":
        return np.concatenate([D[:3, 3], rotation.as_quat()[:3]])
    return np.concatenate([rotation.as_rotvec(), D[:3, 3]])


@pytest.mark.parametrize("length", [1.0, 2.5])
@pytest.mark.parametrize("order", ["g2o", "gtsam"])
def test_the_information_weighs_a_factor_as_the_covariance_weighs_the_motion(
    order: Literal["g2o", "gtsam"], length: float
) -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5)) * 0.1
    covariance = root @ root.T
    measured = T_1_0.copy()
    measured[:3, 3] *= length
    information = information_6dof(measured, covariance, order)
    for _ in range(20):
        change = rng.normal(size=5) * 1e-4
        true = perturbed(T_1_0, change[:3], change[3:])
        true[:3, 3] *= length * (1 + rng.normal() * 1e-4)  # a change of length costs nothing
        error = factor_error(order, measured, true)
        expected = change @ np.linalg.solve(covariance, change)
        assert error @ information @ error == pytest.approx(expected, rel=0.02)


def test_the_information_of_a_turn_says_nothing_of_the_translation() -> None:
    R = from_rotation_translation(T_1_0[:3, :3], np.zeros(3))
    information = information_6dof(R, np.diag([1.0, 4.0, 9.0]), "gtsam")
    assert np.linalg.matrix_rank(information) == 3
    assert not information[3:].any()
    assert not information_6dof(R, np.eye(3), "g2o")[:3].any()


@pytest.mark.parametrize("order", ["g2o", "gtsam"])
def test_the_root_of_the_information_is_its_root_though_the_length_is_unknown(
    order: Literal["g2o", "gtsam"],
) -> None:
    T = from_rotation_vector(np.array([0.1, -0.2, 0.3]), np.array([0.6, 0.0, 0.8]))
    covariance = np.diag([1.0, 2.0, 3.0, 4.0, 5.0]) * 1e-6
    root = information_root_6dof(T, covariance, order)
    information = information_6dof(T, covariance, order)
    assert np.allclose(root.T @ root, information)
    assert np.linalg.matrix_rank(root) == 5
    rows = slice(0, 3) if order == "g2o" else slice(3, 6)
    along = T[:3, :3].T @ T[:3, 3]
    assert np.abs(root[:, rows] @ along).max() < 1e-9 * np.abs(root).max()
