"""Images as arrays: (H, W) uint8 grey or (H, W, 3) uint8 RGB."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Allocate = Callable[[tuple[int, ...], npt.DTypeLike], npt.NDArray[Any]]
"""Makes an array of a shape and a dtype, as numpy's `empty` does."""


def to_grey(image: Image, empty: Allocate = np.empty) -> Image:
    """Return the luma (H, W) of an image (ITU-R BT.601, as in JPEG), of RGB in a new array.

    Grey stays as it is.
    """
    if image.ndim == 2:
        return image
    grey = empty(image.shape[:2], np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY, dst=grey), np.uint8)


def limit_threads(num_threads: int) -> None:
    """Let OpenCV use so many threads for one call; it holds for the whole process."""
    if cv2.getNumThreads() != num_threads:  # setting it rebuilds the pool that others may be using
        cv2.setNumThreads(num_threads)
