"""The equidistant lens model of fisheye cameras (Kannala & Brandt, PAMI 2006, equation 6).

A ray at the angle theta from the axis is seen at the distance

    r(theta) = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)

from the principal point, in focal lengths; OpenCV's fisheye module and Kalibr count k1 to k4 alike.
A ray may come from beside the camera or from behind it: theta is from 0 to `max_angle`.
"""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

NUM_COEFFS = 4

_MAX_STEPS = 60
_TOLERANCE = 1e-14


def distort(points: Float, distortion: tuple[float, ...]) -> Float:
    """Map points (N, 3) of the camera's frame to distorted coordinates (N, 2).

    NaN beyond `max_angle`, and for the camera's own centre.
    """
    across = np.hypot(points[:, 0], points[:, 1])
    theta = np.arctan2(across, points[:, 2])
    is_seen = (theta <= max_angle(distortion)) & ((across > 0) | (points[:, 2] > 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # on the axis, r / across has the limit 1 / z
        scale = np.where(across > 0, _radius(theta, distortion) / across, 1 / points[:, 2])
    return np.asarray(points[:, :2] * np.where(is_seen, scale, np.nan)[:, None], np.float64)


def rays(distorted: Float, distortion: tuple[float, ...]) -> Float:
    """Return the unit vectors (N, 3) that are seen at distorted coordinates (N, 2).

    NaN where none is: further out than the ray at `max_angle`.
    """
    radius = np.hypot(distorted[:, 0], distorted[:, 1])
    theta = _angle(radius, distortion)
    with np.errstate(invalid="ignore"):
        across = np.where(radius > 0, np.sin(theta) / radius, 1.0)
    return np.column_stack([distorted * across[:, None], np.cos(theta)])


@lru_cache(maxsize=64)
def max_angle(distortion: tuple[float, ...]) -> float:
    """Return the angle, radians, up to which r(theta) rises; at most pi.

    Beyond it the polynomial folds: two rays would share a pixel.
    """
    k1, k2, k3, k4 = distortion or (0.0,) * NUM_COEFFS
    roots = np.roots([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])  # of dr / dtheta, in theta^2
    is_turn = (np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)
    turns = np.sqrt(roots.real[is_turn])
    return float(min([math.pi, *turns]))


def _radius(theta: Float, distortion: tuple[float, ...]) -> Float:
    k1, k2, k3, k4 = distortion or (0.0,) * NUM_COEFFS
    square = theta * theta
    series = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
    return np.asarray(theta * series, np.float64)


def _slope(theta: Float, distortion: tuple[float, ...]) -> Float:
    k1, k2, k3, k4 = distortion or (0.0,) * NUM_COEFFS
    square = theta * theta
    series = 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))
    return np.asarray(series, np.float64)


def _angle(radius: Float, distortion: tuple[float, ...]) -> Float:
    """Invert r(theta) by Newton's method, kept between bounds that close in; NaN beyond its top."""
    top = max_angle(distortion)
    is_reached = radius <= _radius(np.array([top]), distortion)[0]
    radius = np.where(is_reached, radius, np.nan)
    low, high = np.zeros_like(radius), np.full_like(radius, top)
    theta = np.clip(radius, 0, top)
    for _ in range(_MAX_STEPS):
        residual = _radius(theta, distortion) - radius
        low, high = np.where(residual <= 0, theta, low), np.where(residual >= 0, theta, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = theta - residual / _slope(theta, distortion)
        is_inside = (newton >= low) & (newton <= high)
        step = np.where(is_inside, newton, (low + high) / 2) - theta
        theta = np.where(np.isnan(radius), np.nan, theta + step)
        if not np.any(np.abs(step) > _TOLERANCE):
            break
    return np.asarray(theta, np.float64)
