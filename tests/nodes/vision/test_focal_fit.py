import math

import numpy as np
import pytest
from two_view_scene import VGA, Scene, make_scene

from nodes.vision.focal_fit import View, fit_view, linearised, moved
from nodes.vision.se3 import from_rotation_vector

HALF = 320.0


def halves(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    centre = (scene.camera.cx, scene.camera.cy)
    return (scene.pixels_prev - centre) / HALF, (scene.pixels_cur - centre) / HALF


def true_view(scene: Scene) -> View:
    T = scene.T_cur_prev.copy()
    T[:3, 3] = scene.direction
    return View(T, math.log(VGA.fx / HALF))


def test_derivatives_agree_with_differences() -> None:
    rng = np.random.default_rng(0)
    view = View(from_rotation_vector(rng.normal(0, 0.1, 3), np.array([0.6, 0.0, 0.8])), 0.3)
    points0, points1 = rng.uniform(-1, 1, (2, 20, 2))
    _, jacobian = linearised(view, points0, points1)
    for column, step in zip(jacobian.T, 1e-6 * np.eye(6), strict=True):
        ahead, _ = linearised(moved(view, step), points0, points1)
        behind, _ = linearised(moved(view, -step), points0, points1)
        assert column == pytest.approx((ahead - behind) / 2e-6, abs=1e-6)


def test_exact_points_give_the_exact_focal_length_from_a_rough_start() -> None:
    scene = make_scene()
    truth = true_view(scene)
    start = moved(truth, np.array([0.01, -0.01, 0.01, 0.02, -0.02, 0.2]))
    view, sigma = fit_view(start, *halves(scene), min_noise=1e-4)
    assert math.exp(view.log_focal) * HALF == pytest.approx(VGA.fx, rel=1e-3)
    assert np.abs(view.T_1_0 - truth.T_1_0).max() < 1e-3
    assert sigma < 0.2


def test_noise_does_not_bias_the_focal_length() -> None:
    errors = []
    for seed in range(20):
        scene = make_scene(seed, rotation_deg=(2, 4, -3), noise_px=0.5)
        view, _ = fit_view(true_view(scene), *halves(scene), min_noise=1e-4)
        errors.append(view.log_focal - math.log(VGA.fx / HALF))
    assert abs(np.mean(errors)) < 3 * np.std(errors) / math.sqrt(20) + 0.003


def test_more_noise_makes_it_less_certain() -> None:
    sigmas = []
    for noise_px in (0.2, 2.0):
        scene = make_scene(noise_px=noise_px)
        sigmas.append(fit_view(true_view(scene), *halves(scene), min_noise=1e-5)[1])
    assert sigmas[1] > 1.5 * sigmas[0]


def test_a_forward_motion_leaves_it_open_even_without_noise() -> None:
    scene = make_scene(rotation_deg=(0, 0, 0), translation=(0, 0, 0.6))
    assert fit_view(true_view(scene), *halves(scene), min_noise=1e-5)[1] > 0.3
