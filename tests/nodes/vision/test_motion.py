"""Motions and homographies from matches, with their inliers, or the reason why there are none."""

from collections.abc import Callable

import numpy as np
import pytest
from two_view_scene import BARREL, VGA, Scene, make_scene

from nodes.vision.motion import (
    MAX_SAMPLED,
    Motion,
    estimate_homography,
    estimate_motion,
    motion_fit,
    motion_inliers,
    num_distinct_points,
)
from nodes.vision.robust import Limits, sample_motion_magsac, sample_motion_poselib
from nodes.vision.se3 import direction_angle, from_rotation_vector, rotation_angle
from nodes.vision.two_view import transfer_distance

SAMPLERS = [sample_motion_poselib, sample_motion_magsac]
K = VGA.K


def find(points0: np.ndarray, points1: np.ndarray, sample: Callable = SAMPLERS[0]) -> Motion:
    return estimate_motion(sample, points0, points1, K, Limits(), seed=1)


def errors_deg(motion: Motion, scene: Scene) -> tuple[float, float]:
    """Return the errors of rotation and direction."""
    assert motion.T_1_0 is not None, motion.reason
    rotation = rotation_angle(motion.T_1_0[:3, :3].T @ scene.T_cur_prev[:3, :3])
    direction = direction_angle(motion.T_1_0[:3, 3], scene.T_cur_prev[:3, 3])
    return float(np.degrees(rotation)), float(np.degrees(direction))


@pytest.mark.parametrize("sample", SAMPLERS)
@pytest.mark.parametrize("camera", [VGA, BARREL])
def test_a_motion_is_found_within_0_2_deg_among_40_percent_outliers(
    sample: Callable, camera
) -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.4, camera=camera)
    motion = estimate_motion(sample, *scene.ideal, camera.K, Limits(), seed=1)
    rotation, direction = errors_deg(motion, scene)
    assert rotation < 0.2
    assert direction < 1.5
    assert motion.reason is None


@pytest.mark.parametrize("sample", SAMPLERS)
def test_the_inliers_are_the_true_matches_but_for_chance(sample: Callable) -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.4)
    inliers = find(*scene.ideal, sample).inliers
    assert inliers[scene.is_true].mean() > 0.98
    assert inliers[~scene.is_true].mean() < 0.05


def test_of_many_matches_some_from_all_over_are_sampled_and_all_are_judged() -> None:
    scene = make_scene(noise_px=0.3, num_points=1000)
    given = []

    def sample(*arguments: object) -> np.ndarray | None:
        given.append(arguments[0])
        return sample_motion_poselib(*arguments)

    motion = find(*scene.ideal, sample)
    (points0,) = given
    rows = [int(np.flatnonzero((scene.ideal[0] == point).all(axis=1))[0]) for point in points0]
    assert len(rows) == MAX_SAMPLED
    assert np.all(np.diff(rows) > 0) and np.diff(rows).max() <= 4 and rows[-1] > 990
    assert motion.inliers.sum() > 950
    few = make_scene(noise_px=0.3, num_points=MAX_SAMPLED).ideal
    find(*few, sample)
    assert np.array_equal(given[-1], few[0])


def test_refinement_at_the_scale_of_the_noise_takes_a_quarter_off_the_error() -> None:
    """It adapts to points much better than the threshold supposes."""
    coarse, fine = [], []
    for seed in range(10):
        scene = make_scene(seed, noise_px=0.1, outlier_fraction=0.3)
        first = sample_motion_magsac(*scene.ideal, K, Limits(3.0), seed)
        assert first is not None
        coarse.append(errors_deg(Motion(first, scene.is_true), scene)[1])
        found = estimate_motion(sample_motion_magsac, *scene.ideal, K, Limits(3.0), seed)
        fine.append(errors_deg(found, scene)[1])
    assert np.median(fine) < 0.75 * np.median(coarse)


def test_noise_of_a_pixel_widens_what_a_motion_is_fitted_to() -> None:
    scene = make_scene(noise_px=1.0)
    near = motion_inliers(scene.T_cur_prev, *scene.ideal, K, 1.0)
    chosen, scale = motion_fit(scene.T_cur_prev, *scene.ideal, K, 1.0)
    assert near.mean() < 0.75
    assert chosen.mean() > 0.95
    assert scale == pytest.approx(1.0, rel=0.15)


