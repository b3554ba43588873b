"""Visual odometry of one camera: where it was at each frame, in one scale, by segments.

Each frame is placed against the landmarks that its tracks show; keyframes bring new landmarks and
are adjusted together. What was published is never revised. Where the camera is lost it is looked
for among the recent keyframes, and a new segment begins as soon as the motion allows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.odometry.bootstrap import Bootstrap
from nodes.vision.odometry.local_map import Descriptors, Gates, LocalMap, View
from nodes.vision.odometry.placing import place
from nodes.vision.odometry.search import find_nearby, reconnect, rejoin, relocalise
from nodes.vision.odometry.tracks import TrackTable
from nodes.vision.se3 import inverse
from nodes.vision.triangulation import parallax_angles

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]


SAFE_LANDMARKS = 60
"""With fewer, a keyframe that is due is made at once, whatever the budget says."""


@dataclass(frozen=True)
class Rules:
    """When a frame is placed, and when it becomes a keyframe."""

    min_landmarks: int = 15
    min_inlier_share: float = 0.4
    keyframe_parallax_deg: float = 2.0
    keyframe_min_tracked: float = 0.7
    keyframe_budget: float = 0.5
    search_radius_px: float = 6.0


@dataclass(frozen=True, eq=False)
class Seen:
    """What came of one frame: keypoints, and which of them continue those of the frame before."""

    seq: int
    K: Float
    width: int
    seed: int
    keypoint_ids: Int
    """(K,)"""
    keypoints: Float
    """(K, 2), undistorted pixels, finite."""
    ids_prev: Int
    """(M,) keypoints of the frame before."""
    rows: Int
    """(M,) rows of `keypoints` that match them."""
    descriptors: Descriptors | None = None
    """(K, D)"""

    def view(self, rows: Int, track_ids: Int) -> View:
        """Return the keypoints of some rows (N,) as a view of tracks (N,)."""
        order = np.argsort(track_ids)
        rows = rows[order]
        descriptors = None if self.descriptors is None else self.descriptors[rows]
        return View(self.seq, track_ids[order], self.keypoints[rows], descriptors)


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the camera is at a frame: T_world_cam (4, 4) or None with the reason."""

    segment: int
    T_world_cam: Float | None
    view: View
    reason: str | None = None
    keyframe: str | None = None
    num_landmarks: int = 0


