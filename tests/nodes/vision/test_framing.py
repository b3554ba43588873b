"""Crop and resize keep picture, mask and camera together."""

import numpy as np
import pytest

from nodes.vision.camera import Camera
from nodes.vision.framing import Framing

CAMERA = Camera(320, 240, 250.0, 260.0, 155.0, 125.0, distortion=(-0.2, 0.05, 0.001, -0.002))
POINTS = np.array([[0.0, 0, 2], [0.35, 0.25, 2], [-0.3, 0.3, 2.5], [0.1, -0.3, 1.5]])


def spots(camera: Camera, sigma_px: float = 6.0) -> np.ndarray:
    """Draw a soft spot where each point is seen, and return a picture for each."""
    y, x = np.mgrid[: camera.height, : camera.width]
    return np.stack([
        255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma_px**2))
        for u, v in camera.project(POINTS)
    ]).astype(np.uint8)  # fmt: skip


def centre(image: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return float((x * image).sum() / image.sum()), float((y * image).sum() / image.sum())


@pytest.mark.parametrize(
    ("crop", "resize", "size"),
    [
        ((40, 20, 240, 200), (), (240, 200)),
        ((), (160, 120), (160, 120)),
        ((), (480, 400), (480, 400)),
        ((41, 21, 235, 201), (100, 77), (100, 77)),
    ],
)
def test_a_projected_point_lands_on_the_same_content(
    crop: tuple[int, ...], resize: tuple[int, ...], size: tuple[int, int]
) -> None:
    framing = Framing(crop, resize)
    camera = framing.camera(CAMERA)
    assert (camera.width, camera.height) == size
    for image, expected in zip(spots(CAMERA), camera.project(POINTS), strict=True):
        framed = framing.image(image)
        assert framed.shape == size[::-1]
        np.testing.assert_allclose(centre(framed), expected, atol=0.1)


def test_colour_is_framed_into_the_memory_that_is_asked_for() -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    made = []

    def empty(shape: tuple[int, ...], dtype: object) -> np.ndarray:
        made.append(np.empty(shape, np.uint8))
        return made[-1]

    for framing in (Framing((2, 3, 20, 10)), Framing((2, 3, 20, 10), (10, 5)), Framing((), (7, 9))):
        framed = framing.image(image, empty)
        assert framed is made[-1] and framed.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(made[0], image[3:13, 2:22])


def test_shrinking_averages() -> None:
    image = np.array([[0, 200], [100, 100]], np.uint8).repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(Framing((), (1, 1)).image(image), [[100]])


def test_a_pixel_may_be_used_where_all_that_went_into_it_might_be() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[10:31, 10:30] = 1
    framed = Framing((4, 4, 32, 32), (16, 16)).mask(mask)
    expected = np.zeros((16, 16), np.uint8)
    expected[3:13, 3:13] = 255
    np.testing.assert_array_equal(framed, expected)
    np.testing.assert_array_equal(
        Framing((0, 0, 20, 20)).mask(mask)[9:11, 9:11], [[0, 0], [0, 255]]
    )


def test_a_crop_fits_or_not() -> None:
    framing = Framing((10, 20, 30, 40))
    assert framing.fits(40, 60) and not framing.fits(39, 60) and not framing.fits(40, 59)
    assert Framing((), (9, 9)).fits(1, 1)
    assert Framing().is_plain and not framing.is_plain
    assert Framing().camera(CAMERA) == CAMERA


@pytest.mark.parametrize(
    ("crop", "resize", "message"),
    [
        ((1, 2, 3), (), "crop must be x, y, width and height with x and y of 0 or more and a size of 1 or more, not [1, 2, 3]"),
        ((-1, 2, 3, 4), (), "crop must be x, y, width and height with x and y of 0 or more and a size of 1 or more, not [-1, 2, 3, 4]"),
        ((1, 2, 3, 0), (), "crop must be x, y, width and height with x and y of 0 or more and a size of 1 or more, not [1, 2, 3, 0]"),
        ((7,), (), "crop must be x, y, width and height with x and y of 0 or more and a size of 1 or more, not [7]"),
        ((), (1,), "resize must be width and height of 1 or more, not [1]"),
        ((), (0, 5), "resize must be width and height of 1 or more, not [0, 5]"),
    ],
)  # fmt: skip
def test_wrong_sizes_are_refused(
    crop: tuple[int, ...], resize: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        Framing(crop, resize)
    assert str(caught.value) == message
