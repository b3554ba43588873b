"""Geometry of two views: matrices, residuals and the side of the camera on which a point lies.

`points0` and `points1` are (M, 2) float64, row by row the same scene points seen by camera 0 and
camera 1, and p1 = T_1_0 @ p0. Pixels are those of an ideal camera K; `rays` are normalised
coordinates, K taken out. References: Hartley & Zisserman, Multiple View Geometry, 2nd ed. (HZ).
"""

import math

import numpy as np
import numpy.typing as npt

from nodes.vision.se3 import from_rotation_translation, skew

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def essential(T_1_0: Float) -> Float:
    """Return E_1_0 = [t]x R (3, 3), so that x1.T @ E_1_0 @ x0 = 0 for normalised x (HZ 9.6)."""
    return skew(T_1_0[:3, 3]) @ T_1_0[:3, :3]


def fundamental(T_1_0: Float, K: Float) -> Float:
    """Return F_1_0 (3, 3), so that x1.T @ F_1_0 @ x0 = 0 for pixels of cameras with K (HZ 9.12)."""
    K_inverse = np.linalg.inv(K)
    return np.asarray(K_inverse.T @ essential(T_1_0) @ K_inverse, np.float64)


def sampson_distance(F_1_0: Float, points0: Float, points1: Float) -> Float:
    """Return how far each pair (M,) is from the epipolar constraint, to first order (HZ 11.4.3).

    It is in the unit of the points: pixels for F, normalised coordinates for E.
    """
    x0, x1 = columns(points0), columns(points1)
    line1, line0 = F_1_0 @ x0, F_1_0[:, :2].T @ x1
    residual = np.abs((x1 * line1).sum(axis=0))
    gradient = np.sqrt((line1[:2] ** 2 + line0**2).sum(axis=0))
    # At the epipoles both are zero but for rounding, and every line fits.
    return np.asarray(residual / np.maximum(gradient, 1e-9 * np.abs(F_1_0).max()), np.float64)


def transfer_distance(H_1_0: Float, points0: Float, points1: Float) -> Float:
    """Return the distance (M,) of each point1 from where H sends its point0 (HZ 4.2.2).

    It is infinite where H sends point0 to infinity or behind the camera.
    """
    x, y, w = H_1_0 @ columns(points0)
    side = w * np.sign(np.linalg.det(H_1_0))
    scale = np.where(side > 0, w, np.nan)
    distance = np.hypot(x / scale - points1[:, 0], y / scale - points1[:, 1])
    return np.where(side > 0, distance, np.inf)


def parallax(T_1_0: Float, rays0: Float, rays1: Float) -> Float:
    """Return how far (M,) each ray1 has moved from where ray0's point at infinity would be seen.

    It is measured along the epipolar line, in the unit of `rays1`; negative values say by how much
    the point is behind camera 0 or camera 1. Unlike the sign of a triangulated depth (HZ 21.1) this
    tells noise from a point behind: a far point has a small value of either sign. It is minus
    infinity where the rotation takes ray0 behind camera 1.
    """
    rotated, t = T_1_0[:3, :3] @ columns(rays0), T_1_0[:3, 3]
    is_ahead = rotated[2] > 0
    infinity = rotated[:2] / np.where(is_ahead, rotated[2], np.nan)
    # The image of a point runs from `infinity` (far) to the epipole t (at camera 0): if t is ahead,
    # no further; if t is behind, on to the border of the view.
    line = t[:2, None] - infinity * t[2]
    length = np.maximum(np.sqrt((line**2).sum(axis=0)), np.finfo(float).tiny)
    moved = ((rays1.T - infinity) * line).sum(axis=0) / length
    if t[2] > 0:
        left = length / t[2] - moved
        moved = np.where(left < 0, np.minimum(moved, left), moved)
    return np.where(is_ahead, moved, -np.inf)


def epipole_distance(T_1_0: Float, points0: Float, points1: Float, K: Float) -> Float:
    """Return how far (M,) each match is from an epipole, in the view where it is nearer (HZ 9.2).

    The epipole of a view, in pixels, is where it would see the other camera, ahead or behind.
    """
    R, t = T_1_0[:3, :3], T_1_0[:3, 3]
    distance = np.full(len(points0), np.inf)
    for centre, points in ((R.T @ t, points0), (t, points1)):
        x, y, depth = K @ centre
        if abs(depth) > 1e-9:
            away = np.hypot(points[:, 0] - x / depth, points[:, 1] - y / depth)
            distance = np.minimum(distance, away)
    return distance


def decompose_essential(E_1_0: Float) -> list[Float]:
    """Return the four motions T_1_0 (4, 4), of unit translation, that E stands for (HZ 9.6.2)."""
    U, _, Vt = np.linalg.svd(E_1_0)
    W = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    turns = [R * np.sign(np.linalg.det(R)) for R in (U @ W @ Vt, U @ W.T @ Vt)]
    return [from_rotation_translation(R, sign * U[:, 2]) for R in turns for sign in (1.0, -1.0)]


def motion_in_front(E_1_0: Float, rays0: Float, rays1: Float) -> Float:
    """Return the motion T_1_0 (4, 4) of E that puts most points in front of both cameras."""
    motions = decompose_essential(E_1_0)
    return max(motions, key=lambda T: int(np.sum(parallax(T, rays0, rays1) > 0)))


def normalised(points: Float, K: Float) -> Float:
    """Take K out of ideal pixels (N, 2)."""
    return np.asarray((points - K[:2, 2]) / np.diag(K)[:2], np.float64)


def homogeneous(points: Float) -> Float:
    """Append a column of ones to (N, 2)."""
    return np.column_stack([points, np.ones(len(points))])


def columns(points: Float) -> Float:
    """Return points (N, 2) as columns (3, N) with a last row of ones.

    One array for each coordinate: numpy computes with it several times faster than with rows.
    """
    x = np.ones((3, len(points)))
    x[:2] = points.T
    return x


def cross(a: Float, b: Float) -> Float:
    """Return the cross products (3, ...) of vectors (3, ...), a column each."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape))
    product[0] = a[1] * b[2] - a[2] * b[1]
    product[1] = a[2] * b[0] - a[0] * b[2]
    product[2] = a[0] * b[1] - a[1] * b[0]
    return product


def spread(points: Float) -> float:
    """Return the root-mean-square distance of points (N, 2) from the line that fits them best."""
    if len(points) < 3:
        return 0.0
    x, y = (values - values.mean() for values in points.T)
    half, xy = float(x @ x - y @ y) / 2, float(x @ y)
    smallest = float(x @ x + y @ y) / 2 - math.hypot(half, xy)
    return math.sqrt(max(smallest, 0.0) / len(points))
