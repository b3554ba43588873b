"""Photometric augmentation: off is off, nothing moves, and each effect is what it says."""

import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

Load = Callable[[str], ModuleType]
Image = npt.NDArray[np.uint8]
EFFECTS = {
    "brightness": 0.3, "contrast": (0.5, 1.5), "gamma": (0.5, 2.0), "noise": 0.1, "blur_px": 3.0,
    "motion_blur_px": 9.0, "shade": 1.0, "specular": 1.0, "vignette": 1.0, "jpeg": 1.0,
}  # fmt: skip


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _texture(height: int = 192, width: int = 256) -> Image:
    noise = _rng(7).integers(0, 256, (height, width), np.uint8)
    return np.asarray(
        cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 40, 215, cv2.NORM_MINMAX)
    )


def _grey(level: int = 100) -> Image:
    return np.full((192, 256), level, np.uint8)


def test_all_settings_off_leave_every_grey_level_to_the_bit(load: Load) -> None:
    photometric = load("training.photometric")
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for seed in range(5):
        made = photometric.augment(image, _rng(seed), photometric.OFF)
        np.testing.assert_array_equal(made, image)
        assert made is not image


@pytest.mark.parametrize("effect", EFFECTS)
def test_each_effect_changes_pictures_repeats_per_seed_and_leaves_its_input(
    load: Load, effect: str
) -> None:
    photometric = load("training.photometric")
    settings = replace(photometric.OFF, **{effect: EFFECTS[effect]})
    image = _texture()
    made, again = (
        [photometric.augment(image, _rng(seed), settings) for seed in range(12)] for _ in range(2)
    )
    assert sum((one != image).any() for one in made) >= 6  # some draws are too weak to be seen
    assert len({one.tobytes() for one in made}) >= 6
    np.testing.assert_array_equal(made, again)
    np.testing.assert_array_equal(image, _texture())
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in made)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (240, 320), (480, 640)])
def test_pictures_of_every_size_keep_it(load: Load, shape: tuple[int, int]) -> None:
    photometric = load("training.photometric")
    settings = photometric.Photometric(**EFFECTS)
    for seed in range(8):
        made = photometric.augment(np.full(shape, 90, np.uint8), _rng(seed), settings)
        assert made.shape == shape


def test_blurs_move_a_point_by_less_than_a_hundredth_of_a_pixel(load: Load) -> None:
    photometric = load("training.photometric")
    for length, angle in ((3.0, 0.3), (6.5, 1.1), (11.0, 2.8)):
        kernel = photometric.streak(length, angle)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
        assert kernel.sum() == pytest.approx(1, abs=1e-6)
    settings = replace(photometric.OFF, blur_px=2.0, motion_blur_px=7.0)
    image = np.zeros((41, 41), np.uint8)
    image[19:22, 17:20] = 250  # its middle: (18, 20)
    y, x = np.mgrid[:41, :41]
    for seed in range(10):
        made = photometric.augment(image, _rng(seed), settings).astype(float)
        assert (made * x).sum() / made.sum() == pytest.approx(18, abs=0.01)
        assert (made * y).sum() / made.sum() == pytest.approx(20, abs=0.01)


@pytest.mark.parametrize("angle_deg", [0, 30, 90, 135])
def test_motion_blur_is_as_long_as_asked_along_its_angle(load: Load, angle_deg: int) -> None:
    photometric = load("training.photometric")
    kernel = photometric.streak(12.0, np.deg2rad(angle_deg))
    reach = len(kernel) // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    spread = [np.sqrt((kernel * along**2).sum()) for along in (x * c + y * s, y * c - x * s)]
    assert spread[0] == pytest.approx(12 / np.sqrt(12), rel=0.1)
    assert spread[1] < 0.6


