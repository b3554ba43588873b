"""The radial-tangential lens model (Brown 1966; OpenCV's order k1 k2 p1 p2 [k3 [k4 k5 k6 ...]]).

Points are normalised coordinates (x / z, y / z), (N, 2) float64.
"""

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

NUM_COEFFS = (4, 5, 8, 12, 14)
"""How many coefficients there may be: 8 are a ratio of polynomials, beyond are thin prism, tilt."""

_MAX_NEWTON_STEPS = 20
_TOLERANCE = 1e-10  # of normalised coordinates: below 1e-6 pixels at any focal length


def distort(points: Float, distortion: tuple[float, ...]) -> tuple[Float, Float]:
    """Distort normalised coordinates (N, 2); return them and the Jacobian (N, 2, 2)."""
    if not len(points):
        return points, np.empty((0, 2, 2))
    rays = np.column_stack([points, np.ones(len(points))])
    zero = np.zeros(3)
    distorted, jacobian = cv2.projectPoints(rays, zero, zero, np.eye(3), np.array(distortion))
    # At depth 1 the derivative by the translation's x, y is that by the normalised coordinates.
    return (
        np.asarray(distorted, np.float64).reshape(-1, 2),
        np.asarray(jacobian, np.float64)[:, 3:5].reshape(-1, 2, 2),
    )


def undistort(distorted: Float, distortion: tuple[float, ...]) -> Float:
    """Invert `distort` by Newton's method; NaN where it has no inverse.

    Under strong barrel distortion OpenCV's fixed-point iteration ends half a pixel off.
    """
    points = distorted.copy()
    with np.errstate(all="ignore"):
        for _ in range(_MAX_NEWTON_STEPS):
            found, jacobian = distort(points, distortion)
            residual = found - distorted
            if not np.any(np.abs(residual) > _TOLERANCE):
                break
            points -= _solve(jacobian, residual)
    # Far out the polynomial turns back: what it maps from there, or from across, is no solution.
    is_solved = np.all(np.abs(residual) <= _TOLERANCE, axis=1)
    is_unfolded = (_determinant(jacobian) > 0) & (np.sum(points * distorted, axis=1) >= 0)
    points[~(is_solved & is_unfolded)] = np.nan
    return points


def max_angle(distortion: tuple[float, ...], direction: Float) -> float:
    """Return the angle from the axis, radians, at which the model turns back along `direction`.

    direction: (2,) of unit norm. Beyond it two rays share a pixel; pi / 2 where it never turns.
    """
    angles = np.linspace(0, np.pi / 2, 2000)[:-1]
    _, jacobian = distort(np.tan(angles)[:, None] * direction, distortion)
    turns = np.flatnonzero(~(_determinant(jacobian) > 0))
    return float(angles[turns[0]]) if len(turns) else np.pi / 2


def _solve(A: Float, b: Float) -> Float:
    """Solve A x = b for each of A (N, 2, 2), b (N, 2); not finite where A is singular."""
    x = A[:, 1, 1] * b[:, 0] - A[:, 0, 1] * b[:, 1]
    y = A[:, 0, 0] * b[:, 1] - A[:, 1, 0] * b[:, 0]
    return np.asarray(np.column_stack([x, y]) / _determinant(A)[:, None], np.float64)


def _determinant(A: Float) -> Float:
    return np.asarray(A[:, 0, 0] * A[:, 1, 1] - A[:, 0, 1] * A[:, 1, 0], np.float64)
