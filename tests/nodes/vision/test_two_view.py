"""Two views: constraints, residuals, and the side on which a point lies."""

import numpy as np
import pytest
from two_view_scene import VGA, make_scene

from nodes.vision.se3 import direction_angle, from_rotation_vector, rotation_angle, transform
from nodes.vision.two_view import (
    columns,
    cross,
    decompose_essential,
    epipole_distance,
    essential,
    fundamental,
    homogeneous,
    motion_in_front,
    normalised,
    parallax,
    sampson_distance,
    spread,
    transfer_distance,
)

SIDEWAYS = from_rotation_vector(np.zeros(3), np.array([1.0, 0.0, 0.0]))
FORWARD = from_rotation_vector(np.zeros(3), np.array([0.0, 0.0, -1.0]))
"""The camera moves ahead: points come nearer by 1."""
MOTIONS = {
    "sideways": ((0.0, 4.0, 1.0), (0.5, 0.02, 0.05)),
    "up": ((2.0, 0.0, 0.0), (0.0, -0.4, 0.0)),
    "ahead": ((0.5, 1.0, 0.0), (0.01, 0.02, -0.6)),
    "back": ((0.0, -1.0, 2.0), (0.05, 0.0, 0.5)),
    "rolling": ((0.0, 0.0, 40.0), (0.2, 0.2, 0.1)),
}


def rays_of(T_1_0: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = transform(T_1_0, points)
    return points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]


def test_the_essential_matrix_vanishes_on_every_true_match() -> None:
    scene = make_scene()
    rays0, rays1 = (homogeneous(scene.camera.undistort(p)) for p in scene.ideal)
    E_1_0 = essential(scene.T_cur_prev)
    assert np.abs(np.sum(rays1 * (rays0 @ E_1_0.T), axis=1)).max() < 1e-12
    assert np.abs(np.sum(rays0 * (rays1 @ E_1_0.T), axis=1)).max() > 1e-2  # not the other way round


def test_a_match_is_0_px_from_the_true_constraint() -> None:
    scene = make_scene()
    F_1_0 = fundamental(scene.T_cur_prev, VGA.K)
    assert sampson_distance(F_1_0, *scene.ideal).max() < 1e-9


def test_a_point_3_px_off_its_horizontal_line_is_3_px_shared_by_two_views_away() -> None:
    F_1_0 = fundamental(SIDEWAYS, VGA.K)
    points0 = np.array([[100.0, 50.0], [300.0, 200.0]])
    distance = sampson_distance(F_1_0, points0, points0 + np.array([[20.0, 3.0], [-7.0, 0.0]]))
    assert distance == pytest.approx([3 / np.sqrt(2), 0], abs=1e-12)


def test_epipoles_fit_every_constraint() -> None:
    epipole = VGA.K[:2, 2][None]
    assert sampson_distance(fundamental(FORWARD, VGA.K), epipole, epipole)[0] < 1e-3


def test_the_transfer_distance_is_that_from_the_mapped_point() -> None:
    shift = np.array([[1.0, 0.0, 10.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    distance = transfer_distance(shift, np.array([[5.0, 5.0]]), np.array([[18.0, 9.0]]))
    assert distance == pytest.approx([5.0])
    assert transfer_distance(-shift, np.array([[5.0, 5.0]]), np.array([[18.0, 9.0]])) == [5.0]


def test_a_point_sent_behind_the_camera_is_infinitely_far() -> None:
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-0.01, 0.0, 1.0]])
    points = np.array([[50.0, 0.0], [100.0, 0.0], [150.0, 0.0]])
    assert np.isinf(transfer_distance(tilt, points, points)).tolist() == [False, True, True]


def test_sideways_the_parallax_is_the_inverse_depth() -> None:
    points = np.array([[0.0, 0.0, 2.0], [1.0, 1.0, 4.0], [0.3, 0.0, 1e6]])
    assert parallax(SIDEWAYS, *rays_of(SIDEWAYS, points)) == pytest.approx([1 / 2, 1 / 4, 1e-6])


def test_a_point_behind_the_cameras_has_negative_parallax() -> None:
    points = np.array([[0.0, 0.0, -2.0], [1.0, 1.0, -4.0]])
    assert parallax(SIDEWAYS, *rays_of(SIDEWAYS, points)) == pytest.approx([-1 / 2, -1 / 4])


def test_a_point_between_the_two_cameras_has_negative_parallax() -> None:
    between = np.array([[0.2, 0.1, 0.4]])  # ahead of camera 0, passed by camera 1
    beyond = np.array([[0.2, 0.1, 4.0]])
    assert parallax(FORWARD, *rays_of(FORWARD, between))[0] < 0
    assert parallax(FORWARD, *rays_of(FORWARD, beyond))[0] > 0


