"""Robust non-linear least squares: the Cauchy loss, minimised by Levenberg and Marquardt.

Every problem here has a few parameters and many points, and its state is no plain vector (a
rotation, a direction). It is given by two functions: `evaluate` returns the errors (d, M) of a
state, measured minus predicted, and the derivative (p, d, M) of the predicted by a small change;
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
SMALL_STEP = 0.05  # of the deviation of the parameters
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
    squared = (errors**2).sum(axis=0)
    loss, damping = cauchy_loss(squared, scale), FIRST_DAMPING
    for _ in range(MAX_ITERATIONS):
        step, length = _step(errors, derivative, squared, scale, damping)
        tried = update(state, step)
        if length < SMALL_STEP:
            return tried
        tried_errors, tried_derivative = evaluate(tried)
        tried_squared = (tried_errors**2).sum(axis=0)
        tried_loss = cauchy_loss(tried_squared, scale)
        if tried_loss <= loss:
            state, errors, derivative = tried, tried_errors, tried_derivative
            squared, loss = tried_squared, tried_loss
            damping /= 10
        elif length < SMALL_FAILURE or damping > MAX_DAMPING:
            break
        else:
            damping *= 10
    return state


def normal_equations(errors: Float, derivative: Float, weights: Float) -> tuple[Float, Float]:
    """Return sum w J J^T (p, p) and sum w J errors (p,) of errors (d, M) and J (p, d, M)."""
    num_parameters = len(derivative)
    weighted = (derivative * weights).reshape(num_parameters, -1)
    return weighted @ derivative.reshape(num_parameters, -1).T, weighted @ errors.ravel()


def _step(
    errors: Float, derivative: Float, squared: Float, scale: float, damping: float
) -> tuple[Float, float]:
    """Return the change of the parameters, and how many of their deviations it is long.

    The weighted normal equations alone overrate the curvature, as weights fall along the way.
    """
    weights = cauchy_weights(squared, scale)
    A, g = normal_equations(errors, derivative, weights)
    # The mean of `cauchy_slopes` over that of the weights.
    slope = 1 - 2 / len(errors) * (1 - float(weights @ weights) / float(weights.sum()))
    A *= max(slope, MIN_CURVATURE)
    diagonal = A.diagonal()
    damped = A.copy()
    damped.flat[:: len(A) + 1] += damping * diagonal + 1e-12 * diagonal.max() + TINY
    step = np.asarray(np.linalg.solve(damped, g), np.float64)
    return step, math.sqrt(max(float(step @ A @ step), 0.0)) / scale


def noise_sigma(squared: Float, dimensions: int, start_px: float) -> float:
    """Return the deviation of each coordinate of errors (M, dimensions), despite outliers.

    The root mean square of the errors within 2.5 (one coordinate) or 3 sigma (two), repeated from
    `start_px` on, and corrected for what the cut takes from a normal distribution.
    """
    cut, loss = _CUTS[dimensions]
    rising = np.sort(squared)
    sums = np.cumsum(rising)
    limit = start_px
    for _ in range(MAX_SIGMA_ITERATIONS):
        num = int(rising.searchsorted(limit**2, side="right"))
        if not num:
            break
        sigma = math.sqrt(float(sums[num - 1]) / num / dimensions / loss)
        if abs(cut * sigma - limit) < 1e-3 * limit:
            break
        limit = min(cut * sigma, start_px)
    return limit / cut