def test_a_match_far_along_its_line_and_one_beside_the_epipole_do_not_steer_the_fit() -> None:
    ahead = (0.0, 0.0, -0.3)
    scene = make_scene(rotation_deg=(0.0, 0.0, 0.0), translation=ahead, noise_px=0.2)
    points0, points1 = scene.ideal
    centre = K[:2, 2]
    points0[0], points1[0] = np.add(centre, [60, 0]), np.add(centre, [300, 0])
    points0[1], points1[1] = np.add(centre, [6, 0]), np.add(centre, [7, 0.1])
    T = scene.T_cur_prev.copy()
    T[:3, 3] = scene.direction
    chosen, _ = motion_fit(T, points0, points1, K, 1.0)
    assert motion_inliers(T, points0, points1, K, 1.0)[:2].all()
    assert not chosen[:2].any()
    assert chosen[2:].mean() > 0.9


def test_exact_matches_give_an_exact_motion() -> None:
    rotation, direction = errors_deg(find(*make_scene().ideal), make_scene())
    assert rotation < 1e-4
    assert direction < 1e-3


def test_a_match_behind_the_camera_is_no_inlier_though_it_fits_the_epipolar_line() -> None:
    scene = make_scene(rotation_deg=(0.0, 0.0, 0.0), translation=(0.5, 0.0, 0.0))
    points0, points1 = scene.ideal
    points1[0, 0] = points0[0, 0] - 10  # along its horizontal line, but away from the motion
    points1[1, 0] = points0[1, 0] - 0.5  # as far points do, by noise
    inliers = motion_inliers(scene.T_cur_prev, points0, points1, K, 1.0)
    assert inliers.tolist() == [False] + [True] * 299


@pytest.mark.parametrize("num_matches", range(8))
def test_fewer_than_8_matches_give_no_motion(num_matches: int) -> None:
    points0, points1 = make_scene().ideal
    motion = find(points0[:num_matches], points1[:num_matches])
    assert motion.T_1_0 is None
    assert motion.reason == f"too_few_matches: {num_matches} < 8"
    assert motion.inliers.tolist() == [False] * num_matches


def test_8_exact_matches_give_the_motion() -> None:
    points0, points1 = make_scene(3).ideal
    rotation, direction = errors_deg(find(points0[:8], points1[:8]), make_scene(3))
    assert rotation < 0.01
    assert direction < 0.1


def test_matches_that_are_not_finite_are_no_matches() -> None:
    scene = make_scene(noise_px=0.2)
    points0, points1 = scene.ideal
    points0[5] = np.nan
    points1[9, 0] = np.inf
    motion = find(points0, points1)
    assert not motion.inliers[[5, 9]].any()
    assert motion.inliers.sum() > 280
    assert find(points0[:10], points1[:10]).reason is None
    points1[:3] = np.nan
    assert find(points0[:10], points1[:10]).reason == "too_few_matches: 5 < 8"


def test_one_point_many_times_is_degenerate() -> None:
    point = np.full((20, 2), 50.0)
    assert find(point, point).reason == "degenerate: 1 distinct points in 20 matches"


def test_points_on_a_line_are_degenerate() -> None:
    along = np.linspace(0, 400, 30)
    line = np.column_stack([along, 0.5 * along + 20])
    assert find(line, line + 3).reason == "degenerate: 30 matches on one line"


def test_inliers_on_a_line_are_degenerate_though_the_outliers_are_not() -> None:
    sideways = from_rotation_vector(np.zeros(3), np.array([1.0, 0.0, 0.0]))
    along = np.linspace(0, 600, 60)
    points0 = np.column_stack([along, np.full(60, 240.0)])
    points1 = points0 + np.array([5.0, 0.0])
    off = np.random.default_rng(0).uniform(20, 200, 20)
    points0[:20, 1], points1[:20, 1] = 240 + off, 240 - off
    motion = find(points0, points1, sample=lambda *_: sideways)
    assert motion.reason == "degenerate: 40 inliers on one line"
    assert motion.T_1_0 is None
    assert not motion.inliers.any()


@pytest.mark.parametrize("sample", SAMPLERS)
@pytest.mark.parametrize("num_matches", [10, 30, 100, 500])
def test_chance_gives_no_motion(sample: Callable, num_matches: int) -> None:
    for seed in range(4):
        points = np.random.default_rng(seed).uniform([0, 0], [640, 480], (2, num_matches, 2))
        motion = estimate_motion(sample, *points, K, Limits(), seed)
        assert motion.T_1_0 is None
        assert motion.reason is not None and motion.reason.startswith("too_few_inliers: ")


def test_a_sampler_that_finds_nothing_is_a_reason() -> None:
    motion = find(*make_scene().ideal, sample=lambda *_: None)
    assert motion.reason == "degenerate: no sample of the matches gives a motion"


