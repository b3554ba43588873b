"""A panorama of frames that follow one another: chained homographies, drawn on one canvas.

The first frames are held back until enough is known to choose a surface and a frame to refer to.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from nodes.vision.camera import Camera
from nodes.vision.canvas import Canvas, Image, feather_weights, undistort
from nodes.vision.surfaces import (
    Float,
    Plane,
    Sphere,
    Surface,
    footprint,
    level,
    middle_view,
    normalised,
    rotation_camera,
    widest_angle,
)

Projection = Literal["auto", "plane", "sphere"]
PROJECTIONS: tuple[str, ...] = get_args(Projection)

MAX_HELD = 24
MAX_PLANE_ANGLE = np.deg2rad(50)


@dataclass(frozen=True)
class _View:
    """One frame and where it is: p_first ~ H_first_cur @ p_cur, undistorted pixels."""

    image: Image
    mask: Image | None
    H_first_cur: Float


class Panorama:
    """The panorama of one camera, begun with the first frame that is added.

    Args:
        camera: of all frames; where it is not calibrated a turn on the spot tells the focal length.
        projection: "plane", "sphere", or "auto": the sphere for wide turns, else the plane.
        max_pixels: bound on the area of the picture, which becomes coarser rather than larger.
        min_motion: share of the frame's diagonal that the picture must move before a further frame
            is drawn; others add no new sight and would only blur.
    """

    def __init__(
        self, camera: Camera, projection: Projection, max_pixels: float, min_motion: float
    ) -> None:
        self.num_frames = 0
        """How many frames were added; fewer are drawn."""
        self.num_left_out = 0
        """How many of the first frames turned out not to fit the surface; final after `render`."""
        self._camera = camera
        self._projection = projection
        self._max_pixels = max_pixels
        self._min_motion = min_motion
        self._held: list[_View] = []
        self._last_drawn: _View | None = None
        self._last: _View | None = None
        self._H_ref_first: Float = np.eye(3)
        self._canvas: Canvas | None = None

    @property
    def num_drawn(self) -> int:
        """How many frames the picture is made of; final after `render`."""
        return self._canvas.num_frames if self._canvas else 0

    def add(self, image: Image, mask: Image | None, H_cur_prev: Float) -> bool:
        """Add the next frame; False where it cannot be drawn together with those before it.

        image: (H, W[, 3]) uint8; mask: (H, W), nonzero where it may be used
        H_cur_prev: maps undistorted pixels of the frame added before; any for the first
        """
        H_cur_prev = normalised(H_cur_prev)
        if self._last is None:
            view = _View(image, mask, np.eye(3))
        elif footprint(Plane(), H_cur_prev, image.shape[1::-1]) is None:
            return False
        else:
            H_first_cur = normalised(self._last.H_first_cur @ np.linalg.inv(H_cur_prev))
            view = _View(image, mask, H_first_cur)
        if self._has_moved(view) and not self._draw(view):
            return False
        self._last = view
        self.num_frames += 1
        return True

    def render(self) -> tuple[Image, Image]:
        """Return the picture (H, W, 3) and its mask (H, W), 255 where a frame covers it."""
        if self._last is None:
            raise ValueError("no frame was added")
        if self._last is not self._last_drawn:
            self._draw(self._last)
        return self._begun_canvas(is_complete=True).render()

    def _has_moved(self, view: _View) -> bool:
        """Say whether the median corner of the frame has moved far enough since the last drawn."""
        if self._last_drawn is None:
            return True
        H_drawn_cur = np.linalg.inv(self._last_drawn.H_first_cur) @ view.H_first_cur
        height, width = view.image.shape[:2]
        corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
        moved = Plane().to_chart(corners @ H_drawn_cur.T) - corners[:, :2]
        # a corner behind the plane is NaN, and has moved far
        return not np.median(np.linalg.norm(moved, axis=1)) < self._min_motion * np.hypot(
            width, height
        )

    def _draw(self, view: _View) -> bool:
        """Hold a frame, or blend it in; False where that is impossible."""
        if self._canvas is None:
            self._held.append(view)
            num_pixels = len(self._held) * view.image.shape[0] * view.image.shape[1]
            if len(self._held) >= MAX_HELD or num_pixels > self._max_pixels:
                self._begun_canvas(is_complete=False)
        elif not self._blend(self._canvas, view):
            return False
        self._last_drawn = view
        return True

    def _begun_canvas(self, is_complete: bool) -> Canvas:
        """Return the canvas, begun with the frames held where this is the first time."""
        if self._canvas is None:
            surface = self._chosen_surface(is_complete)
            self._canvas = Canvas(surface, self._max_pixels)
            drawn = [self._blend(self._canvas, view) for view in self._held]
            self.num_left_out = drawn.count(False)
            self._held = []
        return self._canvas

    def _chosen_surface(self, is_complete: bool) -> Surface:
        """Choose what to draw on, and refer to the frame in the middle of those held."""
        Hs_first_cur = [view.H_first_cur for view in self._held]
        steps = [np.linalg.inv(a) @ b for a, b in pairwise(Hs_first_cur)]
        turning = rotation_camera(steps, self._camera) if steps else None
        camera = turning or self._camera
        H_first_ref = Hs_first_cur[middle_view(Hs_first_cur, camera)]
        self._H_ref_first = np.asarray(np.linalg.inv(H_first_ref), np.float64)
        Hs_ref_cur = [self._H_ref_first @ H for H in Hs_first_cur]
        is_narrow = is_complete and widest_angle(Hs_ref_cur, camera) < MAX_PLANE_ANGLE
        is_planar = self._projection == "plane" or turning is None or is_narrow
        if is_planar and self._projection != "sphere":
            return Plane()
        return Sphere(camera.K, level(Hs_ref_cur, camera))

    def _blend(self, canvas: Canvas, view: _View) -> bool:
        mask = np.full(view.image.shape[:2], 255, np.uint8) if view.mask is None else view.mask
        weights = feather_weights(undistort(mask, self._camera))
        image = undistort(view.image, self._camera)
        return canvas.add(image, weights, self._H_ref_first @ view.H_first_cur)
