"""Follows points from each frame to the next: `Frame` -> `Matches`, without descriptors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.messages import Frame, Matches
from nodes.trackers import TRACKERS, FollowsPoints, Tracked
from nodes.vision.images import limit_threads
from pipeline.node import Break, Node, Output, Resources, Skip

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Held:
    """The points held in a frame, their identities, and the first identity not yet given."""

    frame: Frame
    tracked: Tracked
    ids: Ids
    next_id: int


class Tracker(Node):
    """Keeps of each stream the points of its last frame; a point that is followed keeps its id."""

    @dataclass(frozen=True)
    class Params:
        """Which tracker, and its settings."""

        algorithm: Annotated[str, TRACKERS, "how points are followed"] = "klt"
        options: Annotated[object, "settings of the algorithm"] = None

    outputs = {"matches": Output(Matches)}
    _tracker: FollowsPoints

    def open(self, resources: Resources) -> None:
        """Load the tracker."""
        super().open(resources)
        limit_threads(resources.threads)
        self._tracker = TRACKERS.create(self.params.algorithm, self.params.options)
        self._last: dict[str, _Held] = {}

    def process(self, frame: Frame) -> Iterator[Matches | Skip | Break]:
        """Follow the points of the frame before into this one."""
        prev = self._last.get(frame.stream)
        if prev is None:
            self._last[frame.stream] = self._start(frame, 0)
            yield Skip("first_frame")
        elif _size(prev.frame) != _size(frame):
            self._last[frame.stream] = self._start(frame, prev.next_id)
            yield Break(f"size_changed: {_size(prev.frame)} -> {_size(frame)}")
        else:
            cur = self._follow(prev, frame)
            self._last[frame.stream] = cur
            yield _matches(prev, cur)

    def _start(self, frame: Frame, next_id: int) -> _Held:
        return _held(frame, self._tracker.start(frame.image, frame.mask), np.empty(0, int), next_id)

    def _follow(self, prev: _Held, frame: Frame) -> _Held:
        tracked = self._tracker.follow(prev.tracked, frame.image, frame.mask)
        return _held(frame, tracked, prev.ids, prev.next_id)


def _held(frame: Frame, tracked: Tracked, ids_prev: Ids, next_id: int) -> _Held:
    """Give each point the identity that it had, or the next one."""
    followed = tracked.origins[tracked.origins >= 0]
    end = next_id + len(tracked.keypoints) - len(followed)
    ids = np.concatenate([ids_prev[followed], np.arange(next_id, end, dtype=np.int64)])
    return _Held(frame, tracked, ids, end)


def _matches(prev: _Held, cur: _Held) -> Matches:
    rows = np.flatnonzero(cur.tracked.origins >= 0)
    pairs = np.column_stack([cur.tracked.origins[rows], rows])
    return Matches(
        stream=cur.frame.stream,
        seq=cur.frame.seq,
        stamp_ns=cur.frame.stamp_ns,
        seq_prev=prev.frame.seq,
        stamp_ns_prev=prev.frame.stamp_ns,
        keypoints_prev=prev.tracked.keypoints,
        keypoints_cur=cur.tracked.keypoints,
        ids_prev=prev.ids,
        ids_cur=cur.ids,
        matches=pairs.astype(np.int32),
        match_scores=cur.tracked.scores[rows],
        camera=cur.frame.camera,
    )


def _size(frame: Frame) -> str:
    return f"{frame.camera.width}x{frame.camera.height}"
