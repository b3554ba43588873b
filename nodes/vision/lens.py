"""Gives a rendered picture the distortion of a lens: radial-tangential or fisheye."""

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

MARGIN_PX = 3
MAX_ANGLE_DEG = 80.0
"""A picture in a plane that shows more than this from its axis would become too large."""
_OUTSIDE = -1e4


class Lens:
    """Turns the picture of `pinhole`, a wider camera without distortion, into that of `camera`.

    What a fisheye sees at more than `MAX_ANGLE_DEG` from its axis stays black.

    Raises:
        ValueError: the distortion has no inverse within the picture.
    """

    def __init__(self, camera: Camera) -> None:
        pixels = _normalised(camera) * (camera.fx, camera.fy)
        low = np.floor(np.nanmin(pixels, axis=(0, 1))) - MARGIN_PX
        width, height = (np.ceil(np.nanmax(pixels, axis=(0, 1))) + MARGIN_PX - low).astype(int)
        self._map = np.nan_to_num((pixels - low).astype(np.float32), nan=_OUTSIDE)
        self._levels = _levels(pixels) if camera.model == "fisheye" else None
        self.pinhole = replace(
            camera.ideal, width=int(width), height=int(height), cx=float(-low[0]), cy=float(-low[1])
        )

    def distort(self, image: Image) -> Image:
        """Return (H, W, 3) as `camera` sees it, from the picture of `pinhole`."""
        if self._levels is None:
            return _sample(image, self._map)
        distorted = np.zeros((*self._levels.shape, 3), np.uint8)
        size = np.array([image.shape[1], image.shape[0]], np.float32)
        for level in range(int(self._levels.max()) + 1):
            is_here = self._levels == level
            # -0.5 is the outer edge of the picture, at whatever size
            scale = np.array([image.shape[1], image.shape[0]], np.float32) / size
            places = (self._map + np.float32(0.5)) * scale - np.float32(0.5)
            distorted[is_here] = _sample(image, places)[is_here]
            image = np.asarray(cv2.resize(image, _half(image), interpolation=cv2.INTER_AREA))
        return distorted


def _sample(image: Image, places: Float32) -> Image:
    x, y = np.ascontiguousarray(np.moveaxis(places, 2, 0))
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_CUBIC), np.uint8)


def _half(image: Image) -> tuple[int, int]:
    return max(1, image.shape[1] // 2), max(1, image.shape[0] // 2)


def _levels(pixels: Float) -> npt.NDArray[np.int64]:
    """Return how often (H, W) the plane's picture must be halved, for it has that many more pixels.

    A fisheye squeezes what is far from the axis; sampling it without that would be aliased.
    """
    along_y, along_x = (np.asarray(d, np.float64) for d in np.gradient(pixels, axis=(0, 1)))
    area = np.abs(along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0])
    levels = np.rint(np.log2(np.maximum(np.nan_to_num(area, nan=1.0), 1.0)) / 2)
    return np.asarray(levels, np.int64)


def _normalised(camera: Camera) -> Float:
    """Return the normalised coordinates (H, W, 2) that every pixel sees."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    normalised = camera.undistort(pixels.reshape(-1, 2))
    if camera.model == "fisheye":
        far = np.hypot(*normalised.T) > np.tan(np.radians(MAX_ANGLE_DEG))
        normalised[far] = np.nan
    elif np.isnan(normalised).any():
        raise ValueError(f"distortion {camera.distortion} leaves pixels that see nothing")
    return normalised.reshape(camera.height, camera.width, 2)
