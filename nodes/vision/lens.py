"""Gives a rendered picture the radial-tangential distortion of a lens."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]

MARGIN_PX = 3


class Lens:
    """Turns the picture of `pinhole`, a wider camera without distortion, into that of `camera`.

    Raises:
        ValueError: the distortion has no inverse within the picture.
    """

    def __init__(self, camera: Camera) -> None:
        pixels = _rays(camera) * (camera.fx, camera.fy)
        low = np.floor(pixels.min(axis=(0, 1))) - MARGIN_PX
        width, height = (np.ceil(pixels.max(axis=(0, 1))) + MARGIN_PX - low).astype(int)
        self._map_x, self._map_y = np.moveaxis((pixels - low).astype(np.float32), 2, 0).copy()
        self.pinhole = replace(
            camera,
            width=int(width), height=int(height), cx=float(-low[0]), cy=float(-low[1]),
            distortion=(),
        )  # fmt: skip

    def distort(self, image: Image) -> Image:
        """Return (H, W, 3) as `camera` sees it, from the picture of `pinhole`."""
        return np.asarray(cv2.remap(image, self._map_x, self._map_y, cv2.INTER_CUBIC), np.uint8)


def _rays(camera: Camera) -> Float:
    """Return the normalised coordinates (H, W, 2) that every pixel sees."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    rays = camera.undistort(pixels.reshape(-1, 2))
    if np.isnan(rays).any():
        raise ValueError(f"distortion {camera.distortion} leaves pixels that see nothing")
    return rays.reshape(camera.height, camera.width, 2)
