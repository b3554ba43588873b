"""The chain of homographies: which frames are drawn, on what, and what ends it."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.camera import Camera
from nodes.vision.lens import Lens
from nodes.vision.panorama import MAX_HELD, Panorama

SIZE = (160, 120)
CAMERA = Camera(*SIZE, 120.0, 120.0, 79.5, 59.5)


def panorama(
    projection: str = "auto", min_motion: float = 0.0, camera: Camera = CAMERA
) -> Panorama:
    """Return a panorama without a bound that matters."""
    return Panorama(camera, projection, 1e8, min_motion)


def wallpaper(height: int = 400, width: int = 1600) -> np.ndarray:
    """Return a smooth picture (H, W, 3) in which no place looks like another."""
    noise = np.random.default_rng(3).uniform(0, 255, (height // 8, width // 8, 3))
    return cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


PICTURE = wallpaper()


def slide(xs: list[int], target: Panorama) -> list[bool]:
    """Add crops of the picture that begin at column x."""
    steps = np.diff(xs, prepend=xs[0])
    return [
        target.add(
            PICTURE[100:220, x : x + 160], None, np.array([[1.0, 0, -dx], [0, 1, 0], [0, 0, 1]])
        )
        for x, dx in zip(xs, steps, strict=True)
    ]


def turned(yaws_deg: np.ndarray, target: Panorama, camera: Camera = CAMERA) -> list[bool]:
    """Add grey frames of a camera that turns to the right."""
    H = [camera.K @ Rotation.from_euler("Y", a, degrees=True).as_matrix() for a in yaws_deg]
    H = [h @ np.linalg.inv(camera.K) for h in H]
    frame = np.full((120, 160, 3), 99, np.uint8)
    return [target.add(frame, None, np.linalg.inv(H[i]) @ H[max(i - 1, 0)]) for i in range(len(H))]


def test_chain_of_shifts_reproduces_the_picture_within_2_grey_levels() -> None:
    target = panorama()
    assert all(slide([300, 340, 390, 430, 480], target))
    image, mask = target.render()
    assert target.num_frames == target.num_drawn == 5
    assert image.shape[1] == pytest.approx(180 + 160, abs=6)
    truth = PICTURE[102 : 102 + len(mask), 302 : 302 + mask.shape[1]]
    assert np.abs(truth.astype(float) - image)[mask > 0].mean() < 2


def test_sign_and_scale_of_the_homographies_do_not_matter() -> None:
    plain, scaled = panorama(), panorama()
    step = np.array([[1.0, 0, -50], [0, 1, 0], [0, 0, 1]])
    for target, factor in ((plain, 1.0), (scaled, -3.0)):
        target.add(PICTURE[100:220, 100:260], None, np.eye(3))
        assert target.add(PICTURE[100:220, 150:310], None, factor * step)
    np.testing.assert_allclose(plain.render()[0], scaled.render()[0], atol=1)


def test_frames_that_moved_less_than_asked_are_not_drawn_but_the_last_one_is() -> None:
    target = panorama(min_motion=0.2)  # 40 pixels
    assert all(slide([*range(0, 100, 10), 95], target))
    image, _ = target.render()
    assert target.num_frames == 11
    assert target.num_drawn == 4  # at 0, 40, 80 and the last
    assert image.shape[1] == pytest.approx(95 + 160, abs=6)


BAD_STEPS = {
    "not finite": np.full((3, 3), np.nan),
    "zero": np.zeros((3, 3)),
    "mirror": np.array([[-1.0, 0, 160], [0, 1, 0], [0, 0, 1]]),
    "ten times larger": np.diag([10.0, 10.0, 1.0]),
}


@pytest.mark.parametrize("name", BAD_STEPS)
def test_degenerate_homography_is_refused_and_what_came_before_stays(name: str) -> None:
    target = panorama()
    slide([0, 50], target)
    assert not target.add(PICTURE[100:220, 100:260], None, BAD_STEPS[name])
    image, _ = target.render()
    assert target.num_frames == target.num_drawn == 2
    assert image.shape[1] == pytest.approx(210, abs=6)


def test_narrow_turn_is_drawn_on_a_plane_where_its_ends_are_stretched() -> None:
    target = panorama()
    assert all(turned(np.arange(-8, 9, 4.0), target))
    image, _ = target.render()
    half = 120 * np.tan(np.radians(8) + np.arctan(79.5 / 120))
    assert image.shape[1] == pytest.approx(2 * half, abs=10)


@pytest.mark.parametrize("calibrated", [True, False])
def test_wide_turn_is_drawn_on_a_sphere_where_nothing_is_stretched(calibrated: bool) -> None:
    camera = Camera(*SIZE, 120.0, 120.0, 79.5, 59.5, calibrated=calibrated)
    target = panorama(camera=camera)
    assert all(turned(np.arange(0, 200, 10.0), target, camera))
    image, _ = target.render()
    width = 120 * (np.radians(190) + 2 * np.arctan(79.5 / 120))
    assert image.shape[1] == pytest.approx(width, rel=0.03)
    assert target.num_left_out == 0


def test_turn_longer_than_the_frames_held_back_goes_on() -> None:
    target = panorama()
    assert all(turned(np.arange(0, 3.0 * (2 * MAX_HELD + 1), 3), target))
    image, _ = target.render()
    assert target.num_drawn == 2 * MAX_HELD + 1
    assert image.shape[1] == pytest.approx(
        120 * (np.radians(144) + 2 * np.arctan(79.5 / 120)), abs=8
    )


def test_plane_refuses_a_frame_that_looks_too_far_aside() -> None:
    target = panorama("plane")
    answers = turned(np.arange(0, 300, 3.0), target)
    assert all(answers[:MAX_HELD])
    assert not all(answers)
    target.render()
    assert target.num_left_out == 0


def test_frames_held_back_that_do_not_fit_the_surface_are_counted() -> None:
    target = panorama("plane")
    assert all(turned(np.arange(0, 180, 15.0), target))
    target.render()
    assert 0 < target.num_left_out == target.num_frames - target.num_drawn


def test_sphere_can_be_asked_for_and_a_single_frame_fits_it() -> None:
    target = panorama("sphere")
    target.add(PICTURE[:120, :160], None, np.eye(3))
    image, _ = target.render()
    assert image.shape[1] == pytest.approx(2 * 120 * np.arctan(79.5 / 120), abs=6)


def test_large_frames_are_not_held_back_beyond_the_bound() -> None:
    target = Panorama(CAMERA, "auto", 50_000, 0.0)
    assert all(slide(list(range(0, 1400, 40)), target))
    image, mask = target.render()
    assert target.num_drawn == 35
    assert mask.size <= 50_000
    assert image.shape[1] == pytest.approx(1520 / 4, abs=4) or image.shape[1] == pytest.approx(
        760, abs=6
    )


def test_masked_part_of_a_frame_is_not_drawn() -> None:
    frame, mask = np.full((120, 160, 3), 255, np.uint8), np.zeros((120, 160), np.uint8)
    mask[:, :80] = 255
    target = panorama()
    target.add(frame, mask, np.eye(3))
    image, _ = target.render()
    assert image.shape[1] == pytest.approx(80, abs=2 * 2 + 2)


def test_distorted_frames_are_straightened_before_they_are_joined() -> None:
    camera = Camera(*SIZE, 120.0, 120.0, 79.5, 59.5, distortion=(-0.2, 0.03, 0.0, 0.0))
    lens = Lens(camera)
    size = lens.pinhole.width, lens.pinhole.height
    target, xs = panorama(camera=camera), [200, 250, 300]
    for x in xs:
        H_picture_cur = np.array(
            [[1, 0, x + 0.5 - lens.pinhole.cx], [0, 1, 150.5 - lens.pinhole.cy], [0, 0, 1]],
            np.float64,
        )
        frame = lens.distort(cv2.warpPerspective(PICTURE, np.linalg.inv(H_picture_cur), size))
        assert target.add(frame, None, np.array([[1.0, 0, -50], [0, 1, 0], [0, 0, 1]]))
    image, mask = target.render()
    match = cv2.matchTemplate(PICTURE, image, cv2.TM_SQDIFF, mask=mask)
    x, y = cv2.minMaxLoc(match)[2]
    truth = PICTURE[y : y + len(mask), x : x + mask.shape[1]]
    assert np.abs(truth.astype(float) - image)[mask > 0].mean() < 2


def test_panorama_without_a_frame_cannot_be_rendered() -> None:
    with pytest.raises(ValueError, match="no frame"):
        panorama().render()
