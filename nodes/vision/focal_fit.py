"""Fits motion and focal length to a pair together, and says how certain the focal length is.

`points0` and `points1` are (M, 2) float64, row by row a match, from the centre of the picture in
units of half its longer side, which is the unit of focal lengths here too.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.se3 import from_rotation_vector, skew
from nodes.vision.two_view import homogeneous

Float = npt.NDArray[np.float64]

PRINCIPAL_POINT_SIGMA = 0.06  # its usual distance from the centre of the picture
DISTORTION_SIGMA = 0.05  # the usual radial shift at distance 1 from the centre
LOG_FOCAL_SIGMA = 10.0  # says nothing, but keeps the normal matrix regular
MAX_STEPS = 15
MIN_GAIN = 1e-3  # of the cost; less is no progress
MAX_LOG_STEP = 0.5
MAX_DAMPING = 1e4

_PRIOR = np.diag([1e-9] * 5 + [LOG_FOCAL_SIGMA**-2])
_LENS_PRIOR = np.diag([PRINCIPAL_POINT_SIGMA**-2] * 2 + [DISTORTION_SIGMA**-2])


@dataclass(frozen=True, eq=False)
class View:
    """What is fitted: T_1_0 (4, 4) with unit translation, and the logarithm of the focal length."""

    T_1_0: Float
    log_focal: float


def fit_view(start: View, points0: Float, points1: Float, min_noise: float) -> tuple[View, float]:
    """Minimise the Cauchy loss of the Sampson distances.

    By Levenberg-Marquardt (Hartley & Zisserman, A6.2) with the weights of the loss. The lens is
    taken for an ideal one: fitted as well, it would follow the noise, and bias the focal length.

    Args:
        start: a view that fits roughly.
        points0, points1: matches without gross outliers.
        min_noise: the least standard deviation to assume of a distance.

    Returns:
        The view, and the standard deviation of its log_focal under noise and an unknown lens.
    """
    view, damping = start, 1e-3
    residual, jacobian = linearised(view, points0, points1)
    scale = max(float(np.median(np.abs(residual))), min_noise)
    cost = _cost(residual, scale)
    for _ in range(MAX_STEPS):
        trial = moved(view, _step(residual, jacobian, scale, damping))
        trial_residual, trial_jacobian = linearised(trial, points0, points1)
        gain = cost - _cost(trial_residual, scale)
        damping *= 0.1 if gain > 0 else 10.0
        if gain > 0:
            view, residual, jacobian, cost = trial, trial_residual, trial_jacobian, cost - gain
        if 0 < gain < MIN_GAIN or damping > MAX_DAMPING:
            break
    noise = max(1.4826 * float(np.median(np.abs(residual))), min_noise)
    return view, _sigma(np.hstack([jacobian, _by_lens(view, points0, points1)]), noise)


def _cost(residual: Float, scale: float) -> float:
    return 0.5 * float(np.sum(np.log1p((residual / scale) ** 2)))


def _step(residual: Float, jacobian: Float, scale: float, damping: float) -> Float:
    weighted = jacobian.T / (scale**2 + residual**2)
    normal = weighted @ jacobian + _PRIOR
    step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), weighted @ residual)
    step[5] = np.clip(step[5], -MAX_LOG_STEP, MAX_LOG_STEP)
    return np.asarray(step, np.float64)


def _sigma(jacobian: Float, noise: float) -> float:
    """Return the standard deviation of log_focal where the lens (the last 3) has its prior."""
    information = jacobian.T @ jacobian / noise**2
    information[:6, :6] += _PRIOR
    information[6:, 6:] += _LENS_PRIOR
    return math.sqrt(np.linalg.inv(information)[5, 5])


def moved(view: View, step: Float) -> View:
    """Move by a rotation (3), a change of the direction (2), and one of log_focal."""
    direction = view.T_1_0[:3, 3] + _across(view.T_1_0[:3, 3]) @ step[3:5]
    T_1_0 = from_rotation_vector(step[:3], np.zeros(3)) @ view.T_1_0
    T_1_0[:3, 3] = direction / np.linalg.norm(direction)
    return View(T_1_0, view.log_focal + float(step[5]))


def linearised(view: View, points0: Float, points1: Float) -> tuple[Float, Float]:
    """Return the signed Sampson distances (M,) and their derivatives (M, 6) by a step.

    A distance is n / g: the algebraic error over its gradient, which are the parts of the epipolar
    lines. What g contributes is small but always of one sign, and would bias the focal length.
    """
    x0, x1 = homogeneous(points0), homogeneous(points1)
    F, dF = _fundamental(view), _derivatives(view)
    n, gradient, g = _lines(F, x0, x1)
    n_slopes = (x1[:, :, None] * x0[:, None, :]).reshape(-1, 9) @ dF.reshape(-1, 9).T
    slopes = np.concatenate([dF[:, :2] @ x0.T, dF.transpose(0, 2, 1)[:, :2] @ x1.T], axis=1)
    g_slopes = np.einsum("mi,pim->mp", gradient, slopes) / g[:, None]
    residual = n / g
    return residual, (n_slopes - residual[:, None] * g_slopes) / g[:, None]


def _by_lens(view: View, points0: Float, points1: Float) -> Float:
    """Return the derivatives (M, 3) of the distances by principal point (x, y) and distortion."""
    _, gradient, g = _lines(_fundamental(view), homogeneous(points0), homogeneous(points1))
    lines1, lines0 = gradient[:, :2], gradient[:, 2:]
    radial = np.sum(lines1 * points1, axis=1) * np.sum(points1**2, axis=1)
    radial += np.sum(lines0 * points0, axis=1) * np.sum(points0**2, axis=1)
    return np.column_stack([-lines1 - lines0, radial]) / g[:, None]


def _lines(F: Float, x0: Float, x1: Float) -> tuple[Float, Float, Float]:
    """Return the algebraic errors (M,), their gradients by x1 and x0 (M, 4), and those' lengths."""
    lines1, lines0 = x0 @ F.T, x1 @ F
    gradient = np.hstack([lines1[:, :2], lines0[:, :2]])
    g = np.maximum(np.linalg.norm(gradient, axis=1), 1e-9 * np.abs(F).max())
    return np.sum(x1 * lines1, axis=1), gradient, g


def _fundamental(view: View) -> Float:
    """Return F_1_0 (3, 3) times the square of the focal length."""
    R, t = view.T_1_0[:3, :3], view.T_1_0[:3, 3]
    return skew(t) @ R * _focal_powers(view)


def _derivatives(view: View) -> Float:
    """Return those of F, (6, 3, 3), by a step."""
    R, t = view.T_1_0[:3, :3], view.T_1_0[:3, 3]
    turns = [skew(t) @ skew(axis) @ R for axis in np.eye(3)]
    tilts = [skew(across) @ R for across in _across(t).T]
    by_focal = skew(t) @ R * np.array([[0, 0, 1], [0, 0, 1], [1, 1, 2]])
    return np.stack([*turns, *tilts, by_focal]) * _focal_powers(view)


def _focal_powers(view: View) -> Float:
    scale = np.array([1.0, 1.0, math.exp(view.log_focal)])
    return np.outer(scale, scale)


def _across(t: Float) -> Float:
    """Return two unit vectors (3, 2) across t."""
    return np.asarray(np.linalg.svd(t[:, None])[0][:, 1:], np.float64)
