"""Finds by descriptors what was lost: tracks that broke, and the camera itself."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.matching import find_neighbours, select_matches
from nodes.vision.odometry.local_map import LocalMap, PlacedView
from nodes.vision.odometry.nearby import find_nearby
from nodes.vision.odometry.placing import place
from nodes.vision.odometry.view import Descriptors, Seen, View
from nodes.vision.se3 import inverse
from nodes.vision.two_view import fundamental, sampson_distance

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

RATIO = 0.8
RECONNECTED_KEYFRAMES = 3
MAX_COMPARED = 8
"""Keyframes that one frame is compared with, spread over those remembered."""
MIN_INLIERS = 20
MIN_INLIER_SHARE = 0.3
MIN_VISIBLE_SHARE = 0.35
"""Of a keyframe's landmarks that should be in the picture: a place that is alike shows fewer."""


@dataclass(frozen=True, eq=False)
class Relocalised:
    """T_cam_world (4, 4), and keypoints (M,), as rows, that show the landmarks of tracks (M,)."""

    T_cam_world: Float
    rows: Int
    track_ids: Int


def reconnect(
    local_map: LocalMap, T_cam_world: Float, seen: Seen, is_free: Bool
) -> tuple[Int, Int]:
    """Find tracks of the last keyframes, without a landmark yet, that were lost on the way.

    Args:
        is_free: (K,) whether a keypoint may show one of them.

    Returns:
        Rows (M,) of the keypoints, and the tracks (M,) that they continue.
    """
    assert seen.descriptors is not None
    all_rows, all_ids = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    is_free = is_free.copy()
    for keyframe in reversed(local_map.keyframes[-RECONNECTED_KEYFRAMES:]):
        has_landmark = np.isfinite(local_map.positions(keyframe.view.ids)[:, 0])
        view = keyframe.view.where(~has_landmark)
        rows, ids = rejoin(view, seen.descriptors, is_free, np.concatenate(all_ids))
        F = fundamental(T_cam_world @ inverse(keyframe.T_cam_world), local_map.K)
        pixels = view.pixels[np.searchsorted(view.ids, ids)]
        is_near = sampson_distance(F, pixels, seen.keypoints[rows]) < local_map.gates.max_error_px
        all_rows.append(rows[is_near])
        all_ids.append(ids[is_near])
        is_free[rows[is_near]] = False
    return np.concatenate(all_rows), np.concatenate(all_ids)


def rejoin(view: View, descriptors: Descriptors, is_free: Bool, known_ids: Int) -> tuple[Int, Int]:
    """Find tracks of an earlier view that were lost on the way, wherever they may be now.

    Args:
        is_free: (K,) whether a keypoint may show one of them.
        known_ids: (N,) tracks that need not be looked for.

    Returns:
        Rows (M,) of the keypoints, and the tracks (M,) that they continue; some may be wrong.
    """
    view = view.where(~np.isin(view.ids, known_ids))
    free = np.flatnonzero(is_free)
    if view.descriptors is None or not len(view.ids) or not len(free):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    matches = _match(view.descriptors, descriptors[free])
    return free[matches[:, 1]], view.ids[matches[:, 0]]


def relocalise(local_map: LocalMap, seen: Seen, radius_px: float) -> Relocalised | None:
    """Look for the camera among the recent keyframes, the last one first; None if not found."""
    candidates = [k for k in reversed(local_map.keyframes) if k.view.descriptors is not None]
    step = max(1, -(-len(candidates) // MAX_COMPARED))
    for keyframe in candidates[::step]:
        found = _compare(local_map, keyframe, seen)
        if found is not None and _is_confirmed(local_map, keyframe, found, seen, radius_px):
            return found
    return None


def _compare(local_map: LocalMap, keyframe: PlacedView, seen: Seen) -> Relocalised | None:
    view = keyframe.view.where(np.isfinite(local_map.positions(keyframe.view.ids)[:, 0]))
    assert view.descriptors is not None and seen.descriptors is not None
    matches = _match(view.descriptors, seen.descriptors)
    rows, track_ids = matches[:, 1].astype(np.int64), view.ids[matches[:, 0]]
    matched = View(seen.seq, track_ids, seen.keypoints[rows])
    T_cam_world, inliers = place(local_map, matched, local_map.gates.max_error_px, seen.seed)
    if T_cam_world is None or len(inliers) < max(MIN_INLIERS, MIN_INLIER_SHARE * len(matches)):
        return None
    return Relocalised(T_cam_world, rows[inliers], track_ids[inliers])


def _is_confirmed(
    local_map: LocalMap, keyframe: PlacedView, found: Relocalised, seen: Seen, radius_px: float
) -> bool:
    """Say whether the camera sees enough of what it should see from there."""
    nearby = find_nearby(local_map, keyframe.view.ids, found.T_cam_world, seen, radius_px)
    return len(nearby.rows) >= MIN_VISIBLE_SHARE * nearby.num_visible


def _match(descriptors0: Descriptors, descriptors1: Descriptors) -> npt.NDArray[np.int32]:
    neighbours = find_neighbours(descriptors0, descriptors1)
    return select_matches(neighbours, RATIO, cross_check=True)
