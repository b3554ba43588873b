"""Pixels to rays and back."""

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
