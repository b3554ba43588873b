"""Triangulation: exact points, noise, and the points that cannot be had."""

import numpy as np
import pytest
from two_view_scene import VGA

from nodes.vision import triangulation
from nodes.vision.se3 import from_rotation_vector, inverse, transform
from nodes.vision.triangulation import (
    parallax_angles,
    reprojection_errors,
    triangulate_pair,
    triangulate_tracks,
)

T_1_0 = from_rotation_vector(np.array([0.02, -0.15, 0.05]), np.array([-1.0, 0.1, 0.2]))


def rays_of(points_cam: np.ndarray) -> np.ndarray:
    """Project points (N, 3) to normalised coordinates."""
    return points_cam[:, :2] / points_cam[:, 2:]


def cloud(num: int = 200, seed: int = 0) -> np.ndarray:
    """Return points (N, 3) in front of the cameras of these tests."""
    return np.random.default_rng(seed).uniform([-3, -2, 4], [3, 2, 12], (num, 3))


def arc(num_views: int = 6) -> np.ndarray:
    """Return poses T_cam_world (V, 4, 4) along a path, each turned a little differently."""
    rng = np.random.default_rng(1)
    return np.array(
        [
            inverse(from_rotation_vector(rng.normal(0, 0.05, 3), np.array([0.4 * i, 0, 0.05 * i])))
            for i in range(num_views)
        ]
    )


