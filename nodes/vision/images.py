"""Images as arrays: (H, W) uint8 grey or (H, W, 3) uint8 RGB."""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def to_grey(image: Image) -> Image:
    """Return the luma (H, W) of an image (ITU-R BT.601, as in JPEG); grey stays as it is."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def limit_threads(num_threads: int) -> None:
    """Let OpenCV use so many threads for one call; it holds for the whole process."""
    if cv2.getNumThreads() != num_threads:  # setting it rebuilds the pool that others may be using
        cv2.setNumThreads(num_threads)
