"""The wrappers of poselib and OpenCV: truth, options, seeds."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from two_view_scene import BARREL, VGA, Scene, make_scene

from nodes.vision.robust import (
    Limits,
    bundle_options,
    ransac_options,
    refine_camera_pose,
    refine_homography,
    refine_motion,
    sample_camera_pose,
    sample_homography,
    sample_motion_magsac,
    sample_motion_poselib,
    seed_for,
)
from nodes.vision.se3 import (
    direction_angle,
    from_rotation_vector,
    inverse,
    rotation_angle,
    transform,
)
from nodes.vision.two_view import transfer_distance

SAMPLERS = [sample_motion_poselib, sample_motion_magsac]
K = VGA.K


def errors_deg(T_1_0: np.ndarray, scene: Scene) -> tuple[float, float]:
    """Return the errors of rotation and direction."""
    rotation = rotation_angle(T_1_0[:3, :3].T @ scene.T_cur_prev[:3, :3])
    direction = direction_angle(T_1_0[:3, 3], scene.T_cur_prev[:3, 3])
    return float(np.degrees(rotation)), float(np.degrees(direction))


@pytest.mark.parametrize("sample", SAMPLERS)
def test_a_sampler_finds_the_exact_motion_of_exact_points(sample: Callable) -> None:
    scene = make_scene(camera=BARREL)
    rotation, direction = errors_deg(sample(*scene.ideal, BARREL.K, Limits(), seed=1), scene)
    assert rotation < 1e-3
    assert direction < 1e-2


@pytest.mark.parametrize("sample", SAMPLERS)
def test_a_sampler_finds_the_motion_among_half_outliers(sample: Callable) -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.5)
    rotation, direction = errors_deg(sample(*scene.ideal, K, Limits(), seed=1), scene)
    assert rotation < 0.3
    assert direction < 2


@pytest.mark.parametrize("seed", range(5))
def test_poselib_is_not_misled_by_a_plane_that_fills_nine_tenths(seed: int) -> None:
    scene = make_scene(seed, noise_px=0.3, plane_fraction=0.9)
    rotation, direction = errors_deg(sample_motion_poselib(*scene.ideal, K, Limits(), 1), scene)
    assert rotation < 0.5
    assert direction < 5


@pytest.mark.parametrize("sample", SAMPLERS)
def test_a_seed_gives_the_same_motion_to_the_last_bit_and_another_seed_another(
    sample: Callable,
) -> None:
    scene = make_scene(noise_px=1.0, outlier_fraction=0.6)
    first, again, other = (sample(*scene.ideal, K, Limits(), seed=s) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("sample", SAMPLERS)
def test_a_motion_has_unit_translation(sample: Callable) -> None:
    T_1_0 = sample(*make_scene(noise_px=0.5).ideal, K, Limits(), seed=1)
    assert np.linalg.norm(T_1_0[:3, 3]) == pytest.approx(1, abs=1e-12)
    assert np.allclose(T_1_0[:3, :3] @ T_1_0[:3, :3].T, np.eye(3), atol=1e-12)


def test_the_limits_reach_the_samplers() -> None:
    scene = make_scene(noise_px=0.5, outlier_fraction=0.6)
    for sample in SAMPLERS:
        few = sample(*scene.ideal, K, Limits(min_iterations=1, max_iterations=1), seed=1)
        wide = sample(*scene.ideal, K, Limits(threshold_px=20.0), seed=1)
        usual = sample(*scene.ideal, K, Limits(), seed=1)
        assert not np.array_equal(few, usual)
        assert not np.array_equal(wide, usual)


def test_refinement_takes_a_motion_0_5_deg_off_to_that_of_the_points() -> None:
    scene = make_scene(noise_px=0.2, num_points=600)
    off = scene.T_cur_prev @ from_rotation_vector(np.radians([0.3, -0.4, 0.1]), np.zeros(3))
    off[:3, 3] = scene.direction
    rotation, direction = errors_deg(refine_motion(off, *scene.ideal, K, 0.2), scene)
    assert rotation < 0.05
    assert direction < 0.5


def test_refinement_is_hardly_moved_by_a_few_wild_points() -> None:
    scene = make_scene(noise_px=0.2, outlier_fraction=0.1)
    start = scene.T_cur_prev.copy()
    start[:3, 3] = scene.direction
    rotation, _ = errors_deg(refine_motion(start, *scene.ideal, K, 0.2), scene)
    assert rotation < 0.1


def plane_homography(scene: Scene) -> np.ndarray:
    """Return the homography of the scene's plane, n . p = 1 (HZ 13.1)."""
    normal = np.linalg.lstsq(scene.points, np.ones(len(scene.points)), rcond=None)[0]
    T = scene.T_cur_prev
    H = K @ (T[:3, :3] + np.outer(T[:3, 3], normal)) @ np.linalg.inv(K)
    return H / H[2, 2]


