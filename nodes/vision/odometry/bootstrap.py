"""Begins a map: waits until two frames are far enough apart, and places the ones between.

A camera that stands still or only turns shows no depth: nothing is begun then. Of the two motions
that explain a plane the one is taken that the frames between agree with.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.motion import estimate_motion
from nodes.vision.odometry.local_map import Gates, LocalMap
from nodes.vision.odometry.placing import place
from nodes.vision.odometry.view import View, common
from nodes.vision.robust import Limits, sample_motion_poselib
from nodes.vision.selection import classify_motion
from nodes.vision.triangulation import parallax_angles, reprojection_errors, triangulate_pair
from nodes.vision.two_view import normalised

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MAX_VIEWS = 15
MAX_BETWEEN = 4
MIN_COMMON = 30
MIN_FLOW = 0.005
"""Of the picture's width: below it nobody need look for a motion."""
MIN_PARALLAX_DEG = 1.2
"""That a quarter of the points must have; the others, `LEAST_PARALLAX_DEG`."""
LEAST_PARALLAX_DEG = 0.8
MIN_LANDMARKS = 40
MIN_FIT = 0.5
"""Share of the common tracks that must agree with the motion."""
DECIDED = 1.3
"""How many times more observations must agree with one motion than with the other."""


@dataclass(frozen=True, eq=False)
class Begun:
    """A new map, or the reason why there is none yet."""

    map: LocalMap | None
    reason: str = ""


class Bootstrap:
    """Remembers the last views until a map can be made of them."""

    def __init__(self, gates: Gates) -> None:
        self._gates = gates
        self._views: list[View] = []

    @property
    def first(self) -> View | None:
        """The view that the current one is compared with."""
        return self._views[0] if self._views else None

    def begin(
        self, view: View, K: Float, width: int, seed: int, *, is_focal_known: bool = True
    ) -> Begun:
        """Try to make a map whose last keyframe is `view`; `width` is that of the picture."""
        self._views = [v for v in self._views if len(common(v, view)[0]) >= MIN_COMMON]
        begun = self._try(view, K, width, seed, is_focal_known)
        if begun.map is not None:
            self._views = []
        elif not self._views or _flow(self._views[-1], view) >= MIN_FLOW * width / 2:
            self._views = [*self._views, view][-MAX_VIEWS:]
        return begun

    def _try(self, view: View, K: Float, width: int, seed: int, is_focal_known: bool) -> Begun:
        if not self._views:
            return Begun(None, "initialising: too few tracks")
        first = self._views[0]
        flow = _flow(first, view)
        if flow < MIN_FLOW * width:
            return Begun(None, f"initialising: the picture moved by {flow:.1f} px only")
        rows0, rows1 = common(first, view)
        x0, x1 = first.pixels[rows0], view.pixels[rows1]
        limits = Limits(self._gates.max_error_px)
        motion = estimate_motion(sample_motion_poselib, x0, x1, K, limits, seed)
        found = classify_motion(motion, x0, x1, K, limits, seed, is_focal_known=is_focal_known)
        if found.T_1_0 is None or found.label in ("static", "rotation"):
            return Begun(None, f"initialising: {found.reason or found.label}")
        motions = [T for T in (found.T_1_0, found.T_1_0_alt) if T is not None]
        return _decide([self._build(first, view, T, K, seed) for T in motions])

    def _build(self, first: View, view: View, T_1_0: Float, K: Float, seed: int) -> Begun:
        """Make a map of the first and the current view, and of some between."""
        rows0, points, parallax_deg = _near_points(first, view, T_1_0, K, self._gates)
        if parallax_deg < MIN_PARALLAX_DEG or len(rows0) < MIN_LANDMARKS:
            return Begun(
                None, f"initialising: parallax {parallax_deg:.1f} deg, {len(rows0)} landmarks"
            )
        scale = 1 / float(np.median(points[:, 2]))  # the unit: the median depth
        T_1_0 = T_1_0.copy()
        T_1_0[:3, 3] *= scale
        begun = LocalMap(K, self._gates)
        begun.add_landmarks(first.ids[rows0], points * scale)
        begun.add(first, np.eye(4))
        for between in self._between():
            T_cam_world = place(begun, between, self._gates.max_error_px, seed)[0]
            if T_cam_world is not None:
                begun.add(between, T_cam_world)
        begun.add(view, T_1_0)
        for _ in range(2):
            begun.triangulate()
            begun.adjust()
        if len(begun.ids) < MIN_LANDMARKS:
            return Begun(None, f"initialising: {len(begun.ids)} landmarks agree")
        return Begun(begun)

    def _between(self) -> list[View]:
        """Return some of the views between the first one and the current one, evenly."""
        inner = self._views[1:]
        wanted = min(len(inner), MAX_BETWEEN)
        return [inner[(i + 1) * len(inner) // (wanted + 1)] for i in range(wanted)]


def _near_points(
    first: View, view: View, T_1_0: Float, K: Float, gates: Gates
) -> tuple[Int, Float, float]:
    """Triangulate what two views have in common.

    Returns:
        Rows (N,) of the first view whose points (N, 3) have parallax and fit, and the angle that a
        quarter of all points exceed: much of what a vehicle sees is far away.
    """
    rows0, rows1 = common(first, view)
    x0, x1 = first.pixels[rows0], view.pixels[rows1]
    points = triangulate_pair(T_1_0, normalised(x0, K), normalised(x1, K))
    centre = -T_1_0[:3, :3].T @ T_1_0[:3, 3]
    angles = np.degrees(parallax_angles(np.zeros(3), centre, points))
    fits = reprojection_errors(T_1_0, points, x1, K) < gates.max_error_px
    fits &= reprojection_errors(np.eye(4), points, x0, K) < gates.max_error_px
    if not len(fits) or fits.mean() < MIN_FIT:  # most say otherwise
        return rows0[:0], points[:0], 0.0
    is_good = fits & (angles > LEAST_PARALLAX_DEG)
    return rows0[is_good], points[is_good], float(np.percentile(angles[fits], 75))


def _decide(begun: list[Begun]) -> Begun:
    """Return the map that more observations agree with; none where two are as good.

    A motion of which no map can be made yet is not refuted; and where a motion puts points nearer
    more of them have parallax: what counts are the landmarks that all maps have.
    """
    maps = [b.map for b in begun if b.map is not None]
    if len(maps) < len(begun):
        return next(b for b in begun if b.map is None)
    if len(maps) == 1:
        return begun[0]
    shared = np.intersect1d(maps[0].ids, maps[1].ids, assume_unique=True)
    counts = [sum(int(np.isin(k.view.ids, shared).sum()) for k in m.keyframes) for m in maps]
    best = int(np.argmax(counts))
    if counts[best] < DECIDED * counts[1 - best]:
        return Begun(None, "initialising: two motions explain the plane as well")
    return begun[best]


def _flow(view0: View, view1: View) -> float:
    """Return the median motion of the common tracks, pixels."""
    rows0, rows1 = common(view0, view1)
    if not len(rows0):
        return 0.0
    return float(np.median(np.linalg.norm(view1.pixels[rows1] - view0.pixels[rows0], axis=1)))
