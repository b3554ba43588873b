"""Visual odometry of one camera: where it was at each frame, in one scale, by segments.

What was published is never revised. Where the camera is lost it is looked for, and a new segment
begins as soon as the motion allows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.odometry.bootstrap import Bootstrap
from nodes.vision.odometry.keyframing import Rules
from nodes.vision.odometry.local_map import Gates
from nodes.vision.odometry.search import rejoin
from nodes.vision.odometry.segment import Segment, Settled
from nodes.vision.odometry.tracks import TrackTable
from nodes.vision.odometry.view import Seen, View, pixel_keys, union
from nodes.vision.se3 import inverse

Float = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Placed:
    """Where the camera is at a frame: T_world_cam (4, 4) or None with the reason."""

    segment: int
    T_world_cam: Float | None
    view: View
    ages: Int32
    """(N,) frames in which each track of the view has been seen."""
    landmarks: Float
    """(N, 3) where each track is in the world; NaN where that is not known."""
    reason: str | None = None
    keyframe: str | None = None

    @property
    def num_landmarks(self) -> int:
        """How many landmarks the view shows."""
        return int(np.isfinite(self.landmarks[:, 0]).sum())


class Odometer:
    """Follows one camera."""

    def __init__(self, rules: Rules, gates: Gates) -> None:
        self._rules, self._gates = rules, gates
        self._tracks = TrackTable()
        self._bootstrap = Bootstrap(gates)
        self._segment: Segment | None = None
        self._num_segments = 0

    def update(self, seen: Seen) -> Placed:
        """Place the camera of the next frame."""
        ids = self._tracks.follow(seen.ids_prev, seen.keypoint_ids[seen.rows])
        view = seen.view(seen.rows, ids)
        settled = self._segment.follow(seen, view) if self._segment else None
        if settled is None:
            return self._begin(seen, view)
        return self._placed(settled)

    def restart(self) -> None:
        """End the segment: what comes next has nothing to do with what was."""
        self._segment = None
        self._bootstrap = Bootstrap(self._gates)

    def _begin(self, seen: Seen, view: View) -> Placed:
        """Begin a new segment where the motion allows."""
        view = self._rejoined(seen, view)
        begun = self._bootstrap.begin(
            view, seen.K, seen.width, seen.seed, is_focal_known=seen.is_focal_known
        )
        if begun.map is None:
            nowhere = np.full((len(view.ids), 3), np.nan)
            ages = self._tracks.ages(view.ids)
            return Placed(self._num_segments - 1, None, view, ages, nowhere, begun.reason)
        self._segment = Segment(begun.map, self._tracks, self._rules)
        self._num_segments += 1
        last = begun.map.keyframes[-1]
        return self._placed(Settled(last.T_cam_world, last.view, "first of the segment"))

    def _rejoined(self, seen: Seen, view: View) -> View:
        """Join tracks that broke since the view with which the current one is compared."""
        first = self._bootstrap.first
        if first is None or seen.descriptors is None:
            return view
        taken = view.pixels[np.isin(view.ids, first.ids)]
        is_free = ~np.isin(pixel_keys(seen.keypoints), pixel_keys(taken))
        rows, track_ids = rejoin(first, seen.descriptors, is_free, view.ids)
        self._tracks.adopt(seen.keypoint_ids[rows], track_ids)
        return union(view, seen.view(rows, track_ids))

    def _placed(self, settled: Settled) -> Placed:
        assert self._segment is not None
        view = settled.view
        return Placed(
            self._num_segments - 1,
            inverse(settled.T_cam_world),
            view,
            self._tracks.ages(view.ids),
            self._segment.map.positions(view.ids),
            keyframe=settled.keyframe,
        )
