"""Grey pictures and threads."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from nodes.vision.images import limit_threads, to_grey


@pytest.mark.parametrize(
    ("rgb", "luma"),
    [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255)],
)
def test_red_green_and_blue_weigh_as_in_bt_601(rgb: tuple[int, int, int], luma: int) -> None:
    image = np.full((2, 3, 3), rgb, np.uint8)
    grey = to_grey(image)
    assert grey.dtype == np.uint8
    assert grey.shape == (2, 3)
    assert (grey == luma).all()


def test_a_grey_picture_is_not_copied() -> None:
    image = np.zeros((2, 3), np.uint8)
    assert to_grey(image) is image


@pytest.fixture
def threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("threads")
def test_opencv_uses_as_many_threads_as_it_is_told() -> None:
    for num_threads in (2, 1, 1):
        limit_threads(num_threads)
        assert cv2.getNumThreads() == num_threads
