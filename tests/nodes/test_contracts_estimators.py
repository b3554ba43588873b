"""What every estimator of the registry promises."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
from two_view_scene import VGA, make_scene

from nodes.estimators import ESTIMATORS, EstimatesMotion
from nodes.vision.motion import Motion
from nodes.vision.robust import Limits
from nodes.vision.se3 import direction_angle, rotation_angle
from nodes.vision.selection import classify_motion

Points = tuple[np.ndarray, np.ndarray]


@pytest.fixture(params=ESTIMATORS.names())
def estimator(request: pytest.FixtureRequest) -> EstimatesMotion:
    made: EstimatesMotion = ESTIMATORS.create(request.param)
    return made


def estimate(estimator: EstimatesMotion, points: Points, seed: int = 1) -> Motion:
    return estimator.estimate(*points, VGA.K, seed)


def scattered(num: int, seed: int = 0) -> Points:
    points0, points1 = np.random.default_rng(seed).uniform([0, 0], [640, 480], (2, num, 2))
    return points0, points1


def line(num: int) -> np.ndarray:
    along = np.linspace(0, 400, num)
    return np.column_stack([along, 0.7 * along + 30])


HOPELESS = {
    "no matches": scattered(0),
    **{f"{num} true matches": tuple(p[:num] for p in make_scene().ideal) for num in range(1, 8)},
    "8 by chance": scattered(8),
    "200 by chance": scattered(200),
    "2000 by chance": scattered(2000),
    "one point": (np.full((50, 2), 99.0), np.full((50, 2), 99.0)),
    "one point against many": (np.full((50, 2), 99.0), scattered(50)[0]),
    "four points many times": (np.tile(scattered(4)[0], (9, 1)), np.tile(scattered(4)[1], (9, 1))),
    "a line": (line(60), line(60) + 2),
    "a line against many": (line(60), scattered(60)[0]),
    "not a number": (np.full((30, 2), np.nan), np.full((30, 2), np.nan)),
    "infinity": (scattered(30)[0], np.full((30, 2), np.inf)),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_hopeless_matches_give_a_reason_and_no_motion(
    estimator: EstimatesMotion, name: str
) -> None:
    points = HOPELESS[name]
    motion = estimate(estimator, points)
    assert motion.T_1_0 is None
    assert motion.reason is not None
    assert motion.reason.split(":")[0] in ("too_few_matches", "too_few_inliers", "degenerate")
    assert motion.inliers.tolist() == [False] * len(points[0])


@pytest.mark.parametrize("outlier_fraction", [0.0, 0.2, 0.5])
def test_the_true_motion_is_found(estimator: EstimatesMotion, outlier_fraction: float) -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=outlier_fraction)
    motion = estimate(estimator, scene.ideal)
    assert motion.reason is None
    assert motion.T_1_0 is not None
    assert motion.T_1_0.shape == (4, 4)
    assert motion.T_1_0.dtype == np.float64
    assert motion.inliers.dtype == np.bool_
    R, t = motion.T_1_0[:3, :3], motion.T_1_0[:3, 3]
    assert np.linalg.norm(t) == pytest.approx(1)
    assert np.degrees(rotation_angle(R.T @ scene.T_cur_prev[:3, :3])) < 0.2
    assert np.degrees(direction_angle(t, scene.direction)) < 1.5
    assert motion.inliers[scene.is_true].mean() > 0.98


def test_a_motion_carries_the_threshold_of_its_inliers(estimator: EstimatesMotion) -> None:
    for points in (make_scene(noise_px=0.3).ideal, HOPELESS["200 by chance"]):
        assert estimate(estimator, points).threshold_px == 1.0


KINDS = {
    "static": {"translation": (0.0, 0.0, 0.0), "rotation_deg": (0.0, 0.0, 0.0)},
    "rotation": {"translation": (0.0, 0.0, 0.0)},
    "planar": {"plane_fraction": 1.0},
    "general": {},
}


@pytest.mark.parametrize("label", KINDS)
def test_its_motions_get_the_right_label(estimator: EstimatesMotion, label: str) -> None:
    for seed in range(3):
        points = make_scene(seed, noise_px=0.4, outlier_fraction=0.3, **KINDS[label]).ideal
        motion = estimate(estimator, points)
        assert classify_motion(motion, *points, VGA.K, Limits(3.0), seed).label == label


def test_the_points_are_not_written_to(estimator: EstimatesMotion) -> None:
    points = make_scene(noise_px=0.3, outlier_fraction=0.2).ideal
    before = [p.copy() for p in points]
    for array in points:
        array.flags.writeable = False
    estimate(estimator, points)
    assert all(np.array_equal(p, b) for p, b in zip(points, before, strict=True))


def test_calls_and_threads_give_the_same_per_seed_to_the_last_bit(
    estimator: EstimatesMotion,
) -> None:
    points = make_scene(noise_px=0.8, outlier_fraction=0.5).ideal
    expected = {seed: estimate(estimator, points, seed) for seed in range(3)}
    assert not np.array_equal(expected[0].T_1_0, expected[1].T_1_0)
    seeds = list(range(3)) * 4
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda seed: estimate(estimator, points, seed), seeds)
        for seed, motion in zip(seeds, found, strict=True):
            assert np.array_equal(motion.T_1_0, expected[seed].T_1_0)
            assert np.array_equal(motion.inliers, expected[seed].inliers)


@pytest.mark.parametrize("name", ESTIMATORS.names())
def test_the_threshold_of_an_inlier_is_a_setting_and_bad_ones_are_errors(name: str) -> None:
    options = ESTIMATORS.load(name).Options
    assert {f.name for f in fields(options)} >= {"threshold_px", "max_iterations", "confidence"}
    points = make_scene(noise_px=1.0).ideal
    counts = [
        estimate(ESTIMATORS.create(name, options(threshold_px=px)), points).inliers.sum()
        for px in (0.5, 1.0, 3.0)
    ]
    assert counts[0] < counts[1] < counts[2]
    for setting in ({"threshold_px": 0.0}, {"max_iterations": 0}, {"confidence": 1.5}):
        with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
            options(**setting)