def seen_by_all(
    T_cam_world: np.ndarray, points: np.ndarray, noise: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return views, tracks and rays of every view seeing every point, in a shuffled order."""
    rng = np.random.default_rng(2)
    views = np.repeat(np.arange(len(T_cam_world)), len(points))
    tracks = np.tile(np.arange(len(points)), len(T_cam_world))
    rays = np.concatenate([rays_of(transform(T, points)) for T in T_cam_world])
    order = rng.permutation(len(views))
    return views[order], tracks[order], (rays + rng.normal(0, noise, rays.shape))[order]


def test_a_pair_of_exact_rays_gives_the_exact_points() -> None:
    points = cloud()
    found = triangulate_pair(T_1_0, rays_of(points), rays_of(transform(T_1_0, points)))
    assert found.dtype == np.float64
    assert np.allclose(found, points, rtol=1e-10)


def test_the_points_of_a_pair_have_the_unit_of_the_translation() -> None:
    points = cloud()
    T = T_1_0.copy()
    T[:3, 3] *= 7
    found = triangulate_pair(T, rays_of(points), rays_of(transform(T_1_0, points)))
    assert np.allclose(found, 7 * points, rtol=1e-10)


def test_noisy_rays_of_a_pair_are_met_within_their_noise() -> None:
    points, rng, sigma = cloud(2000), np.random.default_rng(3), 0.5 / 500
    rays0 = rays_of(points) + rng.normal(0, sigma, (len(points), 2))
    rays1 = rays_of(transform(T_1_0, points)) + rng.normal(0, sigma, (len(points), 2))
    found = triangulate_pair(T_1_0, rays0, rays1)
    errors0 = reprojection_errors(np.eye(4), found, rays0, np.eye(3))
    errors1 = reprojection_errors(T_1_0, found, rays1, np.eye(3))
    # Of four measured coordinates a point leaves one: together they are off by sigma, at best.
    assert np.sqrt(np.mean(errors0**2 + errors1**2)) == pytest.approx(sigma, rel=0.05)
    assert abs(np.median(found[:, 2] / points[:, 2]) - 1) < 0.002


def test_parallel_rays_have_no_point() -> None:
    rays = rays_of(cloud(20))
    T = from_rotation_vector(np.zeros(3), np.array([1.0, 0, 0]))
    assert np.isnan(triangulate_pair(T, rays, rays)).all()
    far = 1e12 * cloud(20)
    assert np.isnan(triangulate_pair(T_1_0, rays_of(far), rays_of(transform(T_1_0, far)))).all()


def test_rays_of_one_centre_have_no_point() -> None:
    rays, noise = rays_of(cloud(20)), np.random.default_rng(4).normal(0, 1e-3, (20, 2))
    assert np.isnan(triangulate_pair(np.eye(4), rays, rays + noise)).all()


def test_points_behind_a_camera_are_nan_and_the_others_stay() -> None:
    points = cloud(9)
    points[0] *= -1  # behind both
    points[1] = 0, 0, 1.0  # behind camera 1 only
    points[2] = 0, 0, -1.0  # behind camera 0 only
    T = from_rotation_vector(np.zeros(3), np.array([0.3, 0, -2.0]))
    T_back = from_rotation_vector(np.zeros(3), np.array([0.3, 0, 2.0]))
    found = triangulate_pair(T, rays_of(points), rays_of(transform(T, points)))
    assert np.isnan(found[:2]).all()
    assert np.allclose(found[3:], points[3:])
    assert np.isnan(
        triangulate_pair(T_back, rays_of(points[2:3]), rays_of(transform(T_back, points[2:3])))
    ).all()


def test_rays_that_miss_each_other_widely_give_points_in_front_or_none() -> None:
    rng = np.random.default_rng(6)
    T = from_rotation_vector(np.array([0.9, -0.4, 1.2]), np.array([-1.0, 0.4, 0.6]))
    found = triangulate_pair(T, *rng.normal(0, 2, (2, 5000, 2)))
    found = found[~np.isnan(found).any(axis=1)]
    assert len(found) > 100
    assert (found[:, 2] > 0).all()
    assert (transform(T, found)[:, 2] > 0).all()


def test_no_rays_give_no_points() -> None:
    none = np.zeros((0, 2))
    assert triangulate_pair(T_1_0, none, none).shape == (0, 3)
    no_index = np.zeros(0, np.int64)
    found = triangulate_tracks(arc(), no_index, no_index, none, num_tracks=4)
    assert found.shape == (4, 3)
    assert np.isnan(found).all()


def test_exact_tracks_give_the_exact_points() -> None:
    points = cloud()
    found = triangulate_tracks(arc(), *seen_by_all(arc(), points), num_tracks=len(points))
    assert np.allclose(found, points, rtol=1e-9)


def test_tracks_far_from_the_origin_lose_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triangulation, "REFINEMENTS", 0)
    shift = np.array([3e4, -2e4, 1e4])
    T = np.array([T_cam_world @ from_rotation_vector(np.zeros(3), -shift) for T_cam_world in arc()])
    points = cloud()
    found = triangulate_tracks(T, *seen_by_all(arc(), points), num_tracks=len(points))
    assert np.abs(found - shift - points).max() < 1.5e-10


@pytest.mark.parametrize("step", [np.array([0.4, 0, 0.05]), np.array([0.1, 0, 0.7])])
def test_noisy_tracks_reach_the_least_reprojection_error(step: np.ndarray) -> None:
    points, sigma = cloud(500), 0.5 / 500
    T = np.array([inverse(from_rotation_vector(np.zeros(3), i * step)) for i in range(6)])
    views, tracks, rays = seen_by_all(T, points, sigma)
    found = triangulate_tracks(T, views, tracks, rays, num_tracks=len(points))
    errors = reprojection_errors(T[views], found[tracks], rays, np.eye(3))
    # 2 V coordinates measure 3 unknowns.
    expected = sigma * np.sqrt((2 * len(T) - 3) / len(T))
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(expected, rel=0.03)


def test_no_refinement_makes_a_track_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    T, num_tracks = arc(3), 3000
    views, tracks = np.repeat([0, 1, 2], num_tracks), np.tile(np.arange(num_tracks), 3)
    rays = np.random.default_rng(0).normal(0, 0.5, (3 * num_tracks, 2))  # of nothing at all
    sums = []
    for num in (0, 1, 2):
        monkeypatch.setattr(triangulation, "REFINEMENTS", num)
        found = triangulate_tracks(T, views, tracks, rays, num_tracks)
        errors = reprojection_errors(T[views], found[tracks], rays, np.eye(3))
        sums.append(np.bincount(tracks, weights=errors**2))
    is_found = np.isfinite(sums[0])
    assert np.count_nonzero(is_found) > 100
    assert (sums[1][is_found] <= sums[0][is_found]).all()
    assert (sums[2][is_found] <= sums[1][is_found]).all()


def test_more_views_give_better_points_than_two() -> None:
    points, T = cloud(500), arc()
    views, tracks, rays = seen_by_all(T, points, 0.5 / 500)
    all_views = triangulate_tracks(T, views, tracks, rays, len(points))
    ends = np.isin(views, [0, 1])
    two_views = triangulate_tracks(T, views[ends], tracks[ends], rays[ends], len(points))
    off_all, off_two = (np.abs(f - points)[:, 2] for f in (all_views, two_views))
    assert np.nanmedian(off_all) < 0.5 * np.nanmedian(off_two)


def test_tracks_of_one_view_of_one_centre_or_behind_are_nan_and_the_others_stay() -> None:
    points, T = cloud(6), arc(3)
    T = np.concatenate([T, T[:1]])
    T[3, :3, :3] = from_rotation_vector(np.array([0, 0.1, 0]), np.zeros(3))[:3, :3] @ T[3, :3, :3]
    T[3, :3, 3] = from_rotation_vector(np.array([0, 0.1, 0]), np.zeros(3))[:3, :3] @ T[0, :3, 3]
    points[2] = -points[2]  # behind all
    views, tracks, rays = seen_by_all(T, points, 1e-4)
    keep = (tracks != 0) | (views == 1)  # one view
    keep &= (tracks != 1) | (views == 0) | (views == 3)  # the same centre twice
    keep &= tracks != 4  # not at all
    found = triangulate_tracks(T, views[keep], tracks[keep], rays[keep], len(points))
    assert np.isnan(found[[0, 1, 2, 4]]).all()
    assert np.abs(found[[3, 5]] - points[[3, 5]]).max() < 0.1


def test_parallax_is_the_angle_at_the_point() -> None:
    points = np.array([[0, 0, 1.0], [0, 0, 100.0], [0.5, 0, 0], [5.0, 0, 0], [np.nan, 0, 0]])
    angles = parallax_angles(np.zeros(3), np.array([1.0, 0, 0]), points)
    assert np.allclose(angles[:4], [np.pi / 4, np.arctan(0.01), np.pi, 0.0])
    assert np.isnan(angles[4])
    centres = np.repeat([[1.0, 0, 0]], 5, axis=0)
    assert np.array_equal(angles, parallax_angles(np.zeros(3), centres, points), equal_nan=True)


def test_tiny_parallax_is_exact() -> None:
    angle = parallax_angles(np.zeros(3), np.array([1e-9, 0, 0]), np.array([[0, 0, 1.0]]))
    assert angle[0] == pytest.approx(1e-9, rel=1e-6)


def test_reprojection_errors_are_pixels_off_and_inf_behind() -> None:
    points, K = cloud(5), VGA.K
    pixels = rays_of(transform(T_1_0, points)) @ K[:2, :2].T + K[:2, 2] + [3.0, -4.0]
    assert np.allclose(reprojection_errors(T_1_0, points, pixels, K), 5)
    each = np.repeat(T_1_0[None], 5, axis=0)
    each[1] = np.eye(4)
    points[2, 2] = -5
    points[3, 0] = np.nan
    errors = reprojection_errors(each, points, pixels, K)
    assert np.allclose(errors[[0, 4]], 5)
    assert errors[1] > 20
    assert np.isinf(errors[2:4]).all()
