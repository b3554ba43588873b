"""Motions get the label of what the matches show, and say what is known of them."""

import numpy as np
import pytest
from motion_pairs import LABELS, LabelledPair, make_pair
from two_view_scene import VGA, Scene, make_scene

from nodes.estimators.lo_ransac import LoRansac
from nodes.vision.robust import Limits
from nodes.vision.se3 import direction_angle, rotation_angle
from nodes.vision.selection import LabelledMotion, classify_motion
from nodes.vision.two_view import transfer_distance

STILL = (0.0, 0.0, 0.0)
HOMOGRAPHY = Limits(3.0, max_iterations=1000)
MOVING = ("planar", "general")


def classify(points0: np.ndarray, points1: np.ndarray, K: np.ndarray = VGA.K) -> LabelledMotion:
    motion = LoRansac().estimate(points0, points1, K, 1)
    return classify_motion(motion, points0, points1, K, HOMOGRAPHY, 1)


def classify_pair(pair: LabelledPair) -> LabelledMotion:
    return classify(pair.points0, pair.points1, pair.camera.K)


def rotation_error_deg(found: LabelledMotion, scene: Scene) -> float:
    assert found.T_1_0 is not None
    return float(np.degrees(rotation_angle(found.T_1_0[:3, :3].T @ scene.T_cur_prev[:3, :3])))


def direction_error_deg(T: np.ndarray | None, scene: Scene) -> float:
    assert T is not None
    return float(np.degrees(direction_angle(T[:3, 3], scene.direction)))


# ---------------------------------------------------------------- what each label carries


def test_a_still_camera_is_static_with_the_identity() -> None:
    scene = make_scene(translation=STILL, rotation_deg=STILL, noise_px=0.5, outlier_fraction=0.4)
    found = classify(*scene.ideal)
    assert found.label == "static"
    assert np.array_equal(found.T_1_0, np.eye(4))
    assert np.array_equal(found.H_1_0, np.eye(3))
    assert found.inliers[scene.is_true].mean() > 0.97
    assert found.inliers[~scene.is_true].mean() < 0.02
    assert (found.T_1_0_alt, found.covariance, found.reason) == (None, None, None)


def test_the_very_same_points_are_static() -> None:
    points, _ = make_scene().ideal
    assert classify(points, points).label == "static"
    assert classify(points[:8], points[:8]).label == "static"


def test_a_turn_is_a_rotation_without_translation() -> None:
    scene = make_scene(translation=STILL, noise_px=0.5, outlier_fraction=0.4)
    found = classify(*scene.ideal)
    assert found.label == "rotation"
    assert rotation_error_deg(found, scene) < 0.05
    assert found.T_1_0 is not None and not found.T_1_0[:3, 3].any()
    assert found.covariance is not None and found.covariance.shape == (3, 3)
    assert found.reason is not None and found.reason.startswith("translation_not_observable: ")
    assert found.inliers[scene.is_true].mean() > 0.97


def test_a_scene_with_depth_is_general() -> None:
    scene = make_scene(noise_px=0.5, outlier_fraction=0.4)
    found = classify(*scene.ideal)
    assert found.label == "general"
    assert rotation_error_deg(found, scene) < 0.1
    assert direction_error_deg(found.T_1_0, scene) < 1
    assert found.covariance is not None and found.covariance.shape == (5, 5)
    assert (found.T_1_0_alt, found.reason) == (None, None)
    assert found.inliers[~scene.is_true].mean() < 0.05


def test_a_plane_is_planar_and_one_of_both_motions_is_true() -> None:
    for seed in range(5):
        scene = make_scene(seed, plane_fraction=1.0, noise_px=0.3, outlier_fraction=0.3)
        found = classify(*scene.ideal)
        assert found.label == "planar"
        errors = [direction_error_deg(found.T_1_0, scene)]
        if found.T_1_0_alt is not None:
            errors.append(direction_error_deg(found.T_1_0_alt, scene))
        assert min(errors) < 2.5
        assert found.covariance is not None and found.covariance.shape == (5, 5)
        assert found.H_1_0 is not None
        assert transfer_distance(found.H_1_0, *scene.ideal)[scene.is_true].max() < 3


def test_a_few_matches_off_a_plane_decide_between_its_motions() -> None:
    for seed in range(5):
        scene = make_scene(seed, plane_fraction=0.9, noise_px=0.3)
        found = classify(*scene.ideal)
        assert found.label in MOVING
        assert found.T_1_0_alt is None
        assert direction_error_deg(found.T_1_0, scene) < 3


