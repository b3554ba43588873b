"""A canvas that knows its corners: shapes are drawn finer than the picture, labels kept exactly.

Points are (N, 2) float64, (x, y) in pixels of the picture; the centre of its upper left pixel is
(0, 0). The canvas is four times finer and is reduced by area in the end, so that edges and corners
lie where they should to a tenth of a pixel.
"""

import cv2
import numpy as np
import numpy.typing as npt

from training.shape_geometry import Points, crossings, inset, inside, sides, steps

FINE_PX = 200_000  # pictures of more pixels are drawn only twice as fine, to save time
SHIFT = 6  # binary places of OpenCV's fixed-point coordinates
GROWTH = 0.45  # fine pixels by which OpenCV's filled forms are larger all around than they should
NONE = np.empty((0, 2))


class Canvas:
    """A picture in the making, its labels, and the edges that later shapes may cross.

    Attributes:
        image: (scale * H, scale * W) uint8, the fine picture.
        size: (H, W) of the picture.
        corners: (N, 2) labels so far, some perhaps outside the picture or doubled.
    """

    def __init__(self, background: npt.NDArray[np.uint8]) -> None:
        height, width = background.shape
        self.size = (height, width)
        self.scale = 4 if height * width <= FINE_PX else 2
        fine = (width * self.scale, height * self.scale)
        self.image = cv2.resize(background, fine, interpolation=cv2.INTER_LINEAR)
        self.corners = NONE
        self._edges = np.empty((0, 2, 2))
        self._age = np.empty(0, dtype=np.int64)  # how many covers were older than the edge
        self._covers: list[Points] = []

    def reduced(self) -> npt.NDArray[np.uint8]:
        """Return the (H, W) picture."""
        small = (self.size[1], self.size[0])
        return np.asarray(cv2.resize(self.image, small, interpolation=cv2.INTER_AREA), np.uint8)

    def level(self, point: Points) -> float:
        """Return the grey level at `point` (2,), at the nearest pixel if it lies outside."""
        height, width = self.image.shape
        x, y = self._fine(point)
        return float(self.image[int(min(max(y, 0), height - 1)), int(min(max(x, 0), width - 1))])

    def fill(self, polygon: Points, grey: float, corners: Points | None = None) -> None:
        """Fill `polygon` (N, 2); hide the labels below it, label its corners and T-junctions.

        `corners` (M, 2) are labelled instead of the polygon's own, where given.
        """
        self.paint(polygon, grey)
        self._cover(polygon)
        self.corners = np.concatenate([self.corners, polygon if corners is None else corners])

    def paint(self, polygon: Points, grey: float) -> None:
        """Fill `polygon` (N, 2) and leave all labels as they are."""
        polygon = inset(polygon, GROWTH / self.scale)
        cv2.fillPoly(self.image, [self._fixed(polygon)], round(grey), shift=SHIFT)

    def stroke(self, path: Points, width: float, grey: float, closed: bool = False) -> None:
        """Draw the lines along `path` (N, 2), `width` px wide; label its points and crossings."""
        edges = sides(path) if closed else steps(path)
        along = edges[:, 1] - edges[:, 0]
        along = along / np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-9)
        half = width / 2 - GROWTH / self.scale
        side = np.stack([-along[:, 1], along[:, 0]], axis=1)[:, None] * half
        inner = edges + along[:, None] * np.array([[[1.0], [-1.0]]]) * GROWTH / self.scale
        quads = np.concatenate([inner + side, inner[:, ::-1] - side], axis=1)
        for quad in self._fixed(quads):
            cv2.fillConvexPoly(self.image, quad, round(grey), shift=SHIFT)
        radius = round(half * self.scale * 2**SHIFT)
        for x, y in self._fixed(path if closed else path[1:-1]).tolist():
            cv2.circle(self.image, (x, y), radius, round(grey), cv2.FILLED, shift=SHIFT)
        self.add(path, edges)

    def grid(self, fields: npt.NDArray[np.uint8], H_image_fields: Points) -> None:
        """Draw `fields` (rows, columns) as a picture of hard-edged squares under a homography.

        Field (row, column) spans the unit square from (column, row). Labels below are hidden and
        T-junctions around labelled; labels and lines of the grid are the caller's to `add`.
        """
        rows, columns = fields.shape
        square = np.array([[[0, 0], [columns, 0], [columns, rows], [0, rows]]], dtype=np.float64)
        half = 0.5 - 0.5 / self.scale
        to_fine = self.scale * np.array([[1, 0, half], [0, 1, half], [0, 0, 1 / self.scale]])
        centred = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        cv2.warpPerspective(
            fields,
            to_fine @ H_image_fields @ centred,
            self.image.shape[::-1],
            dst=self.image,
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        self._cover(cv2.perspectiveTransform(square, H_image_fields)[0])

    def add(self, corners: Points, edges: Points) -> None:
        """Label `corners` (N, 2) and the crossings of `edges` (M, 2, 2) with those in sight."""
        self.corners = np.concatenate([self.corners, corners])
        self._cross(edges, self._covers)

    def _cover(self, outline: Points) -> None:
        """Hide what lies inside `outline` (N, 2) and label the edges that end at it."""
        self.corners = self.corners[~inside(self.corners, outline)]
        self._covers.append(outline)
        self._cross(sides(outline), self._covers[:-1])

    def _cross(self, edges: Points, covers: list[Points]) -> None:
        """Label where `edges` meet older ones that `covers` do not hide there; remember them."""
        ends, new_ends = self._edges, edges.reshape(-1, 2)
        apart = (ends.min(axis=1) > new_ends.max(axis=0)) | (
            ends.max(axis=1) < new_ends.min(axis=0)
        )
        near = np.nonzero(~apart.any(axis=1))[0]
        points, which = crossings(edges, ends[near])
        old = near[which]
        for index, cover in enumerate(covers if len(points) else []):
            shown = (self._age[old] > index) | ~inside(points, cover)
            points, old = points[shown], old[shown]
        self.corners = np.concatenate([self.corners, points])
        self._edges = np.concatenate([self._edges, edges])
        self._age = np.append(self._age, np.full(len(edges), len(self._covers)))

    def _fine(self, points: Points) -> Points:
        return np.asarray(self.scale * (points + 0.5) - 0.5)

    def _fixed(self, points: Points) -> npt.NDArray[np.int32]:
        return np.asarray(np.rint(self._fine(points) * 2**SHIFT), dtype=np.int32)
