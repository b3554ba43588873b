"""Robust least squares, and the noise despite outliers."""

import numpy as np
import pytest

from nodes.vision.least_squares import cauchy_loss, cauchy_slopes, minimise, noise_sigma

LINE = np.linspace(0, 1, 200)


def fit_line(values: np.ndarray, scale: float) -> np.ndarray:
    def evaluate(line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        derivative = np.stack([LINE, np.ones(200)])[:, None]
        return (values - LINE * line[0] - line[1])[None], derivative

    return minimise(np.zeros(2), evaluate, lambda line, step: line + step, scale)


def test_a_line_is_found_among_a_quarter_of_outliers() -> None:
    rng = np.random.default_rng(0)
    values = 3 * LINE - 1 + rng.normal(0, 0.01, 200)
    values[::4] += rng.uniform(1, 5, 50)
    assert np.abs(fit_line(values, 0.01) - [3, -1]).max() < 0.01


def test_a_curve_is_followed_to_its_minimum_from_afar() -> None:
    values = 0.5 * np.exp(2 * LINE) + np.random.default_rng(0).normal(0, 0.01, 200)

    def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        curve = x[1] * np.exp(x[0] * LINE)
        derivative = np.stack([curve * LINE, curve / x[1]])[:, None]
        return (values - curve)[None], derivative

    found = minimise(np.array([-1.0, 3.0]), evaluate, lambda x, step: x + step, 0.3)
    assert np.abs(found - [2, 0.5]).max() < 0.01


def test_errors_that_nothing_moves_leave_the_state() -> None:
    found = minimise(
        np.ones(2), lambda _: (np.ones((1, 3)), np.zeros((2, 1, 3))), lambda x, s: x + s, 1.0
    )
    assert found.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("dimensions", [1, 2])
def test_the_slopes_are_the_growth_of_the_gradient_of_the_loss(dimensions: int) -> None:
    e, h = np.array([0.7, 1.1])[:dimensions], 1e-4
    loss = lambda x: cauchy_loss(np.array([x @ x]), 0.8)  # noqa: E731
    second = [(loss(e + h * a) - 2 * loss(e) + loss(e - h * a)) / h**2 for a in np.eye(dimensions)]
    (slope,) = cauchy_slopes(np.array([e @ e]), 0.8, dimensions)
    assert slope == pytest.approx(np.mean(second), rel=1e-4)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0])
def test_the_noise_is_found_among_outliers(dimensions: int, sigma: float) -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(0, sigma, (2000, dimensions))
    errors[:600] = rng.uniform(-200, 200, (600, dimensions))
    assert noise_sigma(np.sum(errors**2, axis=1), dimensions, 3.0) == pytest.approx(sigma, rel=0.08)


def test_the_noise_of_nothing_and_of_exact_errors_is_defined() -> None:
    assert noise_sigma(np.empty(0), 2, 3.0) == 1.0
    assert noise_sigma(np.zeros(50), 1, 3.0) < 1e-6