class Odometer:
    """Follows one camera."""

    def __init__(self, rules: Rules, gates: Gates) -> None:
        self._rules, self._gates = rules, gates
        self._tracks = TrackTable()
        self._map: LocalMap | None = None
        self._bootstrap = Bootstrap(gates)
        self._segment = -1
        self._credit = 1.0
        self._is_lost = False

    def update(self, seen: Seen) -> Placed:
        """Place the camera of the next frame."""
        ids = self._tracks.follow(seen.ids_prev, seen.keypoint_ids[seen.rows])
        view = seen.view(seen.rows, ids)
        self._credit = min(self._credit + self._rules.keyframe_budget, 2.0)
        placed = None
        if self._map is not None:
            placed = self._follow(seen, view) if not self._is_lost else self._return(seen)
            self._is_lost = placed is None
        return placed or self._begin(seen, view)

    def restart(self) -> None:
        """End the segment: what comes next has nothing to do with what was."""
        self._map, self._is_lost = None, False
        self._bootstrap = Bootstrap(self._gates)

    def positions(self, view: View) -> Float:
        """Return the landmark (N, 3) of each track of a view; NaN where there is none."""
        if self._map is None or self._is_lost:
            return np.full((len(view.ids), 3), np.nan)
        return self._map.positions(view.ids)

    def ages(self, view: View) -> Int32:
        """Return in how many frames each track (N,) of the current view has been seen."""
        return self._tracks.ages(view.ids)

    def _follow(self, seen: Seen, view: View) -> Placed | None:
        """Place the camera by the landmarks that are tracked; None where they do not agree."""
        assert self._map is not None
        T_cam_world, rows = place(self._map, view, self._gates.max_error_px, seen.seed)
        num_landmarks = int(np.isfinite(self._map.positions(view.ids)[:, 0]).sum())
        enough = max(self._rules.min_landmarks, self._rules.min_inlier_share * num_landmarks)
        if T_cam_world is None or len(rows) < enough:
            return self._return(seen)
        return self._settle(seen, self._agreeing(view, rows), T_cam_world)

    def _return(self, seen: Seen) -> Placed | None:
        """Look for the camera among the recent keyframes."""
        if self._map is None or seen.descriptors is None or not len(seen.keypoints):
            return None
        found = relocalise(
            self._map, seen.keypoints, seen.descriptors, self._gates.max_error_px, seen.seed
        )
        if found is None:
            return None
        self._tracks.adopt(seen.keypoint_ids[found.rows], found.track_ids)
        return self._settle(seen, seen.view(found.rows, found.track_ids), found.T_cam_world)

    def _settle(self, seen: Seen, view: View, T_cam_world: Float) -> Placed:
        """Find more landmarks, place the camera by all of them, and see whether to keep it."""
        assert self._map is not None
        if seen.descriptors is not None:
            view, T_cam_world = self._search(seen, view, T_cam_world)
        why = self._why_keyframe(view, T_cam_world)
        if why is not None:
            view = self._reconnect(seen, view, T_cam_world)
            self._map.add(view, T_cam_world)
            self._map.triangulate()
            self._map.adjust()
            T_cam_world = self._map.keyframes[-1].T_cam_world
            self._credit -= 1
        num_landmarks = int(np.isfinite(self._map.positions(view.ids)[:, 0]).sum())
        return Placed(
            self._segment, inverse(T_cam_world), view, keyframe=why, num_landmarks=num_landmarks
        )

    def _search(self, seen: Seen, view: View, T_cam_world: Float) -> tuple[View, Float]:
        assert self._map is not None and seen.descriptors is not None
        found = find_nearby(
            self._map, T_cam_world, seen.keypoints, seen.descriptors, view.ids,
            self._rules.search_radius_px,
        )  # fmt: skip
        if not len(found.rows):
            return view, T_cam_world
        both = self._adopt(seen, view, found.rows, found.track_ids)
        placed, rows = place(self._map, both, self._gates.max_error_px, seen.seed)
        return (view, T_cam_world) if placed is None else (self._agreeing(both, rows), placed)

    def _reconnect(self, seen: Seen, view: View, T_cam_world: Float) -> View:
        """Join tracks that broke since the last keyframes, so that landmarks come of them."""
        assert self._map is not None
        if seen.descriptors is None:
            return view
        known = np.isfinite(self._map.positions(view.ids)[:, 0])
        is_free = ~np.isin(_keys(seen.keypoints), _keys(view.pixels[known]))
        rows, track_ids = reconnect(
            self._map, T_cam_world, seen.keypoints, seen.descriptors, is_free,
            self._gates.max_error_px,
        )  # fmt: skip
        is_new = ~np.isin(track_ids, view.ids)
        return self._adopt(seen, view, rows[is_new], track_ids[is_new])

    def _adopt(self, seen: Seen, view: View, rows: Int, track_ids: Int) -> View:
        """Let keypoints (M,), by rows, continue earlier tracks (M,), in place of their own."""
        self._tracks.adopt(seen.keypoint_ids[rows], track_ids)
        more = seen.view(rows, track_ids)
        is_kept = ~np.isin(_keys(view.pixels), _keys(more.pixels))
        return _union(view.where(is_kept), more)

    def _agreeing(self, view: View, rows: Int) -> View:
        """Return the view without the landmarks that do not agree with the camera's place."""
        assert self._map is not None
        is_kept = ~np.isfinite(self._map.positions(view.ids)[:, 0])
        is_kept[rows] = True
        return view.where(is_kept)

    def _why_keyframe(self, view: View, T_cam_world: Float) -> str | None:
        assert self._map is not None
        last = self._map.keyframes[-1]
        points = self._map.positions(view.ids)
        num_seen = int(np.isfinite(points[:, 0]).sum())
        num_last = int(np.isfinite(self._map.positions(last.view.ids)[:, 0]).sum())
        share = num_seen / max(num_last, 1)
        is_thin = num_seen < SAFE_LANDMARKS and share < self._rules.keyframe_min_tracked
        if is_thin or share < self._rules.keyframe_min_tracked / 2:
            return f"{num_seen} of {num_last} landmarks left"
        if self._credit < 1:
            return None
        if share < self._rules.keyframe_min_tracked:
            return f"{num_seen} of {num_last} landmarks left"
        centre = inverse(T_cam_world)[:3, 3]
        known = points[np.isfinite(points[:, 0])]
        parallax = float(np.degrees(np.median(parallax_angles(last.centre, centre, known))))
        if parallax >= self._rules.keyframe_parallax_deg:
            return f"parallax {parallax:.1f} deg"
        return None

    def _begin(self, seen: Seen, view: View) -> Placed:
        first = self._bootstrap.first
        if first is not None and seen.descriptors is not None:
            is_free = ~np.isin(
                _keys(seen.keypoints), _keys(view.pixels[np.isin(view.ids, first.ids)])
            )
            view = self._adopt(seen, view, *rejoin(first, seen.descriptors, is_free, view.ids))
        begun = self._bootstrap.begin(view, seen.K, seen.width, seen.seed)
        if begun.map is None:
            return Placed(self._segment, None, view, begun.reason)
        self._map, self._is_lost = begun.map, False
        self._segment += 1
        last = begun.map.keyframes[-1]
        return Placed(
            self._segment, inverse(last.T_cam_world), view, keyframe="first of the segment",
            num_landmarks=len(begun.map.ids),
        )  # fmt: skip


def _union(view0: View, view1: View) -> View:
    """Return the observations of two views of one frame that share no track."""
    ids = np.concatenate([view0.ids, view1.ids])
    order = np.argsort(ids)
    descriptors = None
    if view0.descriptors is not None and view1.descriptors is not None:
        descriptors = np.concatenate([view0.descriptors, view1.descriptors])[order]
    pixels = np.concatenate([view0.pixels, view1.pixels])[order]
    return View(view0.seq, ids[order], pixels, descriptors)


def _keys(pixels: Float) -> npt.NDArray[np.complex128]:
    return np.ascontiguousarray(pixels).view(np.complex128)[:, 0]
