"""Rigid motions as 4 x 4 matrices: `T_a_b` maps points from frame b to a, p_a = T_a_b @ p_b."""

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Float = npt.NDArray[np.float64]


def from_rotation_translation(R: Float, t: Float) -> Float:
    """Build T (4, 4) from R (3, 3) and t (3,)."""
    T = np.eye(4)
    T[:3, :3] = R
    T[:3, 3] = np.ravel(t)
    return T


def inverse(T_a_b: Float) -> Float:
    """Return T_b_a."""
    R = T_a_b[:3, :3]
    return from_rotation_translation(R.T, -R.T @ T_a_b[:3, 3])


def from_quaternion(t: Float, q_xyzw: Float) -> Float:
    """Build T (4, 4) from a translation (3,) and a quaternion (4,), x y z w as in TUM files."""
    return from_rotation_translation(Rotation.from_quat(q_xyzw).as_matrix(), t)


def quaternion(T: Float) -> Float:
    """Return the rotation of T as a quaternion (4,), x y z w, with w >= 0."""
    return np.asarray(Rotation.from_matrix(T[:3, :3]).as_quat(canonical=True), np.float64)


def rotation_angle(R: Float) -> float:
    """Return the angle in radians of a rotation (3, 3); exact for small angles too."""
    return float(Rotation.from_matrix(R).magnitude())


def direction_angle(a: Float, b: Float) -> float:
    """Return the angle in radians between two directions (3,); pi where one of them is zero."""
    if not np.any(a) or not np.any(b):
        return float(np.pi)
    return float(np.arctan2(np.linalg.norm(np.cross(a, b)), np.dot(a, b)))


def from_rotation_vector(rotation: Float, t: Float) -> Float:
    """Build T (4, 4) from a rotation vector (3,), axis times radians, and a translation (3,)."""
    return from_rotation_translation(Rotation.from_rotvec(rotation).as_matrix(), t)


def skew(v: Float) -> Float:
    """Return the (3, 3) matrix of the cross product: skew(v) @ u = v x u."""
    x, y, z = np.ravel(v)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]], np.float64)


def transform(T_a_b: Float, points_b: Float) -> Float:
    """Map points (N, 3) from frame b to frame a."""
    return np.asarray(points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3], np.float64)
