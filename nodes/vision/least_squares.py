"""Robust non-linear least squares: the Cauchy loss, minimised by Levenberg and Marquardt.

Every problem here has a few parameters and many points, and its state is no plain vector (a
rotation, a direction). It is given by two functions: `evaluate` returns the errors (M, d) of a
state, measured minus predicted, and the derivative (M, d, p) of the predicted by a small change;
`update` applies such a change (p,) to a state.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
State = TypeVar("State")

MAX_ITERATIONS = 30
SMALL_STEP = 0.01  # of the deviation of the parameters
SMALL_FAILURE = 0.1  # the same, of a step that makes it worse: derivatives may be approximate
MIN_CURVATURE = 0.3  # of the weighted normal equations
TINY = np.finfo(float).tiny
FIRST_DAMPING, MAX_DAMPING = 1e-3, 1e6
MAX_SIGMA_ITERATIONS = 20
_CUTS = {1: (2.5, 0.9112), 2: (3.0, 0.9494)}
"""By the number of coordinates: the cut in sigmas, and the share of the variance below it."""


def cauchy_weights(squared: Float, scale: float) -> Float:
    """Return the weights (M,) of the Cauchy loss for squared errors (M,)."""
    return np.asarray(1 / (1 + squared / scale**2), np.float64)


def cauchy_slopes(squared: Float, scale: float, dimensions: int) -> Float:
    """Return how each weighted error (M,) grows with the error: psi' of the loss.

    With several dimensions it is the mean over all directions.
    """
    weights = cauchy_weights(squared, scale)
    return np.asarray(weights - 2 * weights**2 * squared / (dimensions * scale**2), np.float64)


def cauchy_loss(squared: Float, scale: float) -> float:
    """Return the Cauchy loss, scale^2 / 2 log(1 + squared / scale^2), of all squared errors."""
    return float(scale**2 / 2 * np.sum(np.log1p(squared / scale**2)))


def minimise(
    state: State,
    evaluate: Callable[[State], tuple[Float, Float]],
    update: Callable[[State, Float], State],
    scale: float,
) -> State:
    """Return the state near the given one that has the least Cauchy loss."""
    errors, derivative = evaluate(state)
    loss, damping = cauchy_loss(np.sum(errors**2, axis=1), scale), FIRST_DAMPING
    for _ in range(MAX_ITERATIONS):
        step, length = _step(errors, derivative, scale, damping)
        tried = update(state, step)
        tried_errors, tried_derivative = evaluate(tried)
        tried_loss = cauchy_loss(np.sum(tried_errors**2, axis=1), scale)
        if tried_loss <= loss:
            state, errors, derivative, loss = tried, tried_errors, tried_derivative, tried_loss
            damping /= 10
        elif length < SMALL_FAILURE or damping > MAX_DAMPING:
            break
        else:
            damping *= 10
        if length < SMALL_STEP:
            break
    return state


def normal_equations(errors: Float, derivative: Float, weights: Float) -> tuple[Float, Float]:
    """Return sum w J^T J (p, p) and sum w J^T errors (p,)."""
    num_parameters = derivative.shape[2]
    J = derivative.reshape(-1, num_parameters)
    w = np.repeat(weights, errors.shape[1])
    weighted = J.T * w
    return weighted @ J, weighted @ errors.ravel()


def _step(errors: Float, derivative: Float, scale: float, damping: float) -> tuple[Float, float]:
    """Return the change of the parameters, and how many of their deviations it is long.

    The weighted normal equations alone overrate the curvature, as weights fall along the way.
    """
    squared = np.sum(errors**2, axis=1)
    weights = cauchy_weights(squared, scale)
    A, g = normal_equations(errors, derivative, weights)
    slope = float(np.mean(cauchy_slopes(squared, scale, errors.shape[1])))
    A *= max(slope / float(np.mean(weights)), MIN_CURVATURE)
    diagonal = np.diag(A)
    damped = A + np.diag(damping * diagonal + 1e-12 * diagonal.max() + TINY)
    step = np.asarray(np.linalg.solve(damped, g), np.float64)
    return step, math.sqrt(max(float(step @ A @ step), 0.0)) / scale


def noise_sigma(squared: Float, dimensions: int, start_px: float) -> float:
    """Return the deviation of each coordinate of errors (M, dimensions), despite outliers.

    The root mean square of the errors within 2.5 (one coordinate) or 3 sigma (two), repeated from
    `start_px` on, and corrected for what the cut takes from a normal distribution.
    """
    cut, loss = _CUTS[dimensions]
    limit = start_px
    for _ in range(MAX_SIGMA_ITERATIONS):
        inside = squared[squared <= limit**2]
        if not len(inside):
            break
        sigma = float(np.sqrt(np.mean(inside) / dimensions / loss))
        if abs(cut * sigma - limit) < 1e-3 * limit:
            break
        limit = min(cut * sigma, start_px)
    return limit / cut
