"""Trajectories from relative poses alone: unit steps chained, without a scale in common.

A segment begins at the identity in the camera of its first frame, which is its world. Each step has
the length that its `T_cur_prev` has: 1 for a moving single camera, 0 for a pure rotation.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.se3 import inverse

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlacedCamera:
    """The camera of frame `seq`, placed in the world of a segment."""

    segment: int
    seq: int
    T_world_cam: Float


class StepChain:
    """Chains the relative poses of one stream, in order, into segments numbered from 0."""

    def __init__(self) -> None:
        self._segment = -1
        self._last: PlacedCamera | None = None

    def add(self, seq_prev: int, seq_cur: int, T_cur_prev: Float) -> list[PlacedCamera]:
        """Place the camera of frame `seq_cur`; where a new segment begins, that of `seq_prev` too.

        A new segment begins unless `seq_prev` is the frame that was placed last.
        """
        placed = []
        if self._last is None or self._last.seq != seq_prev:
            self._segment += 1
            self._last = PlacedCamera(self._segment, seq_prev, np.eye(4))
            placed.append(self._last)
        T_world_cur = self._last.T_world_cam @ inverse(T_cur_prev)
        self._last = PlacedCamera(self._segment, seq_cur, T_world_cur)
        return [*placed, self._last]