@pytest.mark.parametrize("num", [10, 100, 1000])
def test_chance_is_lost_with_a_reason(num: int) -> None:
    found = classify(*np.random.default_rng(num).uniform([0, 0], [640, 480], (2, num, 2)))
    assert found.label == "lost"
    assert found.T_1_0 is None
    assert found.reason is not None and found.reason.startswith("too_few_inliers: ")
    assert not found.inliers.any()


def test_people_who_walk_before_a_still_camera_are_no_motion() -> None:
    rng = np.random.default_rng(0)
    points0 = rng.uniform(0, 480, (300, 2))
    points1 = points0 + rng.normal(0, 0.2, (300, 2))
    points1[:70] += rng.uniform(3, 12, (70, 1)) * np.array([1.0, 0.1])
    found = classify(points0, points1)
    assert found.label == "static"
    assert found.inliers[70:].mean() > 0.95
    assert not found.inliers[:70].any()


def test_things_that_move_before_a_turning_camera_are_no_translation() -> None:
    scene = make_scene(translation=STILL, noise_px=0.3)
    points0, points1 = scene.ideal
    points1[:45] += np.random.default_rng(0).uniform(4, 15, (45, 1)) * np.array([1.0, 0.1])
    found = classify(points0, points1)
    assert found.label == "rotation"
    assert rotation_error_deg(found, scene) < 0.05


def test_matches_that_are_not_finite_are_no_inliers_and_change_nothing() -> None:
    points0, points1 = make_scene(noise_px=0.3).ideal
    holes0, holes1 = np.insert(points0, 7, np.nan, axis=0), np.insert(points1, 7, 5.0, axis=0)
    whole, holed = classify(points0, points1), classify(holes0, holes1)
    assert not holed.inliers[7]
    assert np.array_equal(np.delete(holed.inliers, 7), whole.inliers)
    assert np.array_equal(holed.T_1_0, whole.T_1_0)


def line(num: int) -> np.ndarray:
    return np.column_stack([np.linspace(0, 400, num)] * 2)


NOTHING = {
    **{f"{num} matches": tuple(p[:num] for p in make_scene().ideal) for num in range(8)},
    "one place": (np.full((30, 2), 9.0), np.full((30, 2), 9.0)),
    "a line": (line(40), line(40)),
    "a line that moves": (line(40), line(40) + 5),
    "four points": (np.tile(line(4) ** 1.2, (9, 1)), np.tile(line(4) ** 1.2, (9, 1))),
    "not a number": (np.full((30, 2), np.nan), np.full((30, 2), np.nan)),
    "infinity": (line(30), np.full((30, 2), np.inf)),
    "a mirror": (make_scene().ideal[0], make_scene().ideal[0] * [-1, 1] + [640, 0]),
}


@pytest.mark.parametrize("name", NOTHING)
def test_matches_that_determine_nothing_are_lost_with_a_reason(name: str) -> None:
    points0, points1 = NOTHING[name]
    found = classify(points0, points1)
    assert found.label == "lost"
    assert found.reason is not None
    assert found.reason.split(":")[0] in ("too_few_matches", "too_few_inliers", "degenerate")
    assert (found.T_1_0, found.T_1_0_alt, found.covariance) == (None, None, None)
    assert found.inliers.tolist() == [False] * len(points0)


@pytest.mark.parametrize("num", range(8, 14))
@pytest.mark.parametrize("translation", [STILL, (0.3, 0.05, 0.2)])
def test_few_matches_give_some_label_with_finite_figures(
    num: int, translation: tuple[float, float, float]
) -> None:
    points0, points1 = (p[:num] for p in make_scene(noise_px=0.5, translation=translation).ideal)
    found = classify(points0, points1)
    assert found.label in LABELS
    for array in (found.T_1_0, found.covariance):
        assert array is None or np.isfinite(array).all()


def test_the_same_matches_give_the_same_to_the_last_bit() -> None:
    for kind in ("rotation", "planar", "general"):
        pair = make_pair(kind, np.random.default_rng(3))
        first, again = classify_pair(pair), classify_pair(pair)
        assert np.array_equal(first.T_1_0, again.T_1_0)
        assert np.array_equal(first.covariance, again.covariance)
        assert np.array_equal(first.inliers, again.inliers)
