"""Finds landmarks again by their descriptors: near where they should be, or anywhere.

Keypoints are (K, 2) undistorted pixels of one frame with descriptors (K, D).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nodes.vision.matching import find_neighbours, select_matches
from nodes.vision.odometry.local_map import Descriptors, LocalMap, PlacedView, View
from nodes.vision.odometry.placing import place
from nodes.vision.se3 import inverse, transform
from nodes.vision.two_view import fundamental, sampson_distance

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

MAX_CANDIDATES = 6
MAX_DISTANCE = 0.55
"""Between two descriptors of one point, see `_apart`."""
RATIO = 0.8
MAX_KEYFRAMES = 8
RECONNECTED_KEYFRAMES = 3
MIN_INLIERS = 20
MIN_INLIER_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Found:
    """Keypoints (M,), as rows, that show the landmarks of tracks (M,)."""

    rows: Int
    track_ids: Int
    T_cam_world: Float


def find_nearby(
    local_map: LocalMap,
    T_cam_world: Float,
    keypoints: Float,
    descriptors: Descriptors,
    is_seen: Int,
    radius_px: float,
) -> Found:
    """Look for landmarks around where the camera, placed roughly, should see them.

    Args:
        is_seen: (N,) tracks that need not be looked for.
        radius_px: how far from its place a landmark is looked for.
    """
    ids, points, known = local_map.described()
    wanted = ~np.isin(ids, is_seen)
    ids, points, known = ids[wanted], points[wanted], known[wanted]
    pixels = _project(T_cam_world, points, local_map.K)
    low, high = keypoints.min(axis=0), keypoints.max(axis=0)
    is_inside = np.all((pixels >= low) & (pixels <= high), axis=1)
    ids, known, pixels = ids[is_inside], known[is_inside], pixels[is_inside]
    if not len(ids):
        return Found(ids, ids, T_cam_world)
    distances, candidates = cKDTree(keypoints).query(
        pixels, MAX_CANDIDATES, distance_upper_bound=radius_px
    )
    is_near = np.isfinite(distances)
    apart = np.where(
        is_near, _apart(known[:, None], descriptors[np.where(is_near, candidates, 0)]), np.inf
    )
    best = apart.argmin(axis=1)
    index = np.arange(len(ids))
    nearest, chosen = apart[index, best], np.asarray(candidates)[index, best]
    is_good = nearest < MAX_DISTANCE
    # A keypoint shows one landmark: the one most like it.
    order = np.lexsort((nearest[is_good], chosen[is_good]))
    rows, first = np.unique(chosen[is_good][order], return_index=True)
    return Found(rows.astype(np.int64), ids[is_good][order][first], T_cam_world)


def reconnect(
    local_map: LocalMap,
    T_cam_world: Float,
    keypoints: Float,
    descriptors: Descriptors,
    is_free: Bool,
    max_error_px: float,
) -> tuple[Int, Int]:
    """Find tracks of the last keyframes, without a landmark yet, that were lost on the way.

    Args:
        is_free: (K,) whether a keypoint may show one of them.

    Returns:
        Rows (M,) of the keypoints, and the tracks (M,) that they continue.
    """
    found_rows, found_ids = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    is_free = is_free.copy()
    for keyframe in reversed(local_map.keyframes[-RECONNECTED_KEYFRAMES:]):
        view, free = keyframe.view, np.flatnonzero(is_free)
        is_open = ~np.isfinite(local_map.positions(view.ids)[:, 0])
        view = view.where(is_open & ~np.isin(view.ids, np.concatenate(found_ids)))
        if view.descriptors is None or not len(view.ids) or not len(free):
            continue
        matches = _match(view, descriptors[free])
        ids, pixels, rows = view.ids[matches[:, 0]], view.pixels[matches[:, 0]], free[matches[:, 1]]
        F = fundamental(T_cam_world @ inverse(keyframe.T_cam_world), local_map.K)
        is_near = sampson_distance(F, pixels, keypoints[rows]) < max_error_px
        found_rows.append(rows[is_near])
        found_ids.append(ids[is_near])
        is_free[rows[is_near]] = False
    return np.concatenate(found_rows), np.concatenate(found_ids)


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
    matches = _match(view, descriptors[free])
    return free[matches[:, 1]], view.ids[matches[:, 0]]


def relocalise(
    local_map: LocalMap,
    keypoints: Float,
    descriptors: Descriptors,
    max_error_px: float,
    seed: int,
) -> Found | None:
    """Look for the camera among the recent keyframes, the last one first; None if not found."""
    candidates = [k for k in reversed(local_map.keyframes) if k.view.descriptors is not None]
    step = max(1, len(candidates) // MAX_KEYFRAMES)
    for keyframe in candidates[::step]:
        found = _compare(local_map, keyframe, keypoints, descriptors, max_error_px, seed)
        if found is not None:
            return found
    return None


def _compare(
    local_map: LocalMap,
    keyframe: PlacedView,
    keypoints: Float,
    descriptors: Descriptors,
    max_error_px: float,
    seed: int,
) -> Found | None:
    view = keyframe.view
    view = view.where(np.isfinite(local_map.positions(view.ids)[:, 0]))
    matches = _match(view, descriptors)
    if len(matches) < MIN_INLIERS:
        return None
    rows, track_ids = matches[:, 1].astype(np.int64), view.ids[matches[:, 0]]
    seen = View(0, track_ids, keypoints[rows])
    T_cam_world, inliers = place(local_map, seen, max_error_px, seed)
    enough = max(MIN_INLIERS, MIN_INLIER_SHARE * len(matches))
    if T_cam_world is None or len(inliers) < enough:
        return None
    return Found(rows[inliers], track_ids[inliers], T_cam_world)


def _match(view: View, descriptors: Descriptors) -> npt.NDArray[np.int32]:
    assert view.descriptors is not None
    return select_matches(find_neighbours(view.descriptors, descriptors), RATIO, cross_check=True)


def _project(T_cam_world: Float, points: Float, K: Float) -> Float:
    """Return where points (L, 3) are seen (L, 2); NaN for those behind the camera."""
    seen = transform(T_cam_world, points)
    depths = np.where(seen[:, 2] > 0, seen[:, 2], np.nan)[:, None]
    return np.asarray(seen[:, :2] / depths * np.diag(K)[:2] + K[:2, 2], np.float64)


def _apart(descriptors0: Descriptors, descriptors1: Descriptors) -> Float:
    """Return how different descriptors (..., D) are: 0 for equal ones, about 1 for others."""
    if descriptors0.dtype == np.uint8:
        bits = np.unpackbits(np.bitwise_xor(descriptors0, descriptors1), axis=-1)
        return np.asarray(2 * bits.mean(axis=-1), np.float64)
    length = np.linalg.norm(descriptors0, axis=-1)
    return np.asarray(np.linalg.norm(descriptors0 - descriptors1, axis=-1) / length, np.float64)
