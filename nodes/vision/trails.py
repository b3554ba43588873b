"""Trails: where the points matched in a frame were in the frames before."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class Trails:
    """Follows the points of one stream from match to match.

    Args:
        length: positions in a trail, at least 2: the current one, the previous one, and so on.
    """

    def __init__(self, length: int) -> None:
        if length < 2:
            raise ValueError(f"length must be at least 2, not {length}")
        self._length = length
        self._ids = np.zeros(0, np.int64)  # ascending
        self._paths = np.zeros((0, self._length, 2), np.float32)

    def follow(
        self,
        ids_prev: npt.NDArray[np.int64],
        ids_cur: npt.NDArray[np.int64],
        points_prev: Float32,
        points_cur: Float32,
        is_true: npt.NDArray[np.bool_],
    ) -> Float32:
        """Return the trails (M, length, 2) of matched points, newest first, NaN beyond their start.

        ids_prev, ids_cur: (M,), unique; the identity of a point in the two frames
        points_prev, points_cur: (M, 2)
        is_true: (M,), whether the match is to be followed further
        """
        paths = np.full((len(ids_cur), self._length, 2), np.nan, np.float32)
        paths[:, 0], paths[:, 1] = points_cur, points_prev
        rows = np.searchsorted(self._ids, ids_prev)
        rows[rows == len(self._ids)] = 0
        if len(self._ids):
            is_known = self._ids[rows] == ids_prev
            paths[is_known, 2:] = self._paths[rows[is_known], 1:-1]
        order = np.argsort(ids_cur[is_true])
        self._ids, self._paths = ids_cur[is_true][order], paths[is_true][order]
        return paths
