"""Pictures of a fisheye made from those of a plane, and straightened again."""

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.vision.camera import Camera
from nodes.vision.canvas import undistort
from nodes.vision.lens import MAX_ANGLE_DEG, Lens
from nodes.vision.scene import Scene, Surface

FISHEYE = Camera(
    320, 240, 120.0, 121.0, 158.0, 118.5, (-0.013, 0.019, -0.015, 0.004), model="fisheye"
)


def ball(centre: np.ndarray) -> Surface:
    """Return a soft white spot that faces the origin, with its middle at `centre`."""
    towards = centre / np.linalg.norm(centre)
    right = np.cross([0.0, 1.0, 0.0], towards)
    right *= 0.4 / np.linalg.norm(right)
    down = np.cross(towards, right)
    y, x = np.indices((80, 80)) - 39.5
    spot = (255 * np.exp(-(x**2 + y**2) / (2 * 10**2))).astype(np.uint8)
    return Surface(centre - (right + down) / 2, right, down, np.dstack([spot] * 3))


def centroid(image: np.ndarray) -> np.ndarray:
    weights = image[..., 0].astype(float)
    y, x = np.indices(weights.shape)
    return np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


@pytest.mark.parametrize("angle_deg", [0.1, 20, 40, 55, 70])
def test_a_fisheye_draws_a_point_where_its_camera_projects_it(angle_deg: float) -> None:
    angle = np.radians(angle_deg)
    point = 2.0 * np.array([np.sin(angle) * 0.96, np.sin(angle) * 0.28, np.cos(angle)])
    lens = Lens(FISHEYE)
    image = lens.distort(Scene([ball(point)]).render(lens.pinhole, np.eye(4)))
    assert image.shape == (240, 320, 3)
    np.testing.assert_allclose(centroid(image), FISHEYE.project(point[None])[0], atol=0.1)


def test_what_is_too_far_from_the_axis_stays_black_and_the_rest_does_not() -> None:
    camera = Camera(320, 320, 100.0, 100.0, 159.5, 159.5, model="fisheye")  # 129 deg in the corner
    lens = Lens(camera)
    white = np.full((lens.pinhole.height, lens.pinhole.width, 3), 255, np.uint8)
    y, x = np.indices((320, 320)) - 159.5
    is_far = np.degrees(np.hypot(x, y) / 100) > MAX_ANGLE_DEG
    image = lens.distort(white)
    assert is_far.mean() > 0.3
    assert (image[is_far] == 0).all()
    assert (image[~is_far] > 250).all()


def test_the_picture_of_a_fisheye_is_not_aliased_where_it_is_squeezed() -> None:
    camera = Camera(320, 320, 110.0, 110.0, 159.5, 159.5, model="fisheye")
    lens = Lens(camera)
    noise = np.random.default_rng(0).integers(0, 256, (lens.pinhole.height, lens.pinhole.width))
    image = lens.distort(np.dstack([noise.astype(np.uint8)] * 3))
    y, x = np.indices((320, 320)) - 159.5
    angle = np.degrees(np.hypot(x, y) / 110)
    rim = (angle > 70) & (angle < 78)
    # white noise averaged over the 40 and more pixels that fall into one; sampled, it would be 74
    assert image[rim].std() < 25


def test_a_straightened_fisheye_is_the_picture_of_its_ideal_camera_within_3_grey_levels() -> None:
    lens = Lens(FISHEYE)
    flat = texture(3, lens.pinhole.height, lens.pinhole.width)
    flat = cv2.GaussianBlur(flat, None, 3.0)
    straight = undistort(lens.distort(np.dstack([flat] * 3)), FISHEYE)[..., 0]
    dx, dy = FISHEYE.cx - lens.pinhole.cx, FISHEYE.cy - lens.pinhole.cy
    truth = cv2.warpAffine(flat, np.float32([[1, 0, dx], [0, 1, dy]]), (320, 240))
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(straight[inner].astype(float) - truth[inner]).mean() < 3


def test_where_a_fisheye_saw_nothing_the_straightened_picture_is_black() -> None:
    folds = Camera(320, 240, 80.0, 80.0, 159.5, 119.5, (-0.3, 0.0, 0.0, 0.0), model="fisheye")
    straight = undistort(np.full((240, 320), 200, np.uint8), folds)
    assert straight[120, 160] == 200
    assert straight[0, 0] == 0  # at 68 degrees; it folds at 60