def test_the_homography_of_a_plane_is_found_among_half_outliers() -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.5, plane_fraction=1.0)
    H_1_0 = sample_homography(*scene.ideal, Limits(3.0), seed=1)
    assert H_1_0 is not None
    exact = make_scene(plane_fraction=1.0)
    assert transfer_distance(H_1_0, *exact.ideal).max() < 2
    assert H_1_0[2, 2] == 1


def test_a_refined_homography_is_that_of_the_plane() -> None:
    scene = make_scene(noise_px=0.3, plane_fraction=1.0)
    off = plane_homography(scene) + np.array([[0, 0, 2.0], [0, 0, -2.0], [0, 0, 0]])
    H_1_0 = refine_homography(off, *scene.ideal)
    assert H_1_0 is not None
    assert transfer_distance(H_1_0, *make_scene(plane_fraction=1.0).ideal).max() < 0.3


def test_a_refined_homography_is_scaled_and_none_where_it_is_not_finite() -> None:
    scene = make_scene(plane_fraction=1.0)
    scaled = refine_homography(5 * plane_homography(scene), *scene.ideal)
    assert scaled is not None and scaled[2, 2] == 1
    assert refine_homography(np.full((3, 3), np.nan), *scene.ideal) is None


def test_opencv_is_told_to_use_magsac_with_the_limits_and_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = []
    monkeypatch.setattr(cv2, "findHomography", lambda *args: told.append(args[2]) or (None, None))
    limits = Limits(threshold_px=2.5, max_iterations=321, confidence=0.95)
    assert sample_homography(*make_scene().ideal, limits, seed=17) is None
    assert (told[0].score, told[0].isParallel) == (cv2.SCORE_METHOD_MAGSAC, False)
    assert (told[0].threshold, told[0].confidence) == (2.5, 0.95)
    assert (told[0].maxIterations, told[0].randomGeneratorState) == (321, 17)


def test_a_homography_that_mirrors_is_none() -> None:
    points = make_scene().ideal[0]
    mirrored = points * [-1, 1] + [640, 0]
    assert sample_homography(points, mirrored, Limits(3.0), seed=1) is None


