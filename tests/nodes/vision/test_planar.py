"""Motions from the homography of a plane."""

import numpy as np
import pytest
from two_view_scene import VGA, Scene, make_scene

from nodes.vision.motion import estimate_homography
from nodes.vision.planar import (
    PlanarMotion,
    decompose_homography,
    planar_covariance,
    refine_planar,
)
from nodes.vision.robust import Limits
from nodes.vision.se3 import direction_angle, rotation_angle
from nodes.vision.transfer import transfer
from nodes.vision.two_view import normalised

FOCAL = np.array([500.0, 500.0])


def rays(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    points0, points1 = scene.ideal
    return normalised(points0, VGA.K), normalised(points1, VGA.K)


def decompose(scene: Scene) -> list[PlanarMotion]:
    H, _ = estimate_homography(*scene.ideal, Limits(3.0), 1)
    assert H is not None
    return decompose_homography(np.linalg.inv(VGA.K) @ H @ VGA.K, rays(scene)[0])


def errors_deg(motion: PlanarMotion, scene: Scene) -> tuple[float, float]:
    rotation = rotation_angle(motion.R.T @ scene.T_cur_prev[:3, :3])
    return float(np.degrees(rotation)), float(
        np.degrees(direction_angle(motion.t, scene.direction))
    )


def nearest(motions: list[PlanarMotion], scene: Scene) -> PlanarMotion:
    return min(motions, key=lambda motion: sum(errors_deg(motion, scene)))


@pytest.mark.parametrize("translation", [(0.3, 0.05, 0.2), (-0.4, 0.1, 0.0), (0.02, 0.05, -0.5)])
def test_one_of_at_most_two_motions_is_the_true_one_and_all_see_the_plane_ahead(
    translation: tuple[float, float, float],
) -> None:
    scene = make_scene(plane_fraction=1.0, translation=translation)
    motions = decompose(scene)
    assert 1 <= len(motions) <= 2
    assert max(errors_deg(nearest(motions, scene), scene)) < 0.01
    x0 = np.column_stack([rays(scene)[0], np.ones(300)])
    for motion in motions:
        assert np.linalg.norm(motion.t) == pytest.approx(1)
        assert (x0 @ motion.m > 0).all()
        assert np.abs(transfer(motion.G_1_0, *rays(scene), FOCAL).errors).max() < 1e-3


def test_the_plane_of_the_true_motion_has_its_inverse_depths() -> None:
    scene = make_scene(plane_fraction=1.0)
    motion = nearest(decompose(scene), scene)
    x0 = np.column_stack([rays(scene)[0], np.ones(300)])
    baseline = np.linalg.norm(scene.T_cur_prev[:3, 3])
    assert x0 @ motion.m * scene.points[:, 2] / baseline == pytest.approx(1, abs=1e-3)


def test_a_turn_has_no_motion_with_a_translation() -> None:
    assert decompose_homography(make_scene().T_cur_prev[:3, :3], np.zeros((4, 2))) == []


def test_refinement_comes_back_from_a_start_that_is_degrees_off() -> None:
    before, after = [], []
    for seed in range(20):
        scene = make_scene(seed, plane_fraction=1.0, noise_px=0.5, outlier_fraction=0.2)
        start = nearest(decompose(scene), scene)
        good = tuple(r[scene.is_true] for r in rays(scene))
        off = start.moved(np.full(8, 0.03))
        before.append(errors_deg(off, scene)[1])
        after.append(errors_deg(refine_planar(off, *good, FOCAL, 0.5), scene)[1])
    assert np.median(before) > 2
    assert np.median(after) < 1.1


def test_a_change_turns_by_w_and_tilts_by_u() -> None:
    motion = PlanarMotion(np.eye(3), np.array([0.0, 0.6, 0.8]), np.ones(3))
    moved = motion.moved(np.array([0.1, 0, 0, 0.03, -0.04, 1, 2, 3]))
    assert rotation_angle(moved.R) == pytest.approx(0.1)
    assert direction_angle(moved.t, motion.t) == pytest.approx(0.05)
    assert moved.m.tolist() == [2, 3, 4]


def test_the_covariance_is_five_by_five_and_grows_with_the_noise() -> None:
    covariances = []
    for noise_px in (0.2, 0.4):
        scene = make_scene(plane_fraction=1.0, noise_px=noise_px)
        motion = refine_planar(nearest(decompose(scene), scene), *rays(scene), FOCAL, noise_px)
        covariances.append(planar_covariance(motion, *rays(scene), FOCAL, noise_px))
    fine, coarse = covariances
    assert fine is not None and coarse is not None
    assert fine.shape == (5, 5)
    assert np.trace(coarse) == pytest.approx(4 * np.trace(fine), rel=0.3)
