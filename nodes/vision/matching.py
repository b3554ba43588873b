"""Nearest neighbours between two sets of descriptors, and the tests that make matches of them.

Distances are Euclidean for float32 descriptors and Hamming for uint8 ones; `prepare` makes other
distances Euclidean. Of equal distances the lowest index wins, as in OpenCV's BFMatcher.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Descriptors

Float32 = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

Distance = Literal["auto", "l2", "cosine", "correlation"]
DISTANCE_HELP = (
    "auto: Hamming for binary descriptors, l2 for others; cosine: of unit vectors; correlation: "
    "cosine after taking out the mean"
)

MAX_TABLE = 500_000  # distances held at a time: 2 MB stay in the cache, 4 MB take twice the time
FAR = np.float32(1e30)  # not infinity: a matrix product makes NaN of it


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For each of N0 descriptors its neighbours among N1 others, and the other way round.

    nearest: (N0,) int64. distance, second: (N0,) float32, distances of the nearest and the
    second nearest, the latter infinite where there is no second. nearest_back: (N1,) int64.
    All are empty where there are no descriptors on one side.
    """

    nearest: Int
    distance: Float32
    second: Float32
    nearest_back: Int


def find_neighbours(
    descriptors0: Descriptors, descriptors1: Descriptors, max_table: int = MAX_TABLE
) -> Neighbours:
    """Compare all descriptors (N0, D) with all (N1, D), at most `max_table` pairs at a time.

    Raises:
        ValueError: the descriptors are of different kinds.
    """
    check_kinds(descriptors0, descriptors1)
    n0, n1 = len(descriptors0), len(descriptors1)
    if not n0 or not n1:
        empty = np.empty(0, np.float32)
        return Neighbours(np.empty(0, np.int64), empty, empty, np.empty(0, np.int64))
    values0, values1 = as_values(descriptors0), as_values(descriptors1)
    nearest, back = np.empty(n0, np.int64), np.zeros(n1, np.int64)
    first, second = np.empty(n0, np.float32), np.full(n0, np.inf, np.float32)
    back_distance = np.full(n1, np.inf, np.float32)
    num_rows = max(1, max_table // n1)
    for start in range(0, n0, num_rows):
        rows = slice(start, start + num_rows)
        table = _distance_table(values0[rows], values1)
        best, distance = _column_best(table)
        is_nearer = distance < back_distance
        back[is_nearer], back_distance[is_nearer] = best[is_nearer] + start, distance[is_nearer]
        nearest[rows], first[rows], second[rows] = _two_smallest(table)
    if descriptors0.dtype == np.float32:
        first, second = np.sqrt(first), np.sqrt(second)
    return Neighbours(nearest, first, second, back)


def check_kinds(descriptors0: Descriptors, descriptors1: Descriptors) -> None:
    """Refuse descriptors of which one cannot be compared with the other.

    Raises:
        ValueError: they differ in dtype or length.
    """
    if descriptors0.dtype != descriptors1.dtype or descriptors0.shape[1] != descriptors1.shape[1]:
        raise ValueError(
            f"descriptors {descriptors0.dtype} {descriptors0.shape} and "
            f"{descriptors1.dtype} {descriptors1.shape} cannot be compared"
        )


def prepare(descriptors: Descriptors, distance: Distance) -> Descriptors:
    """Return descriptors (N, D) whose Euclidean (or Hamming) distance is the one asked for.

    Unit vectors with the cosine c are sqrt(2 - 2 c) apart, which falls as c rises: the nearest is
    that of the largest cosine, and the ratio test compares chords. With their means taken out, c is
    the normalised correlation. A descriptor without a direction becomes NaN, and matches nothing.

    Raises:
        ValueError: binary descriptors have no such distance.
    """
    if distance == "auto" or (distance == "l2" and descriptors.dtype != np.uint8):
        return descriptors
    if descriptors.dtype == np.uint8:
        raise ValueError(
            f"distance must be auto (Hamming's) for binary descriptors, not {distance!r}"
        )
    values = np.asarray(descriptors, np.float64)
    if distance == "correlation":
        values = values - values.mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = values / np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(units, np.float32)


def as_values(descriptors: Descriptors) -> Float32:
    """Return float32 descriptors as they are, and the bits of binary ones as 0 and 1."""
    if descriptors.dtype == np.uint8:  # the squared distance of bits is their Hamming distance
        return np.unpackbits(np.asarray(descriptors, np.uint8), axis=1).astype(np.float32)
    return np.asarray(descriptors, np.float32)


def _column_best(table: Float32) -> tuple[Int, Float32]:
    """Return of each column the smallest value's index, and that value."""
    index = table.argmin(axis=0)
    return index, table[index, np.arange(table.shape[1])]


def _two_smallest(table: Float32) -> tuple[Int, Float32, Float32]:
    """Return of each row the smallest value's index, that value, and the next; spoils the table."""
    rows = np.arange(len(table))
    index = table.argmin(axis=1)
    smallest = table[rows, index]
    table[rows, index] = np.inf
    return index, smallest, table.min(axis=1)


def _distance_table(descriptors0: Float32, descriptors1: Float32) -> Float32:
    """Return the squared Euclidean distances (N0, N1) float32.

    |a|^2 + |b|^2 - 2 a.b is one matrix product of (-2 a, |a|^2, 1) and (b, 1, |b|^2). For raw SIFT
    every partial sum is an integer below 2^24, hence exact in whatever order it is summed.
    """
    descriptors0, norms0 = _with_norms(descriptors0)
    descriptors1, norms1 = _with_norms(descriptors1)
    left = np.column_stack([-2 * descriptors0, norms0, np.ones_like(norms0)])
    right = np.column_stack([descriptors1, np.ones_like(norms1), norms1])
    table = left @ right.T
    return np.asarray(np.maximum(table, 0, out=table), np.float32)


def _with_norms(descriptors: Float32) -> tuple[Float32, Float32]:
    """Return descriptors (N, D) and |d|^2 (N,); one that is not finite is far from all.

    Its NaN would be the smallest of every row and column.
    """
    norms = np.einsum("nd,nd->n", descriptors, descriptors)
    is_bad = ~np.isfinite(norms)
    if is_bad.any():
        descriptors = np.where(is_bad[:, None], np.float32(0), descriptors)
        norms = np.where(is_bad, FAR, norms)
    return descriptors, norms


def select_matches(
    neighbours: Neighbours, ratio: float = 1.0, cross_check: bool = False
) -> npt.NDArray[np.int32]:
    """Return the matches (M, 2) int32 that pass the tests, sorted by column 0.

    A match passes the ratio test (Lowe, IJCV 2004, section 7.1) where its distance is less than
    `ratio` times that to the second nearest, 1 meaning no test; and the cross-check where each is
    the nearest of the other. Without the latter an index may occur several times in column 1.
    """
    nearest = neighbours.nearest
    keep = neighbours.distance < np.sqrt(FAR) / 2  # to one that is not finite it is sqrt(FAR)
    if ratio < 1:
        second = neighbours.second.astype(np.float64)
        keep &= np.isfinite(second) & (neighbours.distance < ratio * second)
    if cross_check:
        keep &= neighbours.nearest_back[nearest] == np.arange(len(nearest))
    return np.column_stack([np.flatnonzero(keep), nearest[keep]]).astype(np.int32)


def best_per_target(matches: npt.NDArray[np.int32], distances: Float32) -> npt.NDArray[np.int32]:
    """Keep of all matches (M, 2) of one target the nearest, by distances (M,), or the first."""
    order = np.lexsort((matches[:, 0], distances, matches[:, 1]))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = np.diff(matches[order, 1]) != 0
    return matches[np.sort(order[is_first])]


def distinctness(distances: Float32, seconds: Float32) -> Float32:
    """Return 1 - distance / second (M,), from 0, no nearer than the second, to 1."""
    is_tie = distances >= seconds
    ratio = distances / np.where(is_tie, 1, seconds)
    return np.where(is_tie, 0, 1 - ratio).astype(np.float32)