def test_a_ray_that_the_rotation_takes_out_of_view_has_no_parallax() -> None:
    about = from_rotation_vector(np.array([0.0, np.pi, 0.0]), np.array([1.0, 0.0, 0.0]))
    assert parallax(about, np.zeros((1, 2)), np.zeros((1, 2))) == [-np.inf]


@pytest.mark.parametrize("name", MOTIONS)
def test_every_true_point_is_in_front_and_none_is_after_the_opposite_motion(name: str) -> None:
    rotation_deg, translation = MOTIONS[name]
    scene = make_scene(rotation_deg=rotation_deg, translation=translation)
    rays = [scene.camera.undistort(p) for p in scene.ideal]
    opposite = scene.T_cur_prev.copy()
    opposite[:3, 3] *= -1
    assert (parallax(scene.T_cur_prev, *rays) > 0).all()
    assert (parallax(opposite, *rays) < 0).all()


@pytest.mark.parametrize("name", MOTIONS)
def test_of_the_four_motions_of_e_the_true_one_is_chosen(name: str) -> None:
    rotation_deg, translation = MOTIONS[name]
    scene = make_scene(rotation_deg=rotation_deg, translation=translation)
    rays = [scene.camera.undistort(p) for p in scene.ideal]
    E_1_0 = -3.0 * essential(scene.T_cur_prev)  # neither sign nor scale mean anything
    found = motion_in_front(E_1_0, *rays)
    assert rotation_angle(found[:3, :3].T @ scene.T_cur_prev[:3, :3]) < 1e-9
    assert direction_angle(found[:3, 3], scene.direction) < 1e-9
    assert np.linalg.norm(found[:3, 3]) == pytest.approx(1)


def test_the_four_motions_of_e_are_rotations_and_all_give_e_back() -> None:
    E_1_0 = essential(make_scene().T_cur_prev)
    motions = decompose_essential(E_1_0)
    assert len(motions) == 4
    for T in motions:
        assert np.linalg.det(T[:3, :3]) == pytest.approx(1)
        back = essential(T) / np.linalg.norm(essential(T))
        same = np.sum(back * E_1_0) / np.linalg.norm(E_1_0)
        assert abs(same) == pytest.approx(1)


def test_cross_products_are_those_of_each_column() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 3, 7))
    assert np.allclose(cross(a, b), np.cross(a.T, b.T).T)
    assert np.allclose(cross(a[:, :1], b), np.cross(a[:, 0], b.T).T)


def test_columns_are_homogeneous_points() -> None:
    assert columns(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[1, 3], [2, 4], [1, 1]]


def test_normalising_takes_out_k() -> None:
    K = np.array([[500.0, 0, 320], [0, 400.0, 240], [0, 0, 1]])
    assert np.allclose(normalised(np.array([[820.0, 440.0]]), K), [[1.0, 0.5]])


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0])
def test_the_spread_is_the_distance_from_the_best_line_in_any_direction(angle: float) -> None:
    along, across = np.linspace(-50, 50, 40), np.tile([3.0, -3.0], 20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert spread(np.column_stack([along, 0 * along]) @ turn) == pytest.approx(0, abs=1e-9)
    assert spread(np.column_stack([along, across]) @ turn) == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize("num_points", [0, 1, 2])
def test_two_points_always_lie_on_a_line(num_points: int) -> None:
    assert spread(np.eye(2)[:num_points]) == 0


def test_the_distance_from_the_epipole_is_that_in_the_nearer_view() -> None:
    centre = VGA.K[:2, 2]
    points0 = np.add(centre, [[30.0, 0.0], [0.0, -5.0]])
    points1 = np.add(centre, [[40.0, 0.0], [3.0, 4.0]])
    assert epipole_distance(FORWARD, points0, points1, VGA.K).tolist() == [30, 5]
    assert epipole_distance(FORWARD, points1, points0, VGA.K).tolist() == [30, 5]
    assert np.isinf(epipole_distance(SIDEWAYS, points0, points1, VGA.K)).all()


def test_the_epipoles_are_where_the_fundamental_matrix_has_them() -> None:
    T = from_rotation_vector(np.array([0.1, -0.2, 0.05]), np.array([0.1, 0.2, 0.9]))
    U, _, Vt = np.linalg.svd(fundamental(T, VGA.K))
    points0, points1 = ((e[:2] / e[2])[None] for e in (Vt[2], U[:, 2]))
    away = np.full((1, 2), 1e6)
    assert epipole_distance(T, points0, away, VGA.K)[0] < 1e-6
    assert epipole_distance(T, away, points1, VGA.K)[0] < 1e-6
