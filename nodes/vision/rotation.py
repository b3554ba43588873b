"""The rotation that explains the matches of two views best, as if all points were far away.

Conventions of nodes/vision/transfer.py: rays are normalised coordinates (M, 2), errors are pixels.
"""

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nodes.vision.covariance import m_estimate_covariance
from nodes.vision.least_squares import minimise, normal_equations
from nodes.vision.transfer import cross_rows, transfer

Float = npt.NDArray[np.float64]

NUM_PARAMETERS = 3
NUM_SAMPLES = 128  # 60 % outliers leave no sample without one with probability 2e-10
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
    frames0, frames1 = _frames(unit0[pairs]), _frames(unit1[pairs])
    rotations = np.concatenate([np.eye(3)[None], frames1 @ frames0.transpose(0, 2, 1)])
    rows = np.arange(len(rays0))
    if len(rows) > MAX_SCORED:
        rows = rng.choice(len(rays0), MAX_SCORED, replace=False)
    losses = _losses(rotations, unit0[rows], rays1[rows], focal, threshold_px)
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
    normal, _ = normal_equations(errors, derivative, np.ones(len(errors)))
    return m_estimate_covariance(errors, normal, scale, NUM_PARAMETERS)


def rotation_flow(R_1_0: Float, rays0: Float, focal: Float) -> float:
    """Return how far in pixels a rotation moves the points that stay in view, in the median."""
    q = np.column_stack([rays0, np.ones(len(rays0))]) @ R_1_0.T
    ahead = q[:, 2] > 0
    if not ahead.any():
        return 0.0
    moved = (q[ahead, :2] / q[ahead, 2:] - rays0[ahead]) * focal
    return float(np.median(np.hypot(moved[:, 0], moved[:, 1])))


def rotate(R: Float, rotation: Float) -> Float:
    """Return Exp(rotation) R."""
    return np.asarray(Rotation.from_rotvec(rotation).as_matrix() @ R, np.float64)


def _linearised(R: Float, rays0: Float, rays1: Float, focal: Float) -> tuple[Float, Float]:
    """Return errors (M, 2), and the derivative of the predicted by a rotation on the left."""
    moved = transfer(R, rays0, rays1, focal)
    return moved.errors, moved.derivative @ cross_rows(moved.rays @ R.T)


def _losses(
    rotations: Float, unit0: Float, rays1: Float, focal: Float, threshold_px: float
) -> Float:
    """Return of each rotation (S, 3, 3) the sum of squared errors cut off at the threshold."""
    q = unit0 @ rotations.transpose(0, 2, 1)
    depth = np.where(q[..., 2] > 0, q[..., 2], np.nan)
    dx = (q[..., 0] / depth - rays1[:, 0]) * focal[0]
    dy = (q[..., 1] / depth - rays1[:, 1]) * focal[1]
    squared = np.nan_to_num(dx**2 + dy**2, nan=np.inf)
    return np.asarray(np.sum(np.minimum(squared, threshold_px**2), axis=1), np.float64)


def _unit(rays: Float) -> Float:
    x = np.column_stack([rays, np.ones(len(rays))])
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float64)


def _frames(pairs: Float) -> Float:
    """Return (S, 3, 3): as columns, the sum, the cross product, and their own, of each pair.

    Two views' frames of a pair differ by the rotation that splits the error between its rays.
    """
    first = pairs[:, 0] + pairs[:, 1]
    normal = np.cross(pairs[:, 0], pairs[:, 1])
    first = first / np.linalg.norm(first, axis=1, keepdims=True)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    # Two rays in one place have no normal: any will do, as their sample is a poor one.
    normal = np.where(length > 1e-12, normal / np.maximum(length, 1e-12), _any_normal(first))
    return np.stack([first, normal, np.cross(first, normal)], axis=2)


def _any_normal(directions: Float) -> Float:
    normal = np.cross(directions, [0.0, 1.0, 0.0])
    return np.asarray(normal / np.linalg.norm(normal, axis=1, keepdims=True), np.float64)
