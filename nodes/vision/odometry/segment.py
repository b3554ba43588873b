"""A segment of a path: frames placed one after another against one map.

Each frame is placed by the landmarks that its tracks show; where they do not agree the camera is
looked for among the recent keyframes. Keyframes bring new landmarks and are adjusted together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.odometry.keyframing import Budget, Rules, why_keyframe
from nodes.vision.odometry.local_map import LocalMap
from nodes.vision.odometry.nearby import find_nearby
from nodes.vision.odometry.placing import place
from nodes.vision.odometry.search import reconnect, relocalise
from nodes.vision.odometry.tracks import TrackTable
from nodes.vision.odometry.view import Seen, View, pixel_keys, union

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MAX_DOUBTS = 3
"""Frames in a row in which a landmark may disagree before it is forgotten."""


@dataclass(frozen=True, eq=False)
class Settled:
    """Where the camera of a frame is, what it sees, and why it became a keyframe, if it did."""

    T_cam_world: Float
    view: View
    keyframe: str | None


class Segment:
    """Places frames in one world and one scale."""

    def __init__(self, local_map: LocalMap, tracks: TrackTable, rules: Rules) -> None:
        self.map = local_map
        self._tracks, self._rules = tracks, rules
        self._budget = Budget(rules.keyframe_budget)
        self._doubts: dict[int, int] = {}

    def follow(self, seen: Seen, view: View) -> Settled | None:
        """Place a frame; None where neither its tracks nor its descriptors tell where it is."""
        self._budget.pass_frame()
        T_cam_world, rows = place(self.map, view, self.map.gates.max_error_px, seen.seed)
        if T_cam_world is None or len(rows) < self._enough(view):
            return self._find_again(seen)
        agreeing = self._agreeing(view, rows)
        self._doubt(view, agreeing)
        return self._settle(seen, agreeing, T_cam_world)

    def num_landmarks(self, view: View) -> int:
        """Return how many landmarks a view shows."""
        return int(self._shows_landmark(view).sum())

    def _enough(self, view: View) -> float:
        """Return how many landmarks of a view must agree."""
        share = self._rules.min_inlier_share * self.num_landmarks(view)
        return max(self._rules.min_landmarks, share)

    def _find_again(self, seen: Seen) -> Settled | None:
        if seen.descriptors is None or not len(seen.keypoints):
            return None
        found = relocalise(self.map, seen, self._rules.search_radius_px)
        if found is None:
            return None
        self._tracks.adopt(seen.keypoint_ids[found.rows], found.track_ids)
        return self._settle(seen, seen.view(found.rows, found.track_ids), found.T_cam_world)

    def _settle(self, seen: Seen, view: View, T_cam_world: Float) -> Settled:
        """Find more landmarks, place the camera by all of them, and see whether to keep it."""
        if seen.descriptors is not None and len(seen.keypoints):
            view, T_cam_world = self._search(seen, view, T_cam_world)
        why = why_keyframe(self.map, view, T_cam_world, self._rules, self._budget)
        if why is not None:
            self.map.add(self._reconnect(seen, view, T_cam_world), T_cam_world)
            self.map.triangulate()
            self.map.adjust()
            T_cam_world, view = self.map.keyframes[-1].T_cam_world, self.map.keyframes[-1].view
        return Settled(T_cam_world, view, why)

    def _search(self, seen: Seen, view: View, T_cam_world: Float) -> tuple[View, Float]:
        """Find landmarks that are not tracked, where they should be seen."""
        assert seen.descriptors is not None
        wanted = np.setdiff1d(self.map.ids, view.ids, assume_unique=True)
        found = find_nearby(self.map, wanted, T_cam_world, seen, self._rules.search_radius_px)
        is_free = self._is_free(seen, view)[found.rows]
        rows, track_ids = found.rows[is_free], found.track_ids[is_free]
        if not len(rows):
            return view, T_cam_world
        both = self._adopt(seen, view, rows, track_ids)
        placed, agreeing = place(self.map, both, self.map.gates.max_error_px, seen.seed)
        if placed is None or len(agreeing) < self._enough(view):
            return view, T_cam_world
        return self._agreeing(both, agreeing), placed

    def _reconnect(self, seen: Seen, view: View, T_cam_world: Float) -> View:
        """Join tracks that broke since the last keyframes, so that landmarks come of them."""
        if seen.descriptors is None:
            return view
        rows, track_ids = reconnect(self.map, T_cam_world, seen, self._is_free(seen, view))
        is_new = ~np.isin(track_ids, view.ids)
        return self._adopt(seen, view, rows[is_new], track_ids[is_new])

    def _is_free(self, seen: Seen, view: View) -> npt.NDArray[np.bool_]:
        """Say which keypoints (K,) do not show a landmark yet."""
        taken = view.pixels[self._shows_landmark(view)]
        return ~np.isin(pixel_keys(seen.keypoints), pixel_keys(taken))

    def _adopt(self, seen: Seen, view: View, rows: Int, track_ids: Int) -> View:
        """Let keypoints (M,), by rows, continue earlier tracks (M,), in place of their own."""
        self._tracks.adopt(seen.keypoint_ids[rows], track_ids)
        return union(view, seen.view(rows, track_ids))

    def _agreeing(self, view: View, rows: Int) -> View:
        """Return the view without the landmarks that do not agree with the camera's place."""
        is_kept = ~self._shows_landmark(view)
        is_kept[rows] = True
        return view.where(is_kept)

    def _doubt(self, view: View, agreeing: View) -> None:
        """Forget the landmarks that have disagreed for some frames: their tracks may do better."""
        wrong = np.setdiff1d(view.ids, agreeing.ids, assume_unique=True).tolist()
        self._doubts = {track: self._doubts.get(track, 0) + 1 for track in wrong}
        gone = [track for track, doubts in self._doubts.items() if doubts >= MAX_DOUBTS]
        self.map.forget(np.array(gone, np.int64))

    def _shows_landmark(self, view: View) -> npt.NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.map.positions(view.ids)[:, 0]), np.bool_)