def seen_landmarks(
    noise_px: float = 0.0, outlier_fraction: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return T_cam_world, landmarks (200, 3) and their pixels, the first of them wrong."""
    rng = np.random.default_rng(5)
    T_cam_world = from_rotation_vector(np.array([0.4, -0.3, 1.0]), np.array([2.0, -1.0, 3.0]))
    points_cam = rng.uniform([-3, -2, 4], [3, 2, 12], (200, 3))
    pixels = (points_cam / points_cam[:, 2:] @ K.T)[:, :2] + rng.normal(0, noise_px, (200, 2))
    num_wrong = int(200 * outlier_fraction)
    pixels[:num_wrong] = rng.uniform([0, 0], [640, 480], (num_wrong, 2))
    return T_cam_world, transform(inverse(T_cam_world), points_cam), pixels


def camera_errors(T_cam_world: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Return the errors of rotation (degrees) and translation."""
    turned = rotation_angle(T_cam_world[:3, :3].T @ expected[:3, :3])
    return float(np.degrees(turned)), float(np.linalg.norm((T_cam_world - expected)[:3, 3]))


def test_the_pose_of_a_camera_is_exact_for_exact_landmarks() -> None:
    T_cam_world, points, pixels = seen_landmarks()
    found = sample_camera_pose(points, pixels, K, Limits(), seed=1)
    assert found is not None
    assert np.allclose(found, T_cam_world, atol=1e-6)


def test_the_pose_of_a_camera_is_found_among_half_outliers() -> None:
    T_cam_world, points, pixels = seen_landmarks(noise_px=0.5, outlier_fraction=0.5)
    found = sample_camera_pose(points, pixels, K, Limits(2.0), seed=1)
    assert found is not None
    turned, moved = camera_errors(found, T_cam_world)
    assert turned < 0.2
    assert moved < 0.03


def test_the_pose_of_a_camera_repeats_to_the_bit_per_seed_and_obeys_the_limits() -> None:
    _, points, pixels = seen_landmarks(noise_px=1.0, outlier_fraction=0.7)
    first, again, other = (sample_camera_pose(points, pixels, K, Limits(), s) for s in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    few = Limits(min_iterations=1, max_iterations=1)
    for limits in (few, Limits(threshold_px=20.0)):
        assert not np.array_equal(first, sample_camera_pose(points, pixels, K, limits, seed=3))


def test_fewer_than_four_agreeing_landmarks_give_no_pose() -> None:
    _, points, pixels = seen_landmarks()
    assert sample_camera_pose(points[:3], pixels[:3], K, Limits(), seed=1) is None
    assert sample_camera_pose(points[:0], pixels[:0], K, Limits(), seed=1) is None
    assert sample_camera_pose(points[:4], pixels[:4], K, Limits(), seed=1) is not None
    rng = np.random.default_rng(6)
    wrong = rng.uniform([0, 0], [640, 480], (6, 2))
    assert sample_camera_pose(points[:6], wrong, K, Limits(0.01), seed=1) is None


def test_a_refined_pose_of_a_camera_is_that_of_the_landmarks_despite_outliers() -> None:
    T_cam_world, points, pixels = seen_landmarks(noise_px=0.3, outlier_fraction=0.1)
    off = from_rotation_vector(np.radians([0.5, -0.4, 0.3]), np.full(3, 0.05)) @ T_cam_world
    turned, moved = camera_errors(refine_camera_pose(off, points, pixels, K, 1.0), T_cam_world)
    assert turned < 0.05
    assert moved < 0.01


@pytest.mark.parametrize("sample", SAMPLERS)
def test_equal_points_give_no_motion_or_one_that_is_finite(sample: Callable) -> None:
    points = np.full((20, 2), 100.0)
    found = sample(points, points, K, Limits(), seed=1)
    assert found is None or np.isfinite(found).all()


def test_equal_points_give_no_homography() -> None:
    points = np.full((20, 2), 100.0)
    assert sample_homography(points, points, Limits(), seed=1) is None


def test_points_that_are_not_finite_are_refused_before_a_library_sees_them() -> None:
    good = make_scene().ideal[0]
    bad = good.copy()
    bad[7, 1] = np.nan
    for sample in SAMPLERS:
        with pytest.raises(ValueError, match="points must be finite"):
            sample(good, bad, K, Limits(), 1)
    with pytest.raises(ValueError, match="points must be finite"):
        sample_homography(bad, good, Limits(), 1)
    with pytest.raises(ValueError, match="points must be finite"):
        refine_motion(np.eye(4), bad, good, K, 1.0)
    with pytest.raises(ValueError, match="points must be finite"):
        refine_homography(np.eye(3), bad, good)
    _, points, pixels = seen_landmarks()
    broken = np.where(np.arange(200)[:, None] == 7, np.inf, points)
    for wrong in ((broken, pixels), (points, bad[:200])):
        with pytest.raises(ValueError, match="points must be finite"):
            sample_camera_pose(*wrong, K, Limits(), 1)
        with pytest.raises(ValueError, match="points must be finite"):
            refine_camera_pose(np.eye(4), *wrong, K, 1.0)


def test_an_option_that_poselib_would_pass_over_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"poselib knows no option \['max_epipolar_eror'\], only"):
        ransac_options({"max_epipolar_eror": 1.0, "seed": 1})
    with pytest.raises(ValueError, match=r"poselib knows no option \['loss'\], only \['gradient_"):
        bundle_options({"loss": "CAUCHY"})
    assert ransac_options({"max_epipolar_error": 2.0}) == {"max_epipolar_error": 2.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold_px": 0.0}, "threshold_px must be more than 0, not 0.0"),
        ({"threshold_px": float("nan")}, "threshold_px must be more than 0, not nan"),
        ({"min_iterations": 0}, "min_iterations must be at least 1, not 0"),
        ({"max_iterations": 49}, "max_iterations must be at least 50, not 49"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1, not 1.0"),
    ],
)
def test_limits_without_sense_are_errors(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Limits(**settings)
    assert str(error.value) == message


def test_the_seed_of_a_pair_is_the_same_everywhere_and_for_ever() -> None:
    assert seed_for(0, "cam", 4, 5) == 2027658953


def test_the_seed_depends_on_run_stream_and_both_frames() -> None:
    pairs = [
        (0, "cam", 4, 5),
        (1, "cam", 4, 5),
        (0, "left", 4, 5),
        (0, "cam", 3, 5),
        (0, "cam", 4, 6),
    ]
    assert len({seed_for(*pair) for pair in pairs}) == len(pairs)
    assert all(0 <= seed_for(0, "cam", n, n + 1) < 2**31 for n in range(100))
