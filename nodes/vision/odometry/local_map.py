"""The local map: recent keyframes, and the landmarks that they see.

A landmark is a track with a position. The world is that of the segment, in one scale. Pixels are
those of an ideal camera K (undistorted).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nodes.vision.bundle import Observations, adjust
from nodes.vision.odometry.tracks import find
from nodes.vision.odometry.view import Descriptors, View
from nodes.vision.se3 import inverse
from nodes.vision.triangulation import parallax_angles, reprojection_errors, triangulate_tracks
from nodes.vision.two_view import normalised

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

BUNDLE_ITERATIONS = 4  # more gain nothing that is seen
MIN_VIEWS_OF_A_LANDMARK = 2
FIXED_KEYFRAMES = 2


@dataclass(frozen=True)
class Gates:
    """What an observation and a landmark must satisfy."""

    max_error_px: float = 2.5
    min_parallax_deg: float = 1.2
    window: int = 6
    """Keyframes that are adjusted together."""
    max_keyframes: int = 24
    """Keyframes that are remembered."""


@dataclass(eq=False)
class PlacedView:
    """A keyframe: a view and where its camera is."""

    view: View
    T_cam_world: Float

    @property
    def centre(self) -> Float:
        """(3,), in the world."""
        return inverse(self.T_cam_world)[:3, 3]


@dataclass(eq=False)
class LocalMap:
    """Keyframes, oldest first, and landmarks; bounded in size."""

    K: Float
    gates: Gates
    keyframes: list[PlacedView] = field(default_factory=list)
    ids: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    """(L,) tracks of the landmarks, ascending."""
    points: Float = field(default_factory=lambda: np.zeros((0, 3)))
    """(L, 3), in the world."""
    _described: tuple[Int, Descriptors] | None = None

    def positions(self, track_ids: Int) -> Float:
        """Return where tracks (M,) are in the world (M, 3); NaN for those without a landmark."""
        rows, is_known = find(self.ids, track_ids)
        found = np.full((len(track_ids), 3), np.nan)
        found[is_known] = self.points[rows[is_known]]
        return found

    def described(self) -> tuple[Int, Float, Descriptors]:
        """Return the landmarks that have a descriptor: tracks, points, and the latest of it."""
        if self._described is None:
            self._described = self._describe()
        ids, descriptors = self._described
        points = self.positions(ids)
        is_known = np.isfinite(points[:, 0])
        return ids[is_known], points[is_known], descriptors[is_known]

    def _describe(self) -> tuple[Int, Descriptors]:
        views = [k.view for k in reversed(self.keyframes) if k.view.descriptors is not None]
        if not views:
            return np.zeros(0, np.int64), np.zeros((0, 1), np.float32)
        ids, first = np.unique(np.concatenate([v.ids for v in views]), return_index=True)
        stacked = np.concatenate([v.descriptors for v in views if v.descriptors is not None])
        return ids, stacked[first]

    def add(self, view: View, T_cam_world: Float) -> None:
        """Make a view a keyframe; the oldest is forgotten where there are too many."""
        self.keyframes.append(PlacedView(view, T_cam_world))
        self._described = None
        if len(self.keyframes) > self.gates.max_keyframes:
            del self.keyframes[0]
            self._keep(np.isin(self.ids, self._seen()))

    def add_landmarks(self, ids: Int, points: Float) -> None:
        """Add landmarks (N,), (N, 3) of tracks that have none yet."""
        ids = np.concatenate([self.ids, ids])
        order = np.argsort(ids)
        self.ids, self.points = ids[order], np.concatenate([self.points, points])[order]

    def forget(self, ids: Int) -> None:
        """Forget the landmarks of tracks (N,)."""
        self._keep(~np.isin(self.ids, ids))

    def triangulate(self) -> int:
        """Find landmarks for the tracks of the last keyframe; return how many were added."""
        last = self.keyframes[-1].view
        new = last.ids[~find(self.ids, last.ids)[1]]
        views, rows, pixels = self._observations(self._recent(), new)
        if not len(views):
            return 0
        rays = normalised(pixels, self.K)
        T_cam_world = np.stack([keyframe.T_cam_world for keyframe in self.keyframes])
        points = triangulate_tracks(T_cam_world, views, rows, rays, len(new))
        errors = reprojection_errors(T_cam_world[views], points[rows], pixels, self.K)
        is_good = np.isfinite(points).all(axis=1) & self._has_parallax(points, views, rows)
        is_good[rows[~(errors < self.gates.max_error_px)]] = False
        self.add_landmarks(new[is_good], points[is_good])
        return int(is_good.sum())

    def adjust(self) -> None:
        """Adjust the last keyframes and all that they see, and drop what does not fit."""
        free, fixed = self._neighbourhood()
        chosen = [*fixed, *free]
        views, rows, pixels = self._observations(chosen, self.ids)
        is_near = np.isin(rows, rows[np.isin(views, free)])
        views, rows, pixels = views[is_near], rows[is_near], pixels[is_near]
        used, landmarks = np.unique(rows, return_inverse=True)
        order = np.zeros(len(self.keyframes), np.int64)
        order[chosen] = np.arange(len(chosen))
        adjusted = adjust(
            np.stack([self.keyframes[i].T_cam_world for i in chosen]),
            self.points[used],
            Observations(order[views], landmarks, pixels),
            self.K,
            np.arange(len(chosen)) < len(fixed),
            loss_scale_px=self.gates.max_error_px / 2,
            max_iterations=BUNDLE_ITERATIONS,
        )
        for i, T_cam_world in zip(chosen, adjusted.T_cam_world, strict=True):
            self.keyframes[i].T_cam_world = T_cam_world
        self.points[used] = adjusted.points_world
        is_bad = ~(adjusted.errors < self.gates.max_error_px)
        self._drop(views[is_bad], self.ids[rows[is_bad]])

    def _recent(self) -> list[int]:
        """Return the keyframes of the window, oldest first, as indices."""
        return list(range(max(0, len(self.keyframes) - self.gates.window), len(self.keyframes)))

    def _neighbourhood(self) -> tuple[list[int], list[int]]:
        """Return which keyframes to adjust and which others hold them in place, as indices.

        The first are those that share most landmarks with the last keyframe.
        """
        seen = np.intersect1d(self.keyframes[-1].view.ids, self.ids, assume_unique=True)
        shared = [
            int(np.isin(keyframe.view.ids, seen, assume_unique=True).sum())
            for keyframe in self.keyframes
        ]
        ranked = sorted(range(len(shared)), key=lambda i: (-shared[i], -i))
        ranked = [i for i in ranked if shared[i] > 0]
        free, fixed = ranked[: self.gates.window], ranked[self.gates.window :]
        if len(fixed) < FIXED_KEYFRAMES and len(free) >= 2 * FIXED_KEYFRAMES:
            fixed = sorted(ranked)[:FIXED_KEYFRAMES]  # two hold the scale
        elif not fixed:
            fixed = [min(free)]
        free = [i for i in free if i not in fixed]
        return sorted(free), sorted(fixed[: self.gates.window])

    def _observations(self, keyframes: list[int], ids: Int) -> tuple[Int, Int, Float]:
        """Return who sees which of `ids`, and where: (O,) keyframes, (O,) rows of ids, (O, 2)."""
        views, rows, pixels = [], [], []
        for i in keyframes:
            view = self.keyframes[i].view
            where, is_known = find(ids, view.ids)
            views.append(np.full(int(is_known.sum()), i, np.int64))
            rows.append(where[is_known])
            pixels.append(view.pixels[is_known])
        return np.concatenate(views), np.concatenate(rows), np.concatenate(pixels)

    def _has_parallax(self, points: Float, views: Int, rows: Int) -> Bool:
        """Say of each point (N,) whether its outermost views see it under an angle."""
        centres = np.stack([keyframe.centre for keyframe in self.keyframes])
        first = np.full(len(points), len(centres) - 1)
        last = np.zeros(len(points), np.int64)
        np.minimum.at(first, rows, views)
        np.maximum.at(last, rows, views)
        angles = parallax_angles(centres[first], centres[last], points)
        return np.asarray(angles >= np.radians(self.gates.min_parallax_deg), np.bool_)

    def _drop(self, views: Int, ids: Int) -> None:
        """Drop the observations of tracks (O,) by keyframes (O,), and landmarks seen too seldom."""
        for i in np.unique(views):
            view = self.keyframes[i].view
            self.keyframes[i].view = view.where(~np.isin(view.ids, ids[views == i]))
        seen, counts = np.unique(self._seen(), return_counts=True)
        enough = seen[counts >= MIN_VIEWS_OF_A_LANDMARK]
        self._keep(np.isin(self.ids, enough, assume_unique=True))

    def _seen(self) -> Int:
        return np.concatenate([keyframe.view.ids for keyframe in self.keyframes])

    def _keep(self, is_kept: Bool) -> None:
        self.ids, self.points = self.ids[is_kept], self.points[is_kept]
