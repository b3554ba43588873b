"""Tracks: the identity of a point over all frames of a stream that show it.

Matches name keypoints, whose identities may be new in every frame; a track is a chain of them.
"""

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
Bool = npt.NDArray[np.bool_]


class TrackTable:
    """Knows the tracks of one stream's last frame; forgets those that no match continues."""

    def __init__(self) -> None:
        self._keypoint_ids = np.zeros(0, np.int64)  # ascending
        self._track_ids = np.zeros(0, np.int64)
        self._ages = np.zeros(0, np.int32)
        self._num_tracks = 0

    def follow(self, ids_prev: Int, ids_cur: Int) -> Int:
        """Take the matches between the last frame and the current one.

        Args:
            ids_prev, ids_cur: (M,) identities of matched keypoints, each unique.

        Returns:
            The track of each match (M,).
        """
        rows, is_known = find(self._keypoint_ids, ids_prev)
        track_ids = np.empty(len(ids_prev), np.int64)
        ages = np.full(len(ids_prev), 2, np.int32)
        track_ids[is_known] = self._track_ids[rows[is_known]]
        ages[is_known] = self._ages[rows[is_known]] + 1
        num_new = int(np.sum(~is_known))
        track_ids[~is_known] = np.arange(self._num_tracks, self._num_tracks + num_new)
        self._num_tracks += num_new
        self._keep(ids_cur, track_ids, ages)
        return track_ids

    def ages(self, track_ids: Int) -> Int32:
        """Return in how many frames each track (M,) of the current frame has been seen."""
        order = np.argsort(self._track_ids)
        rows, is_known = find(self._track_ids[order], track_ids)
        return np.where(is_known, self._ages[order][rows] if len(order) else 0, 0).astype(np.int32)

    def adopt(self, ids_cur: Int, track_ids: Int) -> None:
        """Make keypoints of the current frame (M,) the continuation of earlier tracks (M,)."""
        is_kept = ~(np.isin(self._keypoint_ids, ids_cur) | np.isin(self._track_ids, track_ids))
        self._keep(
            np.concatenate([self._keypoint_ids[is_kept], ids_cur]),
            np.concatenate([self._track_ids[is_kept], track_ids]),
            np.concatenate([self._ages[is_kept], np.full(len(ids_cur), 2, np.int32)]),
        )

    def _keep(self, keypoint_ids: Int, track_ids: Int, ages: Int32) -> None:
        order = np.argsort(keypoint_ids)
        self._keypoint_ids, self._track_ids = keypoint_ids[order], track_ids[order]
        self._ages = ages[order]


def find(ids: Int, wanted: Int) -> tuple[Int, Bool]:
    """Return where each of `wanted` (M,) stands in ascending `ids` (N,), and whether it does."""
    if not len(ids):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    rows = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return rows, ids[rows] == wanted
