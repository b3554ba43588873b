"""When a simple model of the motion suffices beside a richer one."""

import numpy as np
import pytest
from two_view_scene import VGA, Scene, make_scene

from nodes.vision.models import Models, View, fit_models, is_significant, suffices
from nodes.vision.motion import estimate_homography, estimate_motion
from nodes.vision.robust import Limits, sample_motion_poselib

STILL = (0.0, 0.0, 0.0)


def fit(points0: np.ndarray, points1: np.ndarray) -> tuple[Models, View]:
    motion = estimate_motion(sample_motion_poselib, points0, points1, VGA.K, Limits(), 1)
    H, _ = estimate_homography(points0, points1, Limits(3.0), 1)
    view = View(points0, points1, VGA.K)
    return fit_models(view, motion.T_1_0, H, 1.0, 1), view


def verdicts(scene: Scene) -> dict[str, bool]:
    """Return which simple model suffices beside which richer one."""
    models, _ = fit(*scene.ideal)
    return {
        "identity/rotation": suffices(models.identity, models.rotation),
        "rotation/homography": suffices(models.rotation, models.homography),
        "rotation/essential": suffices(models.rotation, models.essential),
        "homography/essential": models.homography is not None
        and suffices(models.homography, models.essential),
    }


@pytest.mark.parametrize("outliers", [0.0, 0.4])
def test_each_kind_of_motion_needs_its_own_model_and_no_more(outliers: float) -> None:
    noisy = {"noise_px": 0.5, "outlier_fraction": outliers}
    still = verdicts(make_scene(translation=STILL, rotation_deg=STILL, **noisy))
    turn = verdicts(make_scene(translation=STILL, **noisy))
    plane = verdicts(make_scene(plane_fraction=1.0, **noisy))
    depth = verdicts(make_scene(**noisy))
    assert list(still.values()) == [True, True, True, True]
    assert list(turn.values()) == [False, True, True, True]
    assert list(plane.values()) == [False, False, False, True]
    assert list(depth.values()) == [False, False, False, False]


def test_a_model_that_is_not_there_asks_for_nothing() -> None:
    models, _ = fit(*make_scene().ideal)
    assert suffices(models.identity, None)


@pytest.mark.parametrize("noise_px", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("translation", [STILL, (0.3, 0.05, 0.2)])
def test_the_noise_is_estimated_within_a_fifth(
    noise_px: float, translation: tuple[float, float, float]
) -> None:
    scene = make_scene(translation=translation, noise_px=noise_px, outlier_fraction=0.3)
    assert fit(*scene.ideal)[0].sigma == pytest.approx(noise_px, rel=0.2)


def test_a_fifth_of_a_pixel_of_parallax_among_noise_of_a_third_is_noticed() -> None:
    """Neither a plane nor depth is needed: many matches tell a little together."""
    near = make_scene(num_points=900, noise_px=0.3, translation=(0.01, 0.0, 0.0))
    found = verdicts(near)
    assert not (found["rotation/homography"] and found["rotation/essential"])


def test_a_wrong_calibration_makes_no_translation_of_a_turn() -> None:
    scene = make_scene(translation=STILL, rotation_deg=(0.0, 12.0, 0.0), noise_px=0.2)
    K = VGA.K * np.array([[1.003], [1.003], [1.0]])
    K[:2, 2] = VGA.K[:2, 2]
    points0, points1 = scene.ideal
    motion = estimate_motion(sample_motion_poselib, points0, points1, K, Limits(), 1)
    H, _ = estimate_homography(points0, points1, Limits(3.0), 1)
    models = fit_models(View(points0, points1, K), motion.T_1_0, H, 1.0, 1)
    assert models.rotation.sigma > 0.4
    assert suffices(models.rotation, models.homography)
    assert suffices(models.rotation, models.essential)


def test_chance_and_seven_matches_are_not_significant_but_a_turn_is() -> None:
    turn, view = fit(*make_scene(translation=STILL, noise_px=0.5, outlier_fraction=0.6).ideal)
    assert is_significant(turn.rotation, view)
    assert not is_significant(turn.identity, view)
    for num in (20, 200, 2000):
        chance, view = fit(*np.random.default_rng(num).uniform([0, 0], [640, 480], (2, num, 2)))
        assert not is_significant(chance.rotation, view)
        assert not is_significant(chance.identity, view)
