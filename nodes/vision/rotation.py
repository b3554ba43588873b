"""The rotation that explains the matches of two views best, as if all points were far away.

Conventions of nodes/vision/transfer.py: rays are normalised coordinates (M, 2), errors are pixels.
"""

import math

import numpy as np
import numpy.typing as npt

from nodes.vision.covariance import m_estimate_covariance
from nodes.vision.least_squares import minimise, normal_equations
from nodes.vision.se3 import skew
from nodes.vision.transfer import transfer
from nodes.vision.two_view import columns, cross

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

NUM_PARAMETERS = 3
NUM_SAMPLES = 128  # 60 % outliers leave no sample without one with probability 2e-10
NO_DEPTH = 1e-9
MAX_SCORED = 128  # more matches do not change which sample is the best


def sample_rotation(
    rays0: Float, rays1: Float, focal: Float, threshold_px: float, seed: int
) -> Float:
    """Return R_1_0 (3, 3), of rotations through two matches the one with the least truncated error.

    The identity is one of those tried.
    """
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, len(rays0), (NUM_SAMPLES, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    unit0, unit1 = _unit(rays0), _unit(rays1)
    frames0, frames1 = (_frames(*(unit[:, row] for row in pairs.T)) for unit in (unit0, unit1))
    rotations = np.concatenate([np.eye(3)[None], frames1 @ frames0.transpose(0, 2, 1)])
    rows = np.arange(len(rays0))
    if len(rows) > MAX_SCORED:
        rows = rng.choice(len(rays0), MAX_SCORED, replace=False)
    points1 = (rays1[rows] * focal).T.astype(np.float32)
    losses = _losses(rotations, unit0[:, rows], points1, focal, threshold_px)
    return np.asarray(rotations[np.argmin(losses)], np.float64)


def refine_rotation(R_1_0: Float, rays0: Float, rays1: Float, focal: Float, scale: float) -> Float:
    """Minimise the Cauchy loss of the transfer errors, from R_1_0 on."""

    def evaluate(R: Float) -> tuple[Float, Float]:
        return _linearised(R, rays0, rays1, focal)

    return minimise(R_1_0, evaluate, rotate, scale)


def rotation_covariance(
    R_1_0: Float, rays0: Float, rays1: Float, focal: Float, scale: float
) -> Float | None:
    """Return the covariance (3, 3) of a refined rotation, as in nodes/vision/covariance.py."""
    errors, derivative = _linearised(R_1_0, rays0, rays1, focal)
    normal, _ = normal_equations(errors, derivative, np.ones(errors.shape[1]))
    return m_estimate_covariance(errors, normal, scale, NUM_PARAMETERS)


def rotation_flow(R_1_0: Float, rays0: Float, focal: Float) -> float:
    """Return how far in pixels a rotation moves the points that stay in view, in the median."""
    q = R_1_0 @ columns(rays0)
    is_ahead = q[2] > 0
    if not is_ahead.any():
        return 0.0
    x, y = (q[:2, is_ahead] / q[2, is_ahead] - rays0[is_ahead].T) * focal[:, None]
    return float(np.sqrt(np.median(x**2 + y**2)))


def rotate(R: Float, rotation: Float) -> Float:
    """Return Exp(rotation) R."""
    angle = math.sqrt(float(rotation @ rotation))
    if angle == 0:
        return R
    # Rodrigues' formula; scipy's Rotation takes five times as long for a single one.
    axis = skew(rotation / angle)
    return np.asarray(R + (math.sin(angle) * axis + (1 - math.cos(angle)) * axis @ axis) @ R)


def _linearised(R: Float, rays0: Float, rays1: Float, focal: Float) -> tuple[Float, Float]:
    """Return errors (2, M), and the derivative of the predicted by a rotation on the left."""
    moved = transfer(R, rays0, rays1, focal)
    return moved.errors, moved.by_rotation


def _losses(
    rotations: Float, unit0: Float, points1: Float32, focal: Float, threshold_px: float
) -> Float:
    """Return of each rotation (S, 3, 3) the sum of squared errors cut off at the threshold."""
    K = np.diag([*focal, 1.0])
    rows = np.moveaxis(K @ rotations, 1, 0).astype(np.float32)  # single precision will do
    x, y, depth = rows @ unit0.astype(np.float32)
    np.maximum(depth, np.float32(NO_DEPTH), out=depth)  # what is behind is seen nowhere near
    dx, dy = x / depth - points1[0], y / depth - points1[1]
    return np.asarray(np.minimum(dx * dx + dy * dy, threshold_px**2).sum(axis=1), np.float64)


def _unit(rays: Float) -> Float:
    """Return unit vectors (3, M)."""
    x = columns(rays)
    return np.asarray(x / _lengths(x), np.float64)


def _frames(first: Float, second: Float) -> Float:
    """Return (S, 3, 3): as columns, the sum, the cross product, and their own, of each pair (3, S).

    Two views' frames of a pair differ by the rotation that splits the error between its rays.
    """
    along = first + second
    along /= _lengths(along)
    normal = cross(first, second)
    length = _lengths(normal)
    # Two rays in one place have no normal: any will do, as their sample is a poor one.
    other = cross(along, np.array([[0.0], [1.0], [0.0]]))
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), other / _lengths(other))
    return np.stack([along, normal, cross(along, normal)]).transpose(2, 1, 0)


def _lengths(vectors: Float) -> Float:
    return np.asarray(np.sqrt((vectors**2).sum(axis=0)), np.float64)
