"""The canvas gives back the picture from which frames were cut."""

import cv2
import numpy as np
import pytest

from nodes.vision.camera import Camera
from nodes.vision.canvas import RIM, TILE_SIZE, Canvas, feather_weights, undistort
from nodes.vision.lens import Lens
from nodes.vision.surfaces import Plane, Sphere

MANY = 1e9


def wallpaper(height: int = 600, width: int = 900, grain: int = 6) -> np.ndarray:
    """Return a smooth picture (H, W, 3) in which no place looks like another."""
    noise = np.random.default_rng(7).uniform(0, 255, (height // grain, width // grain, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def cut(
    picture: np.ndarray, H_ref_cur: np.ndarray, size: tuple[int, int] = (320, 240)
) -> np.ndarray:
    """Return the frame that sees pixel p of itself at H_ref_cur @ p of the picture."""
    return cv2.warpPerspective(picture, np.linalg.inv(H_ref_cur), size, flags=cv2.INTER_LINEAR)


def full_weights(frame: np.ndarray) -> np.ndarray:
    """Return the weights of a frame that may be used all over."""
    return feather_weights(np.full(frame.shape[:2], 255, np.uint8))


def move(x: float, y: float, angle_deg: float = 0, zoom: float = 1, tilt: float = 0) -> np.ndarray:
    """Return H_ref_cur of a frame at (x, y) of the picture."""
    c, s = zoom * np.cos(np.radians(angle_deg)), zoom * np.sin(np.radians(angle_deg))
    return np.array([[c, -s, x], [s, c, y], [tilt, 0, 1]])


VIEWS = [
    move(100, 100),
    move(260.3, 110.7, 5),
    move(420.5, 90.2, -4, 1.1),
    move(130.1, 250.9, 2, 0.9, 1e-4),
    move(330.8, 270.4, -3, 1.05, -1e-4),
]


def drawn(frames, views, max_pixels: float = MANY) -> Canvas:
    """Return a canvas on the plane with all frames."""
    canvas = Canvas(Plane(), max_pixels)
    for frame, view in zip(frames, views, strict=True):
        assert canvas.add(frame, full_weights(frame), view)
    return canvas


def inner_error(image: np.ndarray, mask: np.ndarray, picture: np.ndarray, views) -> float:
    """Return the mean absolute difference to the picture, in grey levels, where it is covered."""
    seen = np.zeros(picture.shape[:2], np.uint8)
    for view in views:
        inner = np.zeros((240, 320), np.uint8)
        inner[RIM:-RIM, RIM:-RIM] = 1
        seen |= cv2.warpPerspective(inner, view, seen.shape[::-1], flags=cv2.INTER_NEAREST)
    x, y, _, _ = cv2.boundingRect(seen)
    differences = []
    for dx in (-1, 0, 1):  # the cropped picture does not say where it begins
        for dy in (-1, 0, 1):
            truth = picture[y + dy : y + dy + len(mask), x + dx : x + dx + mask.shape[1]]
            differences.append(np.abs(truth.astype(float) - image)[mask > 0].mean())
    return min(differences)


def test_canvas_reproduces_the_picture_within_2_grey_levels() -> None:
    picture = wallpaper()
    canvas = drawn([cut(picture, view) for view in VIEWS], VIEWS)
    image, mask = canvas.render()
    assert canvas.num_frames == 5
    assert (mask > 0).mean() > 0.8
    assert inner_error(image, mask, picture, VIEWS) < 2


def test_grey_frames_make_a_grey_picture_of_three_channels() -> None:
    picture = wallpaper()[..., 0]
    image, mask = drawn([cut(picture, view) for view in VIEWS], VIEWS).render()
    assert image.shape == (*mask.shape, 3)
    assert (image[..., 0] == image[..., 2]).all()


def test_picture_is_cropped_to_what_is_covered() -> None:
    frame = wallpaper(240, 320)
    image, mask = drawn([frame], [move(1000, -3000)]).render()
    assert mask.all()
    # the rim has no weight of its own, yet is reached by interpolation from within
    assert abs(image.shape[0] - (240 - 2 * RIM)) <= 2
    assert abs(image.shape[1] - (320 - 2 * RIM)) <= 2


def test_frame_spread_over_many_tiles_leaves_no_seams() -> None:
    frame = wallpaper(2 * TILE_SIZE + 70, 2 * TILE_SIZE + 70)
    image, mask = drawn([frame], [move(-100, -37)]).render()
    inner = frame[RIM : RIM + len(mask), RIM : RIM + mask.shape[1]]
    assert mask.all()
    np.testing.assert_array_equal(image, inner)


def test_overlap_fades_from_one_frame_to_the_other() -> None:
    dark, bright = (np.full((240, 320, 3), value, np.uint8) for value in (50, 150))
    image, _ = drawn([dark, bright], [move(0, 0), move(160, 0)]).render()
    row = image[118, :, 0].astype(int)
    assert row[0] == 50 and row[-1] == 150
    assert (np.diff(row) >= 0).all()
    assert np.diff(row).max() <= 4


def test_picture_never_has_more_pixels_than_allowed_and_stays_right_at_half_the_scale() -> None:
    picture = wallpaper(grain=12)
    canvas = drawn([cut(picture, view) for view in VIEWS], VIEWS, max_pixels=100_000)
    image, mask = canvas.render()
    assert canvas.scale == 0.5
    assert mask.size <= 100_000
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    match = cv2.matchTemplate(small, image, cv2.TM_SQDIFF, mask=mask)
    x, y = cv2.minMaxLoc(match)[2]
    truth = small[y : y + len(mask), x : x + mask.shape[1]]
    assert np.abs(truth.astype(float) - image)[mask > 0].mean() < 2


def test_frame_that_fits_at_no_scale_is_refused_and_the_canvas_stays_as_it_was() -> None:
    frame = wallpaper(240, 320)
    canvas = Canvas(Plane(), 100_000)
    assert canvas.add(frame, full_weights(frame), move(0, 0))
    before = canvas.render()[0]
    assert not canvas.add(frame, full_weights(frame), move(200_000, 0))
    assert canvas.num_frames == 1
    np.testing.assert_array_equal(canvas.render()[0], before)


def test_degenerate_frame_is_refused() -> None:
    frame = wallpaper(240, 320)
    assert not Canvas(Plane(), MANY).add(frame, full_weights(frame), np.diag([9.0, 9.0, 1.0]))


def test_empty_canvas_renders_an_empty_picture() -> None:
    image, mask = Canvas(Plane(), MANY).render()
    assert image.shape == (0, 0, 3)
    assert mask.shape == (0, 0)


def sky(rays: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) of a world all around, by direction (..., 3)."""
    x, y, z = np.moveaxis(rays / np.linalg.norm(rays, axis=-1, keepdims=True), -1, 0)
    waves = np.stack([np.sin(9 * x + 2 * y), np.cos(8 * z - 3 * y), np.sin(5 * x + 6 * z)], -1)
    return np.rint(128 + 100 * waves).astype(np.uint8)


def test_full_turn_on_a_sphere_reproduces_the_world_and_closes() -> None:
    camera = Camera(320, 240, 250.0, 250.0, 159.5, 119.5)
    canvas = Canvas(Sphere(camera.K), MANY)
    pixels = np.dstack([*np.meshgrid(np.arange(320.0), np.arange(240.0)), np.ones((240, 320))])
    for yaw in np.radians(np.arange(0, 400, 20)):
        c, s = np.cos(yaw), np.sin(yaw)
        R_ref_cur = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        frame = sky(pixels @ np.linalg.inv(camera.K).T @ R_ref_cur.T)
        assert canvas.add(
            frame, full_weights(frame), camera.K @ R_ref_cur @ np.linalg.inv(camera.K)
        )
    image, mask = canvas.render()
    turn = 2 * np.pi * 250
    assert image.shape[1] == pytest.approx(
        turn * 380 / 360 + 2 * 250 * np.arctan(159.5 / 250), abs=6
    )
    left = -250 * np.arctan(159.5 / 250) + RIM
    row = len(mask) // 2
    longitude = (np.round(left) + np.arange(image.shape[1])) / 250
    latitude = np.full(image.shape[1], 0.0)
    truth = sky(np.stack([np.sin(longitude), latitude, np.cos(longitude)], -1)).astype(float)
    errors = [np.abs(image[row] - np.roll(truth, shift, axis=0)).mean() for shift in (-1, 0, 1)]
    assert min(errors) < 2
    assert mask[row].all()


def test_weights_rise_from_the_edge_of_the_mask_to_one() -> None:
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(mask, (50, 50), 40, 255, -1)
    weights = feather_weights(mask)
    assert weights.max() == weights[50, 50] == 1
    assert (weights[mask == 0] == 0).all()
    assert (np.diff(weights[50, 50:]) <= 0).all()


def test_frame_too_small_for_a_rim_has_no_weight_and_leaves_no_trace() -> None:
    frame = np.full((1, 1, 3), 200, np.uint8)
    canvas = Canvas(Plane(), MANY)
    canvas.add(frame, full_weights(frame), np.eye(3))
    assert canvas.render()[0].size == 0


def test_undistorted_picture_is_that_of_a_pinhole_camera_within_2_grey_levels() -> None:
    camera = Camera(320, 240, 250.0, 250.0, 159.5, 119.5, distortion=(-0.25, 0.05, 0.001, -0.001))
    lens = Lens(camera)
    ideal = wallpaper(lens.pinhole.height, lens.pinhole.width)
    straight = undistort(lens.distort(ideal), camera)
    x, y = round(lens.pinhole.cx - camera.cx), round(lens.pinhole.cy - camera.cy)
    inner = np.s_[40:-40, 40:-40]
    shift = np.float32([[1, 0, camera.cx - lens.pinhole.cx], [0, 1, camera.cy - lens.pinhole.cy]])
    truth = cv2.warpAffine(ideal, shift, (320, 240))
    assert x > 0 and y > 0
    assert np.abs(straight[inner].astype(float) - truth[inner]).mean() < 2


def test_picture_of_a_lens_without_distortion_stays_as_it_is() -> None:
    image = wallpaper(240, 320)
    camera = Camera(320, 240, 250.0, 250.0, 159.5, 119.5, distortion=(0.0, 0.0, 0.0, 0.0))
    assert undistort(image, camera) is image
