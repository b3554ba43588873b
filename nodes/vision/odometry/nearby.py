"""Finds landmarks by their descriptors near where a camera should see them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nodes.vision.odometry.local_map import LocalMap
from nodes.vision.odometry.view import Descriptors, Seen
from nodes.vision.se3 import transform

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

MAX_CANDIDATES = 6
MAX_DISTANCE = 0.55
"""Between two descriptors of one point, see `_apart`."""


@dataclass(frozen=True, eq=False)
class Nearby:
    """Keypoints (M,), as rows, that show the landmarks of tracks (M,)."""

    rows: Int
    track_ids: Int
    num_visible: int
    """Landmarks that should be in the picture; some may be hidden."""


def find_nearby(
    local_map: LocalMap, wanted: Int, T_cam_world: Float, seen: Seen, radius_px: float
) -> Nearby:
    """Look for the landmarks of tracks `wanted` (N,) around where the camera should see them."""
    assert seen.descriptors is not None
    ids, points, known = local_map.described()
    is_wanted = np.isin(ids, wanted)
    pixels = _project(T_cam_world, points[is_wanted], local_map.K)
    low, high = seen.keypoints.min(axis=0), seen.keypoints.max(axis=0)
    is_inside = np.all((pixels >= low) & (pixels <= high), axis=1)
    ids, known, pixels = ids[is_wanted][is_inside], known[is_wanted][is_inside], pixels[is_inside]
    if not len(ids):
        return Nearby(ids, ids, 0)
    rows, apart = _most_alike(known, pixels, seen.keypoints, seen.descriptors, radius_px)
    is_good = apart < MAX_DISTANCE
    chosen, first = _best_of_each(rows[is_good], apart[is_good])
    return Nearby(chosen, ids[is_good][first], len(ids))


def _most_alike(
    known: Descriptors, pixels: Float, keypoints: Float, descriptors: Descriptors, radius_px: float
) -> tuple[Int, Float]:
    """Return for each of (L, 2) pixels the keypoint near it with the most similar descriptor."""
    distances, candidates = cKDTree(keypoints).query(
        pixels, MAX_CANDIDATES, distance_upper_bound=radius_px
    )
    is_near = np.isfinite(distances)
    candidates = np.where(is_near, candidates, 0)
    apart = np.where(is_near, _apart(known[:, None], descriptors[candidates]), np.inf)
    index, best = np.arange(len(pixels)), apart.argmin(axis=1)
    return candidates[index, best].astype(np.int64), apart[index, best]


def _best_of_each(rows: Int, apart: Float) -> tuple[Int, Int]:
    """Return each of rows (M,) once, and where it stands with the smallest distance."""
    order = np.lexsort((apart, rows))
    unique, first = np.unique(rows[order], return_index=True)
    return unique, order[first]


def _project(T_cam_world: Float, points: Float, K: Float) -> Float:
    """Return where points (L, 3) are seen (L, 2); NaN for those behind the camera."""
    in_camera = transform(T_cam_world, points)
    depths = np.where(in_camera[:, 2] > 0, in_camera[:, 2], np.nan)[:, None]
    return np.asarray(in_camera[:, :2] / depths * np.diag(K)[:2] + K[:2, 2], np.float64)


def _apart(descriptors0: Descriptors, descriptors1: Descriptors) -> Float:
    """Return how different descriptors (..., D) are: 0 for equal ones, about 1 for others."""
    if descriptors0.dtype == np.uint8:
        bits = np.unpackbits(np.bitwise_xor(descriptors0, descriptors1), axis=-1)
        return np.asarray(2 * bits.mean(axis=-1), np.float64)
    length = np.linalg.norm(descriptors0, axis=-1)
    says_something = length > 0  # False for NaN
    length = np.where(says_something, length, 1)
    distance = np.linalg.norm(descriptors0 - descriptors1, axis=-1) / length
    return np.where(says_something & np.isfinite(distance), distance, np.inf).astype(np.float64)