def test_a_sample_without_inliers_is_a_reason() -> None:
    wrong = from_rotation_vector(np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
    scene = make_scene(num_points=20)
    motion = find(*scene.ideal, sample=lambda *_: wrong)
    assert motion.reason is not None and motion.reason.startswith("too_few_inliers: ")
    assert not motion.inliers.any()


def test_points_are_counted_by_their_place() -> None:
    assert num_distinct_points(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])) == 2


def test_the_homography_of_a_plane_is_found_within_half_a_pixel_among_outliers() -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.4, plane_fraction=1.0)
    H_1_0, inliers = estimate_homography(*scene.ideal, Limits(3.0), seed=1)
    assert H_1_0 is not None
    assert transfer_distance(H_1_0, *make_scene(plane_fraction=1.0).ideal).max() < 0.5
    assert inliers[scene.is_true].all()
    assert inliers[~scene.is_true].mean() < 0.02


def test_the_homography_of_a_turn_is_that_of_its_rotation() -> None:
    scene = make_scene(translation=(0.0, 0.0, 0.0), rotation_deg=(2.0, -5.0, 10.0), noise_px=0.2)
    H_1_0, _ = estimate_homography(*scene.ideal, Limits(3.0), seed=1)
    assert H_1_0 is not None
    expected = K @ scene.T_cur_prev[:3, :3] @ np.linalg.inv(K)
    corners = np.array([[0.0, 0.0], [639, 0], [639, 479], [0, 479], [320, 240]])
    mapped = np.column_stack([corners, np.ones(5)]) @ expected.T
    assert transfer_distance(H_1_0, corners, mapped[:, :2] / mapped[:, 2:]).max() < 0.3


def test_a_match_that_is_not_finite_does_not_hinder_the_homography() -> None:
    scene = make_scene(plane_fraction=1.0)
    points0, points1 = scene.ideal
    points0[4, 0] = np.nan
    H_1_0, inliers = estimate_homography(points0, points1, Limits(3.0), seed=1)
    assert H_1_0 is not None
    assert np.flatnonzero(~inliers).tolist() == [4]


def no_homography(points0: np.ndarray, points1: np.ndarray) -> bool:
    H_1_0, inliers = estimate_homography(points0, points1, Limits(3.0), seed=1)
    return H_1_0 is None and not inliers.any() and len(inliers) == len(points0)


def test_no_homography_comes_of_chance_lines_single_points_or_too_few() -> None:
    chance = np.random.default_rng(0).uniform([0, 0], [640, 480], (2, 100, 2))
    along = np.linspace(0, 400, 30)
    line = np.column_stack([along, along])
    points0, points1 = make_scene(plane_fraction=1.0).ideal
    assert no_homography(*chance)
    assert no_homography(line, line)
    assert no_homography(np.ones((20, 2)), np.ones((20, 2)))
    assert no_homography(points0[:7], points1[:7])
    assert no_homography(points0[:0], points1[:0])
    assert no_homography(points0, points0 * [-1, 1] + [640, 0])


def test_seven_inliers_are_no_homography_though_they_are_no_chance() -> None:
    points0, points1 = make_scene(plane_fraction=1.0, outlier_fraction=0.9, num_points=70).ideal
    assert no_homography(points0, points1)
    points0, points1 = make_scene(plane_fraction=1.0, outlier_fraction=0.8, num_points=70).ideal
    assert not no_homography(points0, points1)


def test_many_matches_by_chance_are_no_homography_though_more_than_seven_fit() -> None:
    chance = np.random.default_rng(0).uniform([0, 0], [640, 480], (2, 1000, 2))
    H_1_0, inliers = estimate_homography(*chance, Limits(30.0), seed=1)
    assert H_1_0 is None
    assert not inliers.any()


def test_no_homography_comes_of_inliers_on_a_line() -> None:
    along = np.linspace(0, 600, 60)
    points0 = np.column_stack([along, np.full(60, 240.0)])
    points1 = points0 + np.array([5.0, 0.0])
    points0[-6:], points1[-6:] = np.random.default_rng(0).uniform(0, 480, (2, 6, 2))
    assert no_homography(points0, points1)


def test_a_seed_gives_the_same_results_to_the_last_bit() -> None:
    scene = make_scene(noise_px=0.5, outlier_fraction=0.5)
    for sample in SAMPLERS:
        first, again = find(*scene.ideal, sample), find(*scene.ideal, sample)
        assert np.array_equal(first.T_1_0, again.T_1_0)
        assert np.array_equal(first.inliers, again.inliers)
    homographies = [estimate_homography(*scene.ideal, Limits(3.0), seed=2)[1] for _ in range(2)]
    assert np.array_equal(*homographies)
