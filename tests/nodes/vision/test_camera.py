"""Pixels to rays and back."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from two_view_scene import BARREL, VGA

from nodes.vision.camera import Camera

LENSES = {
    "strong barrel": (-0.2966, 0.0808, 0.0, 0.0),
    "barrel with k3": (-0.35, 0.15, 0.001, -0.002, -0.01),
    "pincushion": (0.2, 0.05, 0.0, 0.0),
    "decentred": (-0.1, 0.01, 0.004, -0.003),
    "rational": (0.8, 0.1, 0.0005, -0.0003, 0.01, 1.1, 0.25, 0.02),
}


def lens(name: str) -> Camera:
    return Camera(752, 480, 420.5, 420.6, 355.2, 250.3, LENSES[name])


def grid(camera: Camera, step: int = 8) -> np.ndarray:
    """Return pixels (N, 2) all over the image, its corners among them."""
    x = np.append(np.arange(0, camera.width, step), camera.width - 1)
    y = np.append(np.arange(0, camera.height, step), camera.height - 1)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(float)


@pytest.mark.parametrize("name", LENSES)
def test_every_pixel_comes_back_within_a_millionth(name: str) -> None:
    camera = lens(name)
    pixels = grid(camera)
    rays = np.column_stack([camera.undistort(pixels), np.ones(len(pixels))])
    assert np.abs(camera.project(rays * 3.0) - pixels).max() < 1e-6


@pytest.mark.parametrize("name", LENSES)
def test_projection_is_that_of_opencv(name: str) -> None:
    camera = lens(name)
    points = np.random.default_rng(0).uniform([-2, -1, 3], [2, 1, 6], (50, 3))
    expected, _ = cv2.projectPoints(
        points, np.zeros(3), np.zeros(3), camera.K, np.array(camera.distortion)
    )
    assert np.abs(camera.project(points) - expected.reshape(-1, 2)).max() < 1e-9
    assert np.allclose(camera.undistort(camera.project(points)), points[:, :2] / points[:, 2:])


def test_without_distortion_undistorting_takes_out_k_and_nothing_else() -> None:
    assert np.array_equal(VGA.undistort([[319.5, 239.5], [819.5, 239.5]]), [[0, 0], [1, 0]])
    pixels = grid(VGA)
    assert np.abs(VGA.undistorted_pixels(pixels) - pixels).max() < 1e-10


def test_undistorting_barrel_distortion_moves_a_corner_outwards_and_the_centre_nowhere() -> None:
    centre, corner = BARREL.undistorted_pixels([[355.2, 250.3], [0.0, 0.0]])
    assert np.allclose(centre, [355.2, 250.3], atol=1e-9)
    assert corner[0] < -100 and corner[1] < -70


@pytest.mark.parametrize("distortion", [(-0.5, 0.0, 0.0, 0.0), (-0.45, 0.25, 0.001, -0.002, -0.09)])
def test_a_pixel_that_no_ray_reaches_is_nan_and_leaves_the_others_alone(
    distortion: tuple[float, ...],
) -> None:
    folded = Camera(640, 480, 300.0, 300.0, 319.5, 239.5, distortion)
    rays = folded.undistort([[319.5, 239.5], [0.0, 0.0], [np.nan, 5.0], [329.5, 239.5]])
    assert np.isnan(rays).tolist() == [[False] * 2, [True] * 2, [True] * 2, [False] * 2]
    assert rays[3, 0] == pytest.approx(1 / 30, rel=1e-3)


def test_a_point_not_in_front_has_no_pixel() -> None:
    pixels = VGA.project([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    assert np.isnan(pixels[:2]).all()
    assert np.array_equal(pixels[2], [319.5, 239.5])


@pytest.mark.parametrize("camera", [VGA, BARREL])
def test_no_points_give_no_points(camera: Camera) -> None:
    assert camera.undistort(np.empty((0, 2), np.float32)).shape == (0, 2)
    assert camera.undistorted_pixels(np.empty((0, 2))).shape == (0, 2)
    assert camera.project(np.empty((0, 3))).shape == (0, 2)


def test_a_resized_image_shows_the_same_rays() -> None:
    pixels = grid(BARREL, 64)
    half = BARREL.resized(376, 160)
    assert (half.width, half.height) == (376, 160)
    moved = (pixels + 0.5) * (1 / 2, 1 / 3) - 0.5  # the outer edges stay the outer edges
    assert np.allclose(half.undistort(moved), BARREL.undistort(pixels), atol=1e-12)


def test_a_cropped_image_shows_the_same_rays() -> None:
    part = BARREL.cropped(100, 50, 200, 150)
    assert (part.width, part.height) == (200, 150)
    assert np.allclose(part.undistort([[7.0, 9.0]]), BARREL.undistort([[107.0, 59.0]]), atol=1e-12)


@pytest.mark.parametrize("size", [(640, 480), (480, 640)])
def test_an_assumed_camera_sees_60_deg_along_its_longer_side(size: tuple[int, int]) -> None:
    camera = Camera.assumed(*size)
    axis = int(np.argmax(size))
    first, last = np.array([(s - 1) / 2 for s in size]), np.array([(s - 1) / 2 for s in size])
    first[axis], last[axis] = -0.5, size[axis] - 0.5
    rays = camera.undistort([first, last])
    seen = np.degrees(np.arctan(rays[1, axis]) - np.arctan(rays[0, axis]))
    assert seen == pytest.approx(60)
    assert not camera.calibrated
    assert camera.fx == camera.fy


def test_an_assumed_camera_may_see_wider() -> None:
    assert Camera.assumed(200, 100, fov_deg=90).fx == pytest.approx(100)


# ---------------------------------------------------------------- fisheye

FISHEYES = {
    "kannala-brandt": (-0.013, 0.019, -0.015, 0.004),
    "equidistant": (),
    "bulging": (0.1, 0.02, 0.0, 0.0),
    "folds at 105 deg": (-0.1, 0.0, 0.0, 0.0),
}


def fisheye(name: str = "kannala-brandt", focal: float = 200.0) -> Camera:
    return Camera(752, 480, focal, focal + 1, 375.0, 240.5, FISHEYES[name], model="fisheye")


def rays_at(angles_deg: list[float], turn_deg: float = 33.0) -> np.ndarray:
    theta, turn = np.radians(angles_deg), np.radians(turn_deg)
    across = np.sin(theta)
    return np.column_stack([across * np.cos(turn), across * np.sin(turn), np.cos(theta)])


@pytest.mark.parametrize("name", FISHEYES)
def test_every_pixel_of_a_fisheye_comes_back_within_a_millionth(name: str) -> None:
    camera = fisheye(name)
    pixels = grid(camera)
    rays = camera.rays(pixels)
    is_seen = np.isfinite(rays).all(axis=1)
    assert is_seen.mean() == (pytest.approx(0.49, abs=0.02) if "folds" in name else 1)
    pixels, rays = pixels[is_seen], rays[is_seen]
    assert np.allclose(np.linalg.norm(rays, axis=1), 1, atol=1e-12)
    assert np.abs(camera.project(rays * 3.0) - pixels).max() < 1e-6
    normalised = camera.undistort(pixels)
    ahead = rays[:, 2] > 1e-6
    assert np.array_equal(np.isnan(normalised[:, 0]), ~ahead)
    seen = camera.project(np.column_stack([normalised, np.ones(len(pixels))])[ahead])
    assert np.abs(seen - pixels[ahead]).max() < 1e-6


@pytest.mark.parametrize("name", FISHEYES)
def test_a_fisheye_projects_as_opencv_does(name: str) -> None:
    camera = fisheye(name)
    points = np.random.default_rng(0).uniform([-6, -4, 1], [6, 4, 3], (50, 3))
    coeffs = np.array(camera.distortion or (0.0,) * 4)
    zero = np.zeros((1, 1, 3))
    expected, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, camera.K, coeffs)
    assert np.abs(camera.project(points) - expected.reshape(-1, 2)).max() < 1e-9


def test_a_fisheye_sees_sideways_and_backwards_but_has_no_normalised_coordinates_there() -> None:
    camera = fisheye(focal=100.0)
    rays = rays_at([0.0, 45.0, 89.9, 90.0, 110.0])
    pixels = camera.project(rays)
    assert np.isfinite(pixels).all()
    assert (np.diff(np.hypot(*(pixels - (375.0, 240.5)).T)) > 0).all()
    assert np.allclose(camera.rays(pixels), rays, atol=1e-10)
    normalised = camera.undistort(pixels)
    assert np.isnan(normalised).any(axis=1).tolist() == [False, False, False, True, True]
    assert np.hypot(*normalised[:3].T) == pytest.approx(np.tan(np.radians([0, 45, 89.9])))


def test_a_fisheye_has_no_pixel_and_no_ray_beyond_where_its_polynomial_folds() -> None:
    camera = fisheye("folds at 105 deg")  # 1 - 0.3 theta^2 = 0
    fold_deg = np.degrees(np.sqrt(1 / 0.3))
    pixels = camera.project(rays_at([0.0, fold_deg - 0.1, fold_deg + 0.1, 180.0]))
    assert np.isnan(pixels).any(axis=1).tolist() == [False, False, True, True]
    edge = np.hypot(*((pixels[1] - (375.0, 240.5)) / (200.0, 201.0)))
    outside = 375.0 + 200.0 * (edge + 0.01)
    assert np.isnan(camera.rays([[outside, 240.5]])).all()
    assert np.isnan(camera.undistort([[np.nan, 5.0]])).all()


def test_the_middle_of_a_fisheye_is_straight_ahead() -> None:
    assert np.array_equal(fisheye().undistort([[375.0, 240.5]]), [[0, 0]])
    assert np.array_equal(fisheye().project([[0.0, 0.0, 7.0]]), [[375.0, 240.5]])
    assert np.isnan(fisheye().project([[0.0, 0.0, 0.0]])).all()


def test_a_resized_and_cropped_fisheye_shows_the_same_rays() -> None:
    camera = fisheye()
    pixels = grid(camera, 64)
    half = camera.cropped(20, 10, 700, 400).resized(350, 100)
    moved = (pixels - (20, 10) + 0.5) * (1 / 2, 1 / 4) - 0.5
    assert half.model == "fisheye"
    assert np.allclose(half.rays(moved), camera.rays(pixels), atol=1e-12)


def test_a_fisheye_without_coefficients_is_not_a_pinhole() -> None:
    camera = fisheye("equidistant")
    assert not camera.is_ideal
    assert camera.ideal == replace(camera, model="pinhole")
    assert camera.undistort([[575.0, 240.5]])[0, 0] == pytest.approx(np.tan(1.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "omni"}, r"^model must be pinhole or fisheye, not 'omni'$"),
        (
            {"distortion": (0.1, 0.2, 0.0, 0.0, 0.3)},
            r"^distortion of a fisheye must be 0 or 4 numbers: \(0.1, 0.2, 0.0, 0.0, 0.3\)$",
        ),
    ],
)
def test_a_model_that_is_none_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(fisheye(), **change)


def test_no_points_of_a_fisheye_give_no_points() -> None:
    assert fisheye().undistort(np.empty((0, 2), np.float32)).shape == (0, 2)
    assert fisheye().rays(np.empty((0, 2))).shape == (0, 3)
    assert fisheye().project(np.empty((0, 3))).shape == (0, 2)
