"""Renders textured rectangles as a pinhole camera with exact pose sees them.

Each rectangle is mapped by its own homography, and the nearest one wins at each pixel. Against
aliasing every texture is kept as a pyramid in half octaves; all pyramids lie in one sheet, from
which a single `cv2.remap` draws the frame. World and camera: x right, y down, z forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.se3 import inverse

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

NEAR_M = 0.05
LEVELS = 10
PADDING = 2
"""Texels repeated around each texture, for the interpolation at its border."""
SHEET_WIDTH = 4096
EDGE_BITS = 4


@dataclass(frozen=True, eq=False)
class Surface:
    """A rectangle in the world, seen from the side on which `edge_u` leads right and `edge_v` down.

    `origin` (3,) metres is the corner of the picture's top left, `edge_u` and `edge_v` (3,) metres
    lead along its whole width and height.
    """

    origin: Float
    edge_u: Float
    edge_v: Float
    picture: Image

    def corners(self) -> Float:
        """Return the corners (4, 3) in the world, around the rectangle."""
        o, u, v = self.origin, self.edge_u, self.edge_v
        return np.array([o, o + u, o + u + v, o + v])

    def texel_to_world(self) -> Float:
        """Return the (4, 3) map from homogeneous texels, (0, 0, 1) being the first one's centre."""
        height, width = self.picture.shape[:2]
        du, dv = self.edge_u / width, self.edge_v / height
        columns = np.column_stack([du, dv, self.origin + 0.5 * (du + dv)])
        return np.vstack([columns, [0, 0, 1]])


