"""Approximate nearest neighbours by FLANN: in far less time than comparing all, and not all found.

Float descriptors go through randomised k-d trees (Muja & Lowe, VISAPP 2009; PAMI 2014), binary ones
through hash tables with neighbouring buckets (LSH: Lv et al., VLDB 2007; Muja & Lowe, CRV 2012).
Both are built at random by OpenCV's generator. It is one for each thread, and is seeded before
every build, so that a build depends on its descriptors alone.
"""

import cv2
import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Descriptors
from nodes.vision.matching import Float32, Int, Neighbours, check_kinds, find_neighbours

SEED = 0
MIN_INDEXED = 64
"""Fewer descriptors are compared one by one: that is faster, and exact."""

Settings = dict[str, bool | int | float | str]
KD_TREE, LSH = 1, 6  # FLANN's numbers of algorithms, and of distances
L2, HAMMING = 1, 9
LSH_SETTINGS: Settings = {
    "algorithm": LSH, "table_number": 6, "key_size": 12, "multi_probe_level": 1,
}  # fmt: skip


def find_approximate_neighbours(
    descriptors0: Descriptors,
    descriptors1: Descriptors,
    trees: int,
    checks: int,
    with_back: bool,
) -> Neighbours:
    """Do what `find_neighbours` does, looking at about `checks` of the others for each descriptor.

    Args:
        descriptors0, descriptors1: (N0, D), (N1, D) float32 or uint8.
        trees: how many k-d trees; binary descriptors have `LSH_SETTINGS`.
        checks: how many leaves of the trees to look at.
        with_back: whether `nearest_back` is searched too, which takes as long again; else it is -1.

    Raises:
        ValueError: the descriptors are of different kinds.
    """
    check_kinds(descriptors0, descriptors1)
    if min(len(descriptors0), len(descriptors1)) < MIN_INDEXED:
        return find_neighbours(descriptors0, descriptors1)
    nearest, distance, second = _search(descriptors0, descriptors1, trees, checks)
    back = np.full(len(descriptors1), -1, np.int64)
    if with_back:
        back = _search(descriptors1, descriptors0, trees, checks)[0]
    return Neighbours(nearest, distance, second, back)


def _search(
    queries: Descriptors, others: Descriptors, trees: int, checks: int
) -> tuple[Int, Float32, Float32]:
    """Return of each query (N0, D) the nearest other's index, its distance, and the next one's."""
    is_usable = _is_finite(queries)
    rows = np.flatnonzero(_is_finite(others))
    if len(rows) < MIN_INDEXED or not is_usable.any():
        found = find_neighbours(queries, others)
        return found.nearest, found.distance, found.second
    indices, distances = _two_nearest(queries[is_usable], others[rows], trees, checks)
    nearest = np.zeros(len(queries), np.int64)
    distance, second = (np.full(len(queries), np.inf, np.float32) for _ in range(2))
    nearest[is_usable] = rows[indices[:, 0]]
    distance[is_usable], second[is_usable] = distances.T
    return nearest, distance, second


def _two_nearest(
    queries: Descriptors, others: Descriptors, trees: int, checks: int
) -> tuple[Int, Float32]:
    """Return indices (N0, 2) and distances (N0, 2) of the two nearest that the index shows."""
    is_binary = others.dtype == np.uint8
    settings: Settings = LSH_SETTINGS if is_binary else {"algorithm": KD_TREE, "trees": trees}
    cv2.setRNGSeed(SEED)
    index = cv2.flann.Index(np.ascontiguousarray(others), settings, HAMMING if is_binary else L2)
    found = index.knnSearch(np.ascontiguousarray(queries), 2, params={"checks": checks})
    indices, distances = np.asarray(found[0], np.int64), np.asarray(found[1], np.float32)
    distances = distances if is_binary else np.sqrt(distances)
    return _with_missing(queries, others, indices, distances)


def _with_missing(
    queries: Descriptors, others: Descriptors, indices: Int, distances: Float32
) -> tuple[Int, Float32]:
    """Compare a query with all others where its buckets held fewer than two of them.

    Without a second neighbour nothing could be said of how clear the first one is.
    """
    is_missing = (indices < 0).any(axis=1)
    if is_missing.any():
        exact = find_neighbours(queries[is_missing], others)
        indices[is_missing, 0] = exact.nearest
        distances[is_missing] = np.column_stack([exact.distance, exact.second])
    return indices, distances


def _is_finite(descriptors: Descriptors) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(descriptors).all(axis=1), np.bool_)
