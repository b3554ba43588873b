"""Trajectories against the truth: alignment, absolute and relative errors, the plane to look at.

An estimated path lives in a world of its own, and a single camera's in a unit of its own. It is
laid over the truth as well as one rigid motion (SE(3)) or one similarity (Sim(3)) can.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

_MIN_EXTENT = 1e-12  # of a path, before it has a scale or a direction
_STEEP = 0.5  # cosine between the normal of a plane and upwards, below which it is a wall


@dataclass(frozen=True, eq=False)
class Similarity:
    """Maps points from world b to world a: p_a = scale * R_a_b @ p_b + t_a_b."""

    scale: float
    R_a_b: Float
    t_a_b: Float

    def apply(self, points: Float) -> Float:
        """Map points (N, 3)."""
        return np.asarray(self.scale * points @ self.R_a_b.T + self.t_a_b, np.float64)


@dataclass(frozen=True, eq=False)
class RelativeErrors:
    """How far each motion over a fixed number of frames is from the true one."""

    translation: Float
    """(P,), in the unit of the truth."""
    rotation_deg: Float
    """(P,)."""


def align(estimated: Float, true: Float, *, with_scale: bool) -> Similarity:
    """Return the similarity that brings estimated points (N, 3) closest to true ones (N, 3).

    Least squares of Umeyama, "Least-squares estimation of transformation parameters between two
    point patterns", PAMI 1991, equations 34 to 43. The scale is 1 without `with_scale`, and where
    the estimated points coincide, which tells nothing of it.
    """
    if not len(estimated):
        return Similarity(1.0, np.eye(3), np.zeros(3))
    mean_estimated, mean_true = estimated.mean(axis=0), true.mean(axis=0)
    centred, centred_true = estimated - mean_estimated, true - mean_true
    variance = float((centred**2).sum()) / len(estimated)
    U, D, Vt = np.linalg.svd(centred_true.T @ centred / len(estimated))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = U * signs @ Vt
    has_scale = with_scale and variance > _MIN_EXTENT**2
    scale = float(D @ signs) / variance if has_scale else 1.0
    return Similarity(scale, R, mean_true - scale * R @ mean_estimated)


def ate(estimated: Float, true: Float, *, with_scale: bool) -> tuple[Float, float]:
    """Return the absolute trajectory errors (N,) of aligned positions (N, 3), and their RMSE.

    Sturm et al., "A benchmark for the evaluation of RGB-D SLAM systems", IROS 2012, section VI.B,
    after the alignment that Zhang and Scaramuzza, "A tutorial on quantitative trajectory
    evaluation", IROS 2018, section IV, recommend: Sim(3) for a single camera. The RMSE of no
    positions is NaN.
    """
    aligned = align(estimated, true, with_scale=with_scale).apply(estimated)
    errors = np.linalg.norm(aligned - true, axis=1)
    return errors, rms(errors)


def rpe(
    T_world_cam: Float, T_world_true: Float, step: int, frames: Int | None = None
) -> RelativeErrors:
    """Return the relative pose errors over `step` frames, the estimate put into the true scale.

    Sturm et al., IROS 2012, section VI.A; the scale is that of the Sim(3) alignment.

    Args:
        T_world_cam: (N, 4, 4) float64, estimated poses in order of time.
        T_world_true: (N, 4, 4) float64, the true pose of each.
        step: frames between the two poses of a pair, at least 1.
        frames: (N,) int64, number of the frame of each pose, rising; 0, 1, ... if not given. A pair
            whose other frame has no pose is left out.
    """
    frames = np.arange(len(T_world_cam)) if frames is None else frames
    later = np.searchsorted(frames, frames + step)
    has_later = later < len(frames)
    has_later[has_later] = frames[later[has_later]] == frames[has_later] + step
    first, second = np.flatnonzero(has_later), later[has_later]
    scale = align(T_world_cam[:, :3, 3], T_world_true[:, :3, 3], with_scale=True).scale
    R, t = _relative(T_world_cam[first], T_world_cam[second])
    R_true, t_true = _relative(T_world_true[first], T_world_true[second])
    turned_back = np.swapaxes(R_true, 1, 2) @ R
    angles = Rotation.from_matrix(turned_back).magnitude() if len(first) else np.empty(0)
    return RelativeErrors(np.linalg.norm(scale * t - t_true, axis=1), np.degrees(angles))


def rms(values: Float) -> float:
    """Return the root of the mean square of values (N,); NaN without any."""
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def path_length(positions: Float) -> float:
    """Return the length of the path through positions (N, 3)."""
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())


def viewing_plane(T_world_cam: Float) -> tuple[Float, bool]:
    """Return the axes (2, 3) of the plane of a path's largest extent, and whether it is a wall.

    The first axis points to the right and the second upwards in the picture, which is never a
    mirror image: it is seen from above, or from the side where the plane is steep. Upwards is where
    the cameras (N, 4, 4), x right and y down, have it in the mean. The path ends to the right of
    where it began.
    """
    positions, up = T_world_cam[:, :3, 3], -T_world_cam[:, :3, 1].mean(axis=0)
    up = up / max(float(np.linalg.norm(up)), _MIN_EXTENT)
    centred = positions - positions.mean(axis=0)
    _, extents, axes = np.linalg.svd(centred, full_matrices=len(centred) < 3)
    is_flat = extents[min(1, len(extents) - 1)] < 0.05 * extents[0] + _MIN_EXTENT
    normal = _without(up, axes[0]) if is_flat else axes[2]
    normal = normal * (1.0 if normal @ up >= 0 else -1.0)
    is_wall = bool(normal @ up < _STEEP)
    right = np.cross(_without(up, normal), normal) if is_wall else axes[0]
    if right @ (positions[-1] - positions[0]) < 0:
        normal, right = (-normal if is_wall else normal), -right
    return np.array([right, np.cross(normal, right)]), is_wall


def _without(v: Float, axis: Float) -> Float:
    """Return the unit vector of what v (3,) has across a unit axis (3,); of any if it has none."""
    across = v - (v @ axis) * axis
    if np.linalg.norm(across) < 1e-6:
        across = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    return np.asarray(across / np.linalg.norm(across), np.float64)


def _relative(T_world_a: Float, T_world_b: Float) -> tuple[Float, Float]:
    """Return R_a_b (P, 3, 3) and t_a_b (P, 3) of cameras (P, 4, 4)."""
    R_a_world = np.swapaxes(T_world_a[:, :3, :3], 1, 2)
    t_b_in_a = T_world_b[:, :3, 3] - T_world_a[:, :3, 3]
    t_a_b = (R_a_world @ t_b_in_a[:, :, None])[:, :, 0]
    return R_a_world @ T_world_b[:, :3, :3], t_a_b