class Scene:
    """Surfaces, and the sheet of their textures."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.surfaces = list(surfaces)
        levels = [level for surface in self.surfaces for level in _pyramid(surface.picture)]
        self._sheet, corners = _pack(levels)
        sizes = [surface.picture.shape for surface in self.surfaces for _ in range(LEVELS)]
        scales = [
            (a.shape[1] / b[1], a.shape[0] / b[0]) for a, b in zip(levels, sizes, strict=True)
        ]
        self._scale_x, self._scale_y = np.array(scales, np.float32).T.copy()
        self._left, self._top = np.array(corners, np.float32).T.copy()

    def render(self, camera: Camera, T_world_cam: Float) -> Image:
        """Return (H, W, 3) uint8 RGB, ignoring distortion; black where there is nothing."""
        view = self._draw(camera, T_world_cam)
        place = view.levels() + LEVELS * view.owner
        # Levels agree on their outer edges; in the sheet the centres of texels are whole numbers.
        sheet_x = (view.texel_x + 0.5) * self._scale_x[place] + (self._left[place] - 0.5)
        sheet_y = (view.texel_y + 0.5) * self._scale_y[place] + (self._top[place] - 0.5)
        image = cv2.remap(self._sheet, sheet_x, sheet_y, cv2.INTER_LINEAR)
        image[view.inverse_depth == 0] = 0
        return _softened(np.asarray(image, np.uint8), view.owner)

    def depth(self, camera: Camera, T_world_cam: Float) -> Float32:
        """Return (H, W) float32 metres along z, ignoring distortion; infinite where nothing is."""
        with np.errstate(divide="ignore"):
            return np.asarray(1 / self._draw(camera, T_world_cam).inverse_depth)

    def _draw(self, camera: Camera, T_world_cam: Float) -> "_View":
        view = _View(camera, T_world_cam, len(self.surfaces))
        for index, surface in enumerate(self.surfaces):
            view.draw(index, surface)
        return view


class _View:
    """For each pixel the nearest surface, the texel seen there, and the inverse of its depth."""

    def __init__(self, camera: Camera, T_world_cam: Float, num_surfaces: int) -> None:
        shape = (camera.height, camera.width)
        self._K, self._T_cam_world = camera.K, inverse(T_world_cam)
        self._shape = shape
        self.inverse_depth = np.zeros(shape, np.float32)
        self.texel_x, self.texel_y = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.owner = np.zeros(shape, np.int32)
        self._log_area = np.zeros(num_surfaces, np.float32)

    def draw(self, index: int, surface: Surface) -> None:
        """Put a surface where it is nearer than what is there."""
        A = self._K @ self._T_cam_world[:3] @ surface.texel_to_world()
        polygon = self._project(surface.corners())
        region = self._bounds(polygon)
        if region is None or np.linalg.det(A) <= 0:  # out of sight, or seen from behind
            return
        # A (s, t, 1) = z (x, y, 1) for the texel (s, t) seen at the pixel (x, y) in depth z.
        G = np.linalg.inv(A)
        self._log_area[index] = np.log2(np.linalg.det(G))
        rows, cols = region
        x, y = np.arange(cols.start, cols.stop), np.arange(rows.start, rows.stop)
        s, t, inverse_depth = (
            np.add.outer((g[1] * y + g[2]).astype(np.float32), (g[0] * x).astype(np.float32))
            for g in G
        )
        nearer = _filled(polygon, rows, cols) & (inverse_depth > self.inverse_depth[region])
        z = 1 / np.where(nearer, inverse_depth, 1)
        # The outline in whole pixels may lead a little outside the picture.
        height, width = surface.picture.shape[:2]
        np.copyto(self.texel_x[region], np.clip(s * z, 0, width - 1), where=nearer)
        np.copyto(self.texel_y[region], np.clip(t * z, 0, height - 1), where=nearer)
        np.copyto(self.inverse_depth[region], inverse_depth, where=nearer)
        self.owner[region][nearer] = index

    def levels(self) -> npt.NDArray[np.int32]:
        """Return the pyramid level (H, W) at which a texel is as large as a pixel.

        A pixel covers det G / inverse_depth^3 texels of level 0 and half as many of the next one.
        """
        log_depth = np.log2(np.maximum(self.inverse_depth, 1e-6))
        levels = np.rint(self._log_area[self.owner] - 3 * log_depth)
        return np.asarray(np.clip(levels, 0, LEVELS - 1), np.int32)

    def _project(self, corners: Float) -> Float:
        """Return the outline (P, 2) in pixels of what lies in front of the camera."""
        points = _in_front(corners @ self._T_cam_world[:3, :3].T + self._T_cam_world[:3, 3])
        pixels = points @ self._K.T
        return np.asarray(pixels[:, :2] / pixels[:, 2:])

    def _bounds(self, polygon: Float) -> tuple[slice, slice] | None:
        """Return the rows and columns of the picture that a polygon touches."""
        if not len(polygon):
            return None
        low = np.maximum(np.floor(polygon.min(axis=0)) - 1, 0).astype(int)
        high = np.minimum(np.ceil(polygon.max(axis=0)) + 2, self._shape[::-1]).astype(int)
        if (low >= high).any():
            return None
        return slice(low[1], high[1]), slice(low[0], high[0])


def _softened(image: Image, owner: npt.NDArray[np.int32]) -> Image:
    """Blur the outlines of the surfaces, which are drawn in whole pixels."""
    square = np.ones((3, 3), np.uint8)
    outlines = cv2.morphologyEx(owner.astype(np.uint8), cv2.MORPH_GRADIENT, square)
    return np.asarray(cv2.copyTo(cv2.GaussianBlur(image, (3, 3), 0), outlines, image), np.uint8)


def _in_front(points: Float) -> Float:
    """Clip a polygon (P, 3) at the near plane (Sutherland and Hodgman, CACM 1974)."""
    kept: list[Float] = []
    for a, b in zip(points, np.roll(points, -1, axis=0), strict=True):
        if a[2] >= NEAR_M:
            kept.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            kept.append(a + (NEAR_M - a[2]) / (b[2] - a[2]) * (b - a))
    return np.array(kept, np.float64).reshape(-1, 3)


def _filled(polygon: Float, rows: slice, cols: slice) -> npt.NDArray[np.bool_]:
    """Return the pixels of a region that lie in a convex polygon."""
    mask = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)
    fixed = np.round((polygon - (cols.start, rows.start)) * (1 << EDGE_BITS)).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 1, cv2.LINE_8, EDGE_BITS)
    return mask.view(np.bool_)


def _pyramid(picture: Image) -> list[Image]:
    """Return the picture in LEVELS sizes, each with half the texels of the one before."""
    levels = [picture]
    height, width = picture.shape[:2]
    for level in range(1, LEVELS):
        size = (
            max(1, round(width * 0.5 ** (level / 2))),
            max(1, round(height * 0.5 ** (level / 2))),
        )
        source = levels[max(0, level - 2)]
        levels.append(np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8))
    return levels


def _pack(pictures: Sequence[Image]) -> tuple[Image, list[tuple[int, int]]]:
    """Lay pictures on one sheet, in shelves, the tallest first; return it and their top lefts."""
    corners = [(0, 0)] * len(pictures)
    x = y = shelf = 0
    for i in sorted(range(len(pictures)), key=lambda i: -pictures[i].shape[0]):
        height, width = (n + 2 * PADDING for n in pictures[i].shape[:2])
        if x + width > SHEET_WIDTH:
            x, y, shelf = 0, y + shelf, 0
        shelf = max(shelf, height)
        corners[i] = (x + PADDING, y + PADDING)
        x += width
    sheet = np.zeros((y + shelf, SHEET_WIDTH, 3), np.uint8)
    for picture, (left, top) in zip(pictures, corners, strict=True):
        height, width = (n + 2 * PADDING for n in picture.shape[:2])
        sheet[top - PADDING :, left - PADDING :][:height, :width] = cv2.copyMakeBorder(
            picture, PADDING, PADDING, PADDING, PADDING, cv2.BORDER_REPLICATE
        )
    return sheet, corners
