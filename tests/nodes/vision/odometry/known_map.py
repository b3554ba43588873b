"""Maps whose landmarks and cameras are known exactly: the truth of the odometry's unit tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from camera_world import CAMERA, shifted

from nodes.vision.odometry.local_map import Gates, LocalMap
from nodes.vision.odometry.view import Descriptors, Seen, View
from nodes.vision.se3 import inverse, transform

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]


def scatter(num: int, seed: int = 0) -> Float:
    """Return points (N, 3) at depths 4 to 8, well inside the picture of a camera at the origin."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform((120, 100), (520, 380), (num, 2))
    rays = np.column_stack([CAMERA.undistort(pixels), np.ones(num)])
    return np.asarray(rays * rng.uniform(4, 8, (num, 1)))


def describe(num: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return descriptors (N, 32) of unit norm, no two alike."""
    values = np.random.default_rng(1000 + seed).normal(size=(num, 32))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def pixels_of(points: Float, T_world_cam: Float) -> Float:
    """Return where a camera sees points (N, 2)."""
    return CAMERA.project(transform(inverse(T_world_cam), points))


def look(
    points: Float, T_world_cam: Float, seq: int = 0, descriptors: Descriptors | None = None
) -> View:
    """Return the exact view of points (N, 3) whose tracks are 0 to N - 1."""
    return View(seq, np.arange(len(points)), pixels_of(points, T_world_cam), descriptors)


def walk(num: int, step: float = 0.2) -> list[Float]:
    """Return T_world_cam (4, 4) of a camera that moves to the right."""
    return [shifted(step * i, 0, 0) for i in range(num)]


def known_map(
    points: Float,
    poses: Sequence[Float],
    gates: Gates | None = None,
    *,
    descriptors: Descriptors | None = None,
    num_landmarks: int | None = None,
) -> LocalMap:
    """Return a map in which every camera sees every point; the first `num_landmarks` are known."""
    known = LocalMap(CAMERA.K, gates or Gates())
    ids = np.arange(len(points))[:num_landmarks]
    known.add_landmarks(ids, points[:num_landmarks].copy())
    for seq, T_world_cam in enumerate(poses):
        known.add(look(points, T_world_cam, seq, descriptors), inverse(T_world_cam))
    return known


def seen_as(
    keypoints: Float,
    descriptors: Descriptors | None = None,
    *,
    first_key: int = 0,
    ids_prev: Int | None = None,
    rows: Int | None = None,
) -> Seen:
    """Return keypoints (K, 2) as they come of a frame; by default no match leads to them."""
    nothing = np.zeros(0, np.int64)
    return Seen(
        seq=100, K=CAMERA.K, width=CAMERA.width, seed=7,
        keypoint_ids=first_key + np.arange(len(keypoints)), keypoints=keypoints,
        ids_prev=nothing if ids_prev is None else ids_prev,
        rows=nothing if rows is None else rows, descriptors=descriptors,
    )  # fmt: skip