def test_noise_is_normal_with_at_most_the_deviation_asked_for(load: Load) -> None:
    photometric = load("training.photometric")
    settings = replace(photometric.OFF, noise=0.06)
    made = [photometric.augment(_grey(), _rng(seed), settings) - 100.0 for seed in range(40)]
    deviations = np.array([one.std() for one in made]) / 255
    assert 0.045 < deviations.max() <= 0.06 * 1.02
    assert deviations.min() < 0.01
    strongest = made[int(deviations.argmax())]
    assert abs(strongest.mean()) < 0.2
    assert (np.abs(strongest) > strongest.std()).mean() == pytest.approx(0.317, abs=0.03)


def test_highlights_are_several_saturated_blobs_with_soft_rims(load: Load) -> None:
    photometric = load("training.photometric")
    counts, shares, rims = [], [], []
    for seed in range(30):
        blobs = photometric.highlights((192, 256), _rng(seed))
        assert blobs.max() > 230
        counts.append(cv2.connectedComponents((blobs > 60).astype(np.uint8))[0] - 1)
        shares.append((blobs > 60).mean())
        rims.append(((blobs > 10) & (blobs < 245)).sum() / (blobs > 10).sum())
    assert 6 < np.median(counts) < 60
    assert min(shares) > 0.002
    assert max(shares) < 0.06
    assert min(rims) > 0.1


def test_specular_only_brightens_and_in_the_share_of_pictures_asked_for(load: Load) -> None:
    photometric = load("training.photometric")
    settings = replace(photometric.OFF, specular=0.3)
    image = _texture()
    rng, changed = _rng(), 0
    for _ in range(200):
        made = photometric.augment(image, rng, settings)
        assert (made >= image).all()
        changed += bool((made != image).any())
    assert 40 <= changed <= 80


def test_vignette_darkens_the_border_and_half_of_them_are_black_outside_a_circle(
    load: Load,
) -> None:
    photometric = load("training.photometric")
    settings = replace(photometric.OFF, vignette=1.0)
    made = [photometric.augment(_grey(), _rng(seed), settings) for seed in range(60)]
    corners = np.array([one[[0, 0, -1, -1], [0, -1, 0, -1]].mean() for one in made])
    middles = np.array([one[86:106, 118:138].mean() for one in made])
    assert (corners < 0.9 * middles).all()
    assert middles.min() > 60
    black = np.array([one[0, 0] == one[-1, -1] == 0 for one in made])
    assert 15 < black.sum() < 45
    centres = {int(one[80].argmax()) for one in made if one[0, 0] > 0}
    assert len(centres) > 10


def test_shade_is_smooth(load: Load) -> None:
    photometric = load("training.photometric")
    settings = replace(photometric.OFF, shade=1.0)
    for seed in range(30):
        made = photometric.augment(_grey(), _rng(seed), settings).astype(int)
        assert max(np.abs(np.diff(made, axis=axis)).max() for axis in (0, 1)) <= 12


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("brightness", -0.1, "brightness must be from 0 to 1, not -0.1"),
        ("noise", 2.0, "noise must be from 0 to 1, not 2.0"),
        ("blur_px", float("nan"), "blur_px must be from 0 to 50 pixels, not nan"),
        ("vignette", 1.5, "vignette must be from 0 to 1, not 1.5"),
        (
            "contrast",
            (1.4, 0.6),
            "contrast must be two rising numbers above 0 and up to 10, not (1.4, 0.6)",
        ),
        (
            "gamma",
            (0.0, 1.0),
            "gamma must be two rising numbers above 0 and up to 10, not (0.0, 1.0)",
        ),
    ],
)
def test_settings_out_of_range_are_named(load: Load, name: str, value: object, said: str) -> None:
    photometric = load("training.photometric")
    with pytest.raises(ValueError) as caught:
        photometric.Photometric(**{name: value})
    assert str(caught.value) == said


def test_a_picture_takes_little_cpu_time(load: Load) -> None:
    """About 0.5 ms on a quiet core; the bound leaves room for a busy machine."""
    photometric = load("training.photometric")
    image, rng, settings = _texture(), _rng(), photometric.Photometric()
    started = time.thread_time()
    for _ in range(200):
        photometric.augment(image, rng, settings)
    assert (time.thread_time() - started) / 200 < 3e-3
