"""Surfaces: their charts invert each other, and rotations are told from other motions."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.camera import Camera
from nodes.vision.se3 import direction_angle
from nodes.vision.surfaces import (
    Plane,
    Sphere,
    footprint,
    level,
    middle_view,
    normalised,
    rotation_camera,
    widest_angle,
)

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)


def turn(yaw_deg: float, pitch_deg: float = 0, roll_deg: float = 0) -> np.ndarray:
    """Return H_ref_cur of a camera turned to the right, up and clockwise by so much."""
    R = Rotation.from_euler("YXZ", [yaw_deg, pitch_deg, roll_deg], degrees=True).as_matrix()
    return CAMERA.K @ R @ np.linalg.inv(CAMERA.K)


def steps(Hs_ref_cur: list[np.ndarray]) -> list[np.ndarray]:
    """Return the homographies between neighbours."""
    return [np.linalg.inv(a) @ b for a, b in pairwise(Hs_ref_cur)]


@pytest.mark.parametrize(
    "surface", [Plane(), Sphere(CAMERA.K), Sphere(CAMERA.K, np.diag([-1, -1, 1]))]
)
def test_chart_and_its_inverse_agree_within_a_thousandth_pixel(surface) -> None:
    xs, ys = np.linspace(-700, 700, 15), np.linspace(-400, 400, 9)
    chart = surface.to_chart(surface.to_ref(xs, ys).reshape(-1, 3)).reshape(9, 15, 2)
    np.testing.assert_allclose(chart, np.dstack(np.meshgrid(xs, ys)), atol=1e-3)


def test_plane_has_no_points_behind_it() -> None:
    assert np.isnan(Plane().to_chart(np.array([[1.0, 1.0, -1.0]]))).all()


def test_sphere_puts_the_optical_axis_at_the_origin_and_90_deg_right_a_quarter_turn_away() -> None:
    axis, right = np.array([319.5, 239.5, 1.0]), CAMERA.K @ [1.0, 0.0, 0.0]
    chart = Sphere(CAMERA.K).to_chart(np.array([axis, right]))
    np.testing.assert_allclose(chart, [[0, 0], [500 * np.pi / 2, 0]], atol=1e-9)


def test_frame_keeps_its_size_at_the_middle_of_a_sphere() -> None:
    grid = footprint(Sphere(CAMERA.K), np.eye(3), (640, 480))
    assert grid is not None
    assert np.linalg.norm(grid[4, 5] - grid[4, 4]) == pytest.approx(640 / 8, rel=0.01)


def test_footprint_is_whole_across_the_seam_behind_the_camera() -> None:
    grid = footprint(Sphere(CAMERA.K), turn(180), (640, 480))
    assert grid is not None
    assert np.ptp(grid[..., 0]) < 640


BAD_HOMOGRAPHIES = {
    "not finite": np.full((3, 3), np.nan),
    "infinite": np.diag([np.inf, 1, 1]),
    "singular": np.diag([1.0, 0.0, 1.0]),
    "mirror": np.array([[-1.0, 0, 640], [0, 1, 0], [0, 0, 1]]),
    "five times larger": np.diag([5.0, 5.0, 1.0]),
    "five times smaller": np.diag([0.2, 0.2, 1.0]),
    "half behind the plane": turn(80),
    "all behind the plane": turn(180),
}


@pytest.mark.parametrize("name", BAD_HOMOGRAPHIES)
def test_degenerate_homography_has_no_footprint_on_the_plane(name: str) -> None:
    assert footprint(Plane(), normalised(BAD_HOMOGRAPHIES[name]), (640, 480)) is None


@pytest.mark.parametrize("angle_deg", [0, 30, -30])
def test_moderate_turn_has_a_footprint_on_the_plane(angle_deg: float) -> None:
    assert footprint(Plane(), turn(angle_deg), (640, 480)) is not None


def test_frame_over_the_pole_of_a_sphere_has_no_footprint() -> None:
    assert footprint(Sphere(CAMERA.K), turn(0, 90), (640, 480)) is None


def test_sign_and_size_of_a_homography_do_not_matter_once_normalised() -> None:
    np.testing.assert_allclose(normalised(-7 * turn(20)), turn(20), atol=1e-9)


def test_turns_of_a_calibrated_camera_are_a_rotation() -> None:
    assert rotation_camera(steps([turn(a, 0.1 * a) for a in range(0, 60, 10)]), CAMERA) == CAMERA


def test_turns_tell_the_focal_length_of_an_uncalibrated_camera_within_3_percent() -> None:
    guessed = Camera(640, 480, 1500.0, 1500.0, 319.5, 239.5, calibrated=False)
    camera = rotation_camera(steps([turn(a) for a in range(0, 60, 10)]), guessed)
    assert camera is not None
    assert camera.fx == camera.fy == pytest.approx(500, rel=0.03)


SHIFT = np.array([[1.0, 0, 80], [0, 1, 0], [0, 0, 1]])
ZOOM = np.array([[1.1, 0, -32], [0, 1.1, -24], [0, 0, 1]])


@pytest.mark.parametrize("step", [SHIFT, ZOOM], ids=["shift", "zoom"])
def test_shift_along_a_plane_and_zoom_are_no_rotation(step: np.ndarray) -> None:
    assert rotation_camera([step] * 4, CAMERA) is None


def test_middle_view_is_the_one_in_the_middle_of_the_pan_in_whatever_order() -> None:
    assert middle_view([turn(a) for a in (60, 10, 30, 0, 50)], CAMERA) == 2


def test_widest_angle_reaches_to_the_far_corner() -> None:
    corner = np.degrees(np.arctan(np.hypot(319.5, 239.5) / 500))
    assert np.degrees(widest_angle([np.eye(3)], CAMERA)) == pytest.approx(corner, abs=1e-6)
    assert np.degrees(widest_angle([np.eye(3), turn(100)], CAMERA)) > 120


def test_level_finds_the_axis_of_the_pan_of_a_tilted_camera_within_0_1_deg() -> None:
    tilt = Rotation.from_euler("X", 25, degrees=True).as_matrix()  # looks up
    pans = [Rotation.from_euler("Y", a, degrees=True).as_matrix() for a in range(0, 90, 10)]
    Hs = [CAMERA.K @ tilt.T @ R @ tilt @ np.linalg.inv(CAMERA.K) for R in pans]
    down = level(Hs, CAMERA)[1]
    assert np.degrees(direction_angle(down, tilt.T @ [0, 1, 0])) < 0.1


def test_level_keeps_the_mean_vertical_without_much_of_a_turn() -> None:
    R_level_ref = level([turn(0, 0, 10), turn(2, 0, 10), turn(4, 0, 10)], CAMERA)
    roll_deg = np.degrees(np.arctan2(R_level_ref[1, 0], R_level_ref[1, 1]))
    assert roll_deg == pytest.approx(-10, abs=0.1)
    np.testing.assert_allclose(R_level_ref @ R_level_ref.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R_level_ref) == pytest.approx(1)
