"""Brings ground truth that was measured at times of its own to the times of the images."""

import numpy as np
import numpy.typing as npt

from nodes.sources.base import GroundTruth
from nodes.vision.se3 import from_quaternion, quaternion

MAX_GAP_NS = 100_000_000
"""Between true poses further apart nothing is interpolated."""


def at_images(truth: GroundTruth, stamps_ns: npt.ArrayLike) -> GroundTruth:
    """Return T_world_cam at those of the stamps (N,) at which it is known.

    A pose between two measured ones lies on the line between their positions and, with the
    quaternions interpolated linearly and normalised, on the shortest turn between them; over the
    few degrees between samples that differs from a constant turn rate by less than can be
    measured. Poses measured at the very time of an image are taken as they are.
    """
    order = np.argsort(truth[0], kind="stable")
    times, poses = truth[0][order], truth[1][order]
    stamps = np.asarray(stamps_ns, np.int64)
    if not len(times):
        return np.empty(0, np.int64), np.empty((0, 4, 4))
    after = np.minimum(np.searchsorted(times, stamps), len(times) - 1)
    before = np.maximum(after - (times[after] != stamps), 0)
    known = [_between(times, poses, *ijt) for ijt in zip(before, after, stamps, strict=True)]
    found = [(t, T) for t, T in zip(stamps, known, strict=True) if T is not None]
    return (
        np.array([t for t, _ in found], np.int64),
        np.array([T for _, T in found], np.float64).reshape(-1, 4, 4),
    )


def _between(
    times: npt.NDArray[np.int64],
    poses: npt.NDArray[np.float64],
    i: np.intp,
    j: np.intp,
    stamp: np.int64,
) -> npt.NDArray[np.float64] | None:
    """Return the pose at a stamp between those of samples i and j; None where they are too far."""
    if times[j] == stamp:
        return np.asarray(poses[j], np.float64)
    if not times[i] < stamp < times[j] or times[j] - times[i] > MAX_GAP_NS:
        return None
    share = (stamp - times[i]) / (times[j] - times[i])
    q0, q1 = quaternion(poses[i]), quaternion(poses[j])
    q = (1 - share) * q0 + share * (q1 if q0 @ q1 >= 0 else -q1)
    t = (1 - share) * poses[i, :3, 3] + share * poses[j, :3, 3]
    return from_quaternion(t, q)
