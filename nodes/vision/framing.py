"""Crop and resize: the same part of the world in fewer pixels, with mask and camera kept right.

cv2.resize leaves the corner (-0.5, -0.5) of the image in place, as `Camera.resized` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.images import Allocate, Image

_USABLE = 0.999  # of a pixel's area, rounding apart


@dataclass(frozen=True)
class Framing:
    """A crop (x, y, width, height), then a resize to (width, height), in pixels; empty: none."""

    crop: Sequence[int] = ()
    resize: Sequence[int] = ()

    def __post_init__(self) -> None:
        crop = self.crop or (0, 0, 1, 1)
        if len(crop) != 4 or min(crop[:2]) < 0 or min(crop[2:]) < 1:
            raise ValueError(
                "crop must be x, y, width and height with x and y of 0 or more and a size of 1 or "
                f"more, not {list(self.crop)}"
            )
        if self.resize and (len(self.resize) != 2 or min(self.resize) < 1):
            raise ValueError(
                f"resize must be width and height of 1 or more, not {list(self.resize)}"
            )

    @property
    def is_plain(self) -> bool:
        """Whether it leaves everything as it is."""
        return not self.crop and not self.resize

    def fits(self, width: int, height: int) -> bool:
        """Say whether the crop lies within a picture of width x height."""
        x, y, crop_width, crop_height = self.crop or (0, 0, width, height)
        return x + crop_width <= width and y + crop_height <= height

    def image(self, image: Image, empty: Allocate = np.empty) -> Image:
        """Frame an image (H, W) or (H, W, 3) that it fits, in a new array made by `empty`."""
        part = self._cut(image)
        width, height = self.resize or part.shape[1::-1]
        framed = empty((height, width, *part.shape[2:]), np.uint8)
        if part.shape == framed.shape:
            framed[:] = part
        else:
            cv2.resize(part, (width, height), dst=framed, interpolation=self._interpolation(part))
        return framed

    def mask(self, mask: Image) -> Image:
        """Frame a mask (H, W); a pixel may be used where all that went into it might be."""
        usable = (self._cut(mask) > 0).astype(np.float32)
        if self.resize:
            size = self.resize[0], self.resize[1]
            usable = np.asarray(
                cv2.resize(usable, size, interpolation=self._interpolation(usable)), np.float32
            )
        return np.where(usable >= _USABLE, 255, 0).astype(np.uint8)

    def camera(self, camera: Camera) -> Camera:
        """Return the camera of the framed image."""
        if self.crop:
            x, y, width, height = self.crop
            camera = camera.cropped(x, y, width, height)
        return camera.resized(self.resize[0], self.resize[1]) if self.resize else camera

    def _cut(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if not self.crop:
            return image
        x, y, width, height = self.crop
        return image[y : y + height, x : x + width]

    def _interpolation(self, image: npt.NDArray[Any]) -> int:
        """Average over what becomes one pixel; where the image grows, go between the pixels."""
        is_smaller = self.resize[0] <= image.shape[1] and self.resize[1] <= image.shape[0]
        return cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
