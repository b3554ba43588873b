"""A canvas that grows as frames are blended into it, weighted by nearness to each frame's middle.

It is made of square tiles that exist where a frame has been, so that the cost of a frame depends on
its own size alone; a pixel takes 16 bytes. The middle of the canvas's pixel x lies at
(x + 0.5) / scale - 0.5 on the chart of the surface. Feathering: Szeliski, Image Alignment and
Stitching: A Tutorial, 2006, section 5.2.
"""

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.surfaces import Float, Surface, footprint

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Tile = tuple[int, int]

TILE_SIZE = 256
MIN_SCALE = 1 / 16
RIM = 2
_FEATHER_POWER = 2
_OUTSIDE = -2.0


class Canvas:
    """Sums of weighted colours and of weights, by tile.

    Args:
        surface: what the frames are drawn on.
        max_pixels: bound on the area of the rectangle around all frames; a canvas that would grow
            beyond it halves its scale.
    """

    def __init__(self, surface: Surface, max_pixels: float) -> None:
        self.scale = 1.0
        self.num_frames = 0
        self._surface = surface
        self._max_pixels = max_pixels
        self._near_x = 0.0
        self._bounds: Float | None = None  # of all frames, on the chart: left, top, right, bottom
        self._tiles: dict[Tile, Float32] = {}  # (row, column) -> (TILE_SIZE, TILE_SIZE, 4)

    def add(self, image: Image, weights: Float32, H_ref_cur: Float) -> bool:
        """Blend a frame in; False where it cannot be drawn (see `footprint`) or would not fit.

        image: (H, W[, 3]) uint8, undistorted
        weights: (H, W) float32, zero where the picture must not be used
        """
        grid = footprint(self._surface, H_ref_cur, (image.shape[1], image.shape[0]))
        bounds = None if grid is None else self._nearest_turn(grid)
        if bounds is None or not self._make_room(bounds):
            return False
        self._near_x = float(bounds[0] + bounds[2]) / 2
        self._blend(image, weights, H_ref_cur, bounds)
        self.num_frames += 1
        return True

    def render(self) -> tuple[Image, Image]:
        """Return the picture (H, W, 3), cropped to what is covered, and its mask, 0 or 255."""
        rows, columns = zip(*self._tiles, strict=True) if self._tiles else ((0,), (0,))
        height, width = (max(v) - min(v) + 1 for v in (rows, columns))
        picture = np.zeros((height * TILE_SIZE, width * TILE_SIZE, 3), np.uint8)
        mask = np.zeros(picture.shape[:2], np.uint8)
        for (row, column), sums in self._tiles.items():
            y, x = (row - min(rows)) * TILE_SIZE, (column - min(columns)) * TILE_SIZE
            part = np.s_[y : y + TILE_SIZE, x : x + TILE_SIZE]
            picture[part], mask[part] = _mean_colours(sums)
        x, y, width, height = cv2.boundingRect(mask)
        part = np.s_[y : y + height, x : x + width]
        return picture[part].copy(), mask[part].copy()

    def _nearest_turn(self, grid: Float) -> Float:
        """Return the bounds (4,) of a footprint; around a sphere, on the turn of the last frame."""
        bounds = np.concatenate([grid.min(axis=(0, 1)), grid.max(axis=(0, 1))])
        period = self._surface.period
        if np.isfinite(period):
            bounds[::2] += period * np.round((self._near_x - bounds[::2].mean()) / period)
        return bounds

    def _make_room(self, bounds: Float) -> bool:
        """Extend the bounds of all frames, halving the scale where that needs too many pixels."""
        if self._bounds is not None:
            low, high = self._bounds[:2], self._bounds[2:]
            bounds = np.concatenate([np.minimum(low, bounds[:2]), np.maximum(high, bounds[2:])])
        area = float(np.prod(bounds[2:] - bounds[:2] + 1))
        if area * MIN_SCALE**2 > self._max_pixels:
            return False
        while area * self.scale**2 > self._max_pixels:
            self._halve()
        self._bounds = bounds
        return True

    def _halve(self) -> None:
        """Let one pixel take the place of 2 x 2."""
        tiles, self._tiles = self._tiles, {}
        self.scale /= 2
        half = TILE_SIZE // 2
        for (row, column), sums in tiles.items():
            y, x = row % 2 * half, column % 2 * half
            small = cv2.resize(sums, (half, half), interpolation=cv2.INTER_AREA)
            self._tile(row // 2, column // 2)[y : y + half, x : x + half] = small

    def _tile(self, row: int, column: int) -> Float32:
        if (row, column) not in self._tiles:
            self._tiles[row, column] = np.zeros((TILE_SIZE, TILE_SIZE, 4), np.float32)
        return self._tiles[row, column]

    def _blend(self, image: Image, weights: Float32, H_ref_cur: Float, bounds: Float) -> None:
        if self.scale < 1:
            image, weights, H_ref_cur = _shrunk(image, weights, H_ref_cur, self.scale)
        colours = image if image.ndim == 3 else np.dstack([image] * 3)
        H_cur_ref = np.linalg.inv(H_ref_cur)
        for (row, column), xs, ys in _tile_parts((bounds + 0.5) * self.scale - 0.5):
            points_ref = self._surface.to_ref(self._to_chart(xs), self._to_chart(ys))
            sums = _weighted_colours(colours, weights, points_ref @ H_cur_ref.T)
            if np.any(sums[..., 3]):
                x, y = xs[0] - column * TILE_SIZE, ys[0] - row * TILE_SIZE
                self._tile(row, column)[y : y + len(ys), x : x + len(xs)] += sums

    def _to_chart(self, pixels: npt.NDArray[np.int64]) -> Float:
        return np.asarray((pixels + 0.5) / self.scale - 0.5, np.float64)


def _tile_parts(
    bounds: Float,
) -> Iterator[tuple[Tile, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Cut the pixels within bounds (4,) along the tiles: tile, xs (W,) and ys (H,) of each part."""
    left, top = (int(v) for v in np.floor(bounds[:2]))
    right, bottom = (int(v) + 1 for v in np.ceil(bounds[2:]))
    for row in range(top // TILE_SIZE, -(-bottom // TILE_SIZE)):
        for column in range(left // TILE_SIZE, -(-right // TILE_SIZE)):
            x, y = column * TILE_SIZE, row * TILE_SIZE
            xs = np.arange(max(left, x), min(right, x + TILE_SIZE))
            yield (row, column), xs, np.arange(max(top, y), min(bottom, y + TILE_SIZE))


def _weighted_colours(image: Image, weights: Float32, points_cur: Float) -> Float32:
    """Sample a frame at homogeneous pixels (h, w, 3): colours times weight, weight; (h, w, 4)."""
    depth = points_cur[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.where(depth > 0, points_cur[..., :2] / depth, _OUTSIDE)
    # remap counts pixels in 16 bits
    pixels = np.clip(pixels, _OUTSIDE, np.array(weights.shape[::-1]) - _OUTSIDE)
    x, y = np.moveaxis(pixels, 2, 0).astype(np.float32)
    weight = cv2.remap(weights, x, y, cv2.INTER_LINEAR)[..., None]
    colours = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.dstack([colours * weight, weight])


def _mean_colours(sums: Float32) -> tuple[Image, Image]:
    weight = sums[..., 3:]
    is_covered = weight > 0
    colours = sums[..., :3] / np.where(is_covered, weight, 1)
    return np.rint(colours).astype(np.uint8), is_covered[..., 0].astype(np.uint8) * 255


def _shrunk(
    image: Image, weights: Float32, H_ref_cur: Float, scale: float
) -> tuple[Image, Float32, Float]:
    """Return a smaller copy of a frame, so that drawing it smaller does not alias."""
    height, width = weights.shape
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    x, y = width / size[0], height / size[1]
    H_cur_small = np.array([[x, 0, x / 2 - 0.5], [0, y, y / 2 - 0.5], [0, 0, 1]])
    small, weights_small = (
        cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (image, weights)
    )
    return (
        np.asarray(small, np.uint8),
        np.asarray(weights_small, np.float32),
        H_ref_cur @ H_cur_small,
    )


def undistort(image: Image, camera: Camera) -> Image:
    """Return an image (H, W[, 3]) as `camera.ideal` sees it; what the camera did not see is 0."""
    if camera.is_ideal:
        return image
    maps = _undistortion_maps(camera)
    return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)


@lru_cache(maxsize=4)
def _undistortion_maps(camera: Camera) -> tuple[Float32, Float32]:
    size = camera.width, camera.height
    if camera.model == "fisheye":
        pixels = np.stack(np.meshgrid(*map(np.arange, size)), axis=-1)
        seen = camera.project(camera.ideal.rays(pixels)).reshape(*size[::-1], 2)
        x, y = np.nan_to_num(seen, nan=_OUTSIDE).astype(np.float32).transpose(2, 0, 1)
        return np.ascontiguousarray(x), np.ascontiguousarray(y)
    distortion = np.array(camera.distortion)
    maps = cv2.initUndistortRectifyMap(camera.K, distortion, None, camera.K, size, cv2.CV_32FC1)
    return np.asarray(maps[0], np.float32), np.asarray(maps[1], np.float32)


def feather_weights(mask: Image) -> Float32:
    """Return weights (H, W) that rise to 1 from the edge of a mask (H, W), nonzero where usable.

    The edge itself, `RIM` pixels wide, has no weight: sharpening often leaves it too bright.
    """
    padded = cv2.copyMakeBorder((mask > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1] - RIM
    weights = np.clip(distance / max(float(distance.max()), 1.0), 0, None) ** _FEATHER_POWER
    return np.ascontiguousarray(weights, np.float32)
