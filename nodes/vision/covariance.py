"""How well a motion is known: covariances of rotation and direction, and how others take them.

The parameters of a motion T_1_0 = [R | t], |t| = 1, in this order:

- w (3), radians: R_true = Exp(w) R, a rotation on the left, about the axes of camera 1;
- u (2), radians: t_true = t cos|u| + B u sin|u| / |u|, where B = tangent_basis(t) (3, 2): its first
  column is normalise(e x t), e the axis along which t is shortest, its second t x first.

A motion has a covariance (5, 5) in rad^2; a rotation alone (3, 3), of w. Of a scene that looks
like a plane the plane has been marginalised. Of the length of the translation nothing is known.

The covariance is that of an M-estimator with the Cauchy loss (Huber, Robust Statistics, 1981,
section 7.6): k^2 E[psi^2] / E[psi']^2 (sum J^T J)^-1; k corrects for few matches, and the noise
comes from the residuals themselves. It supposes that matches err independently and alike, and that
the calibration is right: what K, the lens model or a rolling shutter add is not in it.

Back ends want an information matrix (6, 6) of a pose: see `information_6dof`.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nodes.vision.least_squares import cauchy_slopes, cauchy_weights
from nodes.vision.se3 import skew
from nodes.vision.two_view import columns, cross

Float = npt.NDArray[np.float64]
NUM_PARAMETERS = 5
MAX_CONDITION = 1e14
MIN_KEPT = 0.1  # of what the matches seem to tell

Order = Literal["g2o", "gtsam"]


def tangent_basis(t: Float) -> Float:
    """Return the basis B (3, 2) of the directions near t (3,), of unit norm."""
    turned = skew(t)
    first = -turned[:, np.argmin(np.abs(t))]
    first = first / np.linalg.norm(first)
    return np.column_stack([first, turned @ first])


def moved_direction(t: Float, u: Float) -> Float:
    """Return the unit vector that lies u (2,) radians from t (3,) along its tangent basis."""
    angle = float(np.linalg.norm(u))
    moved = t * np.cos(angle) + tangent_basis(t) @ u * np.sinc(angle / np.pi)
    return np.asarray(moved / np.linalg.norm(moved), np.float64)


def motion_covariance(
    T_1_0: Float, rays0: Float, rays1: Float, focal: Float, scale: float
) -> Float | None:
    """Return the covariance (5, 5) of a motion fitted to Sampson distances; None without matches.

    Noise in the points adds to the products of derivatives, as if they told more than they do; what
    it adds on average is taken off again (Kanatani, "Renormalization for unbiased estimation", ICCV
    1993).

    Args:
        T_1_0: (4, 4), unit translation.
        rays0, rays1: (M, 2) normalised coordinates of the matches it was fitted to.
        focal: (fx, fy), pixels.
        scale: of the Cauchy loss, pixels; near the noise of a coordinate.
    """
    if len(rays0) <= NUM_PARAMETERS:
        return None
    R, t = T_1_0[:3, :3], T_1_0[:3, 3]
    x1, rotated = columns(rays1), R @ columns(rays0)
    line1, line0 = skew(t) @ rotated, R.T @ skew(t).T @ x1
    gradient = np.concatenate([line1[:2], line0[:2]]) / np.tile(focal, 2)[:, None]
    weights = 1 / np.maximum((gradient**2).sum(axis=0), 1e-24)
    errors = (x1 * line1).sum(axis=0, keepdims=True) * np.sqrt(weights)
    basis = tangent_basis(t)
    J = _epipolar_derivative(t, basis, rotated, x1)
    noise = np.zeros((NUM_PARAMETERS, NUM_PARAMETERS))
    for k in range(2):
        shift = np.eye(3)[:, k, None] / focal[k]
        for moved in ((R @ shift, x1), (rotated, shift)):
            change = _epipolar_derivative(t, basis, *moved)
            noise += (change * weights) @ change.T
    normal = _renormalised((J * weights) @ J.T, scale**2 * noise)
    return m_estimate_covariance(errors, normal, scale, NUM_PARAMETERS)


def _epipolar_derivative(t: Float, basis: Float, rotated: Float, x1: Float) -> Float:
    """Return the derivative (5, M) of x1 . (t x r) by (w, u), where r = Exp(w) R x0 (3, M)."""
    by_w = x1 * (t @ rotated) - t[:, None] * (rotated * x1).sum(axis=0)  # r x (x1 x t)
    return np.concatenate([by_w, basis.T @ cross(rotated, x1)])


def _renormalised(normal: Float, noise: Float) -> Float:
    """Take the noise off the normal matrix (p, p), but leave a tenth in every direction."""
    root = np.linalg.cholesky(normal + np.eye(len(normal)) * 1e-12 * np.trace(normal))
    inverse = np.linalg.inv(root)
    shares, axes = np.linalg.eigh(inverse @ noise @ inverse.T)
    kept = np.maximum(1 - shares, MIN_KEPT)
    return np.asarray(root @ (axes * kept) @ axes.T @ root.T, np.float64)


def m_estimate_covariance(
    errors: Float, normal: Float, scale: float, num_parameters: int
) -> Float | None:
    """Return the covariance (p, p) of a minimum of the Cauchy loss; None where it is not defined.

    Args:
        errors: (d, M) residuals, of equal noise in each of the d coordinates.
        normal: (p, p), the sum of J^T J over their derivatives.
        scale: of the loss.
        num_parameters: how many were fitted to the errors.
    """
    dimensions, num = errors.shape
    squared = (errors**2).sum(axis=0)
    psi_squared = np.mean(cauchy_weights(squared, scale) ** 2 * squared) / dimensions
    slopes = cauchy_slopes(squared, scale, dimensions)
    slope, spare = float(np.mean(slopes)), num * dimensions - num_parameters
    if spare <= 0 or slope <= 0 or np.linalg.cond(normal) > MAX_CONDITION:
        return None
    # Of few matches, those with steep slopes were fitted better than the average tells.
    few = 1 + num_parameters / (num * dimensions) * float(np.var(slopes)) / slope**2
    factor = few**2 * psi_squared / slope**2 * num * dimensions / spare
    covariance = factor * np.linalg.inv(normal)
    return np.asarray((covariance + covariance.T) / 2, np.float64)


def squared_error(T_1_0: Float, covariance: Float, true_T_1_0: Float) -> float:
    """Return the squared error of a motion in units of its covariance, on average 5 or 3.

    Args:
        T_1_0: (4, 4), with its covariance (5, 5), or (3, 3) of the rotation alone.
        true_T_1_0: (4, 4), of a translation of any length.
    """
    turn = true_T_1_0[:3, :3] @ T_1_0[:3, :3].T
    error = np.asarray(Rotation.from_matrix(turn).as_rotvec(), np.float64)
    if len(covariance) == NUM_PARAMETERS:
        t, true_t = T_1_0[:3, 3], true_T_1_0[:3, 3]
        across = tangent_basis(t).T @ true_t
        length = max(float(np.linalg.norm(across)), np.finfo(float).tiny)
        angle = np.arctan2(length, t @ true_t)
        error = np.concatenate([error, across / length * angle])
    return float(error @ np.linalg.solve(covariance, error))


def information_6dof(T_1_0: Float, covariance: Float, order: Order = "g2o") -> Float:
    """Return the information matrix (6, 6) of a measured T_1_0 for a back end.

    With X the poses T_world_cam, T_1_0 measures X1^-1 X0: an edge from vertex 1 to vertex 0. Both
    back ends perturb it on the right, T_true = T_1_0 D with D small, about the axes of camera 0:

    - "g2o", EDGE_SE3:QUAT: rows are x, y, z of D's translation, then qx, qy, qz of its quaternion,
      that is half its rotation vector;
    - "gtsam", BetweenFactor of Pose3: rows are the rotation vector of D, then its translation. Take
      `information_root_6dof` and noiseModel.Gaussian.SqrtInformation: GTSAM factorises an
      information matrix by Cholesky, which a singular one does not allow.

    The length of the translation has no information, neither has the translation of a rotation:
    the matrix is singular on purpose, and something else must hold the length. Translations count
    in the unit of T_1_0's own.

    Args:
        T_1_0: (4, 4); its translation may have been given a length.
        covariance: (5, 5) or (3, 3) as above.
        order: which back end.
    """
    root = information_root_6dof(T_1_0, covariance, order)
    return np.asarray(root.T @ root, np.float64)


def information_root_6dof(T_1_0: Float, covariance: Float, order: Order = "gtsam") -> Float:
    """Return W (6, 6) so that W.T @ W is the information matrix of `information_6dof`.

    W times the error of a pose is white noise; rows that tell nothing are zero.
    """
    T_1_0, covariance = np.asarray(T_1_0, np.float64), np.asarray(covariance, np.float64)
    R, t = T_1_0[:3, :3], T_1_0[:3, 3]
    by_translation, by_rotation = np.zeros((2, len(covariance), 3))
    by_rotation[:3] = R
    if len(covariance) == NUM_PARAMETERS:
        length = float(np.linalg.norm(t))
        by_translation[3:] = tangent_basis(t / length).T @ R / length
    if order == "g2o":
        by_change = np.hstack([by_translation, 2 * by_rotation])
    else:
        by_change = np.hstack([by_rotation, by_translation])
    root = np.zeros((6, 6))
    root[: len(covariance)] = np.linalg.inv(np.linalg.cholesky(covariance)) @ by_change
    return root
