"""Surfaces on which a panorama is drawn, each with a chart that lays it out flat.

A point of the reference frame is a homogeneous pixel p (3,), equal up to a positive factor. Chart
coordinates (x, y) are in pixels too; x runs right, y down. Szeliski, Image Alignment and
Stitching: A Tutorial, 2006, section 2.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera

Float = npt.NDArray[np.float64]

MAX_AREA_SCALE = 16.0
"""How much larger or smaller than itself a frame may be drawn, by area, anywhere in it."""
_MAX_DEFORMATION = 0.25  # photographs from one spot have 0.03 to 0.07, hand-held video 0.4
_FOCAL_RANGE = 0.4, 4.0  # of the longer side: views of 103 down to 14 degrees
_MIN_SPREAD = 0.01
_GRID = 9


class Surface(Protocol):
    """What a canvas needs to know of a surface."""

    @property
    def period(self) -> float:
        """Length after which x repeats, pixels; infinite where it does not."""

    def to_chart(self, points_ref: Float) -> Float:
        """Map (N, 3) homogeneous reference pixels to (N, 2); NaN where there is no such point."""

    def to_ref(self, xs: Float, ys: Float) -> Float:
        """Map the grid of chart coordinates xs (W,), ys (H,) to (H, W, 3) homogeneous pixels."""


@dataclass(frozen=True)
class Plane:
    """The image plane of the reference frame: straight lines stay straight, wide views explode."""

    period: float = np.inf

    def to_chart(self, points_ref: Float) -> Float:
        """Map (N, 3) homogeneous reference pixels to (N, 2); NaN behind the plane."""
        depth = np.where(points_ref[:, 2:] > 0, points_ref[:, 2:], np.nan)
        return np.asarray(points_ref[:, :2] / depth, np.float64)

    def to_ref(self, xs: Float, ys: Float) -> Float:
        """Map the grid of chart coordinates xs (W,), ys (H,) to (H, W, 3) homogeneous pixels."""
        return np.dstack([*np.meshgrid(xs, ys), np.ones((len(ys), len(xs)))])


@dataclass(frozen=True)
class Sphere:
    """A sphere around the camera, by longitude and latitude: takes a view of any width.

    `R_sphere_ref` (3, 3) turns the reference camera's axes so that the equator follows the pan.
    """

    K: Float
    R_sphere_ref: Float = field(default_factory=lambda: np.eye(3))

    @property
    def radius(self) -> float:
        """Radius in pixels: a step of one pixel at the centre of a frame is one on the chart."""
        return float(np.sqrt(self.K[0, 0] * self.K[1, 1]))

    @property
    def period(self) -> float:
        """Length of the equator, pixels."""
        return 2 * np.pi * self.radius

    def to_chart(self, points_ref: Float) -> Float:
        """Map (N, 3) homogeneous reference pixels to (N, 2) longitude and latitude times radius."""
        x, y, z = self.R_sphere_ref @ np.linalg.inv(self.K) @ points_ref.T
        return self.radius * np.column_stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))])

    def to_ref(self, xs: Float, ys: Float) -> Float:
        """Map the grid of chart coordinates xs (W,), ys (H,) to (H, W, 3) homogeneous pixels."""
        longitude, latitude = xs / self.radius, ys[:, None] / self.radius
        rays = np.dstack(
            [
                np.sin(longitude) * np.cos(latitude),
                np.broadcast_to(np.sin(latitude), (len(ys), len(xs))),
                np.cos(longitude) * np.cos(latitude),
            ]
        )
        return rays @ (self.K @ self.R_sphere_ref.T).T


def footprint(surface: Surface, H_ref_cur: Float, size: tuple[int, int]) -> Float | None:
    """Return where a frame of `size` (width, height) lies on the chart: (9, 9, 2), a grid over it.

    None where it cannot be drawn: H is not finite, mirrors, folds the frame over, or magnifies or
    shrinks some part of it by more than `MAX_AREA_SCALE`.
    """
    determinant = np.linalg.det(H_ref_cur) if np.all(np.isfinite(H_ref_cur)) else 0.0
    if not determinant > 0:
        return None
    width, height = size
    sides = (np.linspace(-0.5, length - 0.5, _GRID) for length in (width, height))
    x, y = np.meshgrid(*sides)
    pixels = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    grid = surface.to_chart(pixels @ H_ref_cur.T).reshape(_GRID, _GRID, 2)
    grid = _unwrapped(grid, surface.period)
    scales = _cell_areas(grid) / _cell_areas(np.dstack([x, y]))
    is_drawable = np.all((scales > 1 / MAX_AREA_SCALE) & (scales < MAX_AREA_SCALE))
    return grid if is_drawable else None


def _unwrapped(grid: Float, period: float) -> Float:
    """Undo jumps of a whole turn between a frame's centre and its other points."""
    if np.isinf(period):
        return grid
    offset = grid[..., 0] - grid[_GRID // 2, _GRID // 2, 0]
    return np.dstack([grid[..., 0] - period * np.round(offset / period), grid[..., 1]])


def _cell_areas(grid: Float) -> Float:
    """Return the signed areas of the cells of a grid (9, 9, 2), by their diagonals."""
    down, up = grid[1:, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, 1:]
    return np.asarray((down[..., 0] * up[..., 1] - down[..., 1] * up[..., 0]) / 2, np.float64)


def normalised(H: Float) -> Float:
    """Scale H (3, 3) to determinant 1, which settles its sign too; not finite where singular."""
    with np.errstate(all="ignore"):
        return np.asarray(H / np.cbrt(np.linalg.det(H)), np.float64)


def rotation_camera(steps: Sequence[Float], camera: Camera) -> Camera | None:
    """Return the camera whose turns on the spot explain homographies (3, 3), or None.

    A small turn makes M = K^-1 H K orthogonal, and the focal length of a camera that is not
    calibrated is the one that does so best. A shift along a plane, a zoom, and homographies that
    follow parts of a deep scene do not. Szeliski and Shum, Creating Full View Panoramic Image
    Mosaics and Environment Maps, SIGGRAPH 1997, section 4.
    """
    sizes = np.geomspace(*_FOCAL_RANGE, num=49) * max(camera.width, camera.height)
    focals = [(camera.fx, camera.fy)] if camera.calibrated else [(f, f) for f in sizes]
    cameras = [replace(camera, fx=fx, fy=fy) for fx, fy in focals]
    shares = [np.median([_deformation(_between_rays(H, c)) for H in steps]) for c in cameras]
    best = int(np.argmin(shares))
    return cameras[best] if shares[best] < _MAX_DEFORMATION else None


def _deformation(M: Float) -> float:
    """Return how far M (3, 3) is from a rotation, as a share of how far it is from the identity."""
    distance = float(np.linalg.norm(M - np.eye(3)))
    return float(np.linalg.norm(M.T @ M - np.eye(3))) / 2 / max(distance, 1e-12)


def middle_view(Hs_first_cur: Sequence[Float], camera: Camera) -> int:
    """Return the index of the frame whose optical axis is nearest to the farthest of the others."""
    axes = np.stack([_between_rays(H, camera)[:, 2] for H in Hs_first_cur])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return int(np.argmax(np.min(axes @ axes.T, axis=1)))


def widest_angle(Hs_ref_cur: Sequence[Float], camera: Camera) -> float:
    """Return how far, in radians, any corner of a frame lies from the reference's optical axis."""
    x, y = camera.width - 1, camera.height - 1
    corners = np.array([[0, 0, 1], [x, 0, 1], [0, y, 1], [x, y, 1]], np.float64)
    rays = np.concatenate([corners @ (np.linalg.inv(camera.K) @ H).T for H in Hs_ref_cur])
    return float(np.max(np.arctan2(np.hypot(rays[:, 0], rays[:, 1]), rays[:, 2])))


def level(Hs_ref_cur: Sequence[Float], camera: Camera) -> Float:
    """Return R_level_ref (3, 3), which turns the pan of a camera into the horizontal.

    A camera that is turned but not tilted sideways keeps its x axes in one plane, the horizon;
    without enough of a turn the mean of the y axes stands for the vertical. Brown and Lowe,
    Automatic Panoramic Image Stitching using Invariant Features, IJCV 2007, section 5.
    """
    rotations = [_nearest_rotation(_between_rays(H, camera)) for H in Hs_ref_cur]
    x_axes, y_axes = (np.stack([R[:, axis] for R in rotations]) for axis in (0, 1))
    down = np.asarray(y_axes.sum(axis=0), np.float64)
    spreads, directions = np.linalg.eigh(x_axes.T @ x_axes / len(x_axes))
    if spreads[1] > max(_MIN_SPREAD, 10 * spreads[0]):
        down = directions[:, 0] * np.sign(directions[:, 0] @ down)
    down /= np.linalg.norm(down)
    right = np.cross(down, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, down, np.cross(right, down)])


def _between_rays(H: Float, camera: Camera) -> Float:
    """Return the matrix (3, 3) of determinant 1 that does to rays what H does to pixels."""
    return np.asarray(np.linalg.inv(camera.K) @ normalised(H) @ camera.K, np.float64)


def _nearest_rotation(M: Float) -> Float:
    U, _, Vt = np.linalg.svd(M)
    return np.asarray(U @ np.diag([1, 1, np.linalg.det(U @ Vt)]) @ Vt, np.float64)
