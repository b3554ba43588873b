from functools import cache

import cv2
import numpy as np
import pytest

from nodes.vision.camera import Camera
from nodes.vision.paths import PATHS
from nodes.vision.se3 import inverse
from nodes.vision.tube import LIT_M, Tube, brightness

PHASE = np.array([0.3, 1.1, 2.0, 4.0, 5.0])
CAMERA = Camera(320, 240, 270.0, 270.0, 159.5, 119.5)


@cache
def tube() -> Tube:
    return Tube(np.random.default_rng(0), PHASE)


def pose(time: float) -> np.ndarray:
    return PATHS["tube"](time, PHASE)


def moved(prev: int, cur: int) -> tuple[np.ndarray, np.ndarray]:
    """Project each pixel of one view, by its depth and the true poses, into another.

    Returns where it is there (H, W, 2), and whether the other view sees the same point (H, W).
    """
    x, y = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    depth = tube().depth(CAMERA, pose(prev)).astype(float)
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones(x.shape)], 2)
    T = inverse(pose(cur)) @ pose(prev)
    points = (rays * depth[..., None]) @ T[:3, :3].T + T[:3, 3]
    pixels = CAMERA.project(points.reshape(-1, 3)).reshape(*x.shape, 2)
    there = cv2.remap(
        tube().depth(CAMERA, pose(cur)), pixels.astype(np.float32), None, cv2.INTER_LINEAR
    )
    return pixels, np.abs(there - points[..., 2]) < 0.01 * points[..., 2]


def test_a_point_keeps_its_colour_from_frame_to_frame_but_for_the_light() -> None:
    pixels, is_seen = moved(20, 24)
    assert is_seen.mean() > 0.6
    first, second = (tube().render(CAMERA, pose(i), gloss=0).astype(np.float32) for i in (20, 24))
    warped = cv2.remap(second, pixels.astype(np.float32), None, cv2.INTER_LINEAR)
    # The share of red does not depend on the light, the vessels show in it.
    share, share_there = (i[..., 1] / np.maximum(i.sum(axis=2), 1) for i in (first, warped))
    still = np.abs(share - second[..., 1] / np.maximum(second.sum(axis=2), 1))[is_seen].mean()
    assert np.abs(share - share_there)[is_seen].mean() < 0.5 * still
    assert np.corrcoef(share[is_seen], share_there[is_seen])[0, 1] > 0.9


def test_a_wrong_pose_does_not_keep_the_colours() -> None:
    pixels, is_seen = moved(20, 24)
    first, second = (tube().render(CAMERA, pose(i), gloss=0).astype(np.float32) for i in (20, 25))
    warped = cv2.remap(second, pixels.astype(np.float32), None, cv2.INTER_LINEAR)
    share, share_there = (i[..., 1] / np.maximum(i.sum(axis=2), 1) for i in (first, warped))
    assert np.corrcoef(share[is_seen], share_there[is_seen])[0, 1] < 0.8


def test_light_falls_with_the_square_of_the_distance_and_with_the_cosine() -> None:
    distance = np.float32([[LIT_M, 2 * LIT_M, 2 * LIT_M, LIT_M]])
    cosine = np.float32([[1, 1, 0.5, -0.5]])
    light = brightness(distance, cosine) ** 2.2
    np.testing.assert_allclose(light, [[1, 0.25, 0.125, 0]], atol=1e-4)


def test_rays_end_on_the_wall() -> None:
    depth = tube().depth(CAMERA, pose(30))
    x, y = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = np.stack([(x - CAMERA.cx) / CAMERA.fx, (y - CAMERA.cy) / CAMERA.fy, np.ones(x.shape)], 2)
    T = pose(30)
    points = (rays * depth[..., None]) @ T[:3, :3].T + T[:3, 3]
    gap = np.abs(tube().inside(points.astype(np.float32)))
    assert np.median(gap) < 1e-5
    assert np.mean(gap < 2e-4) > 0.98
    # Nothing stands between the camera and the wall that was found.
    for share in (0.3, 0.6, 0.9):
        between = T[:3, 3] + share * (points - T[:3, 3])
        assert np.mean(tube().inside(between.astype(np.float32)) > -2e-4) > 0.98


def test_highlights_move_over_the_wall() -> None:
    pixels, is_seen = moved(20, 24)
    lights = [
        tube().render(CAMERA, pose(i)).astype(np.float32)[..., 2]
        - tube().render(CAMERA, pose(i), gloss=0).astype(np.float32)[..., 2]
        for i in (20, 24)
    ]
    there = cv2.remap(lights[1], pixels.astype(np.float32), None, cv2.INTER_LINEAR)
    bright, bright_there = (light[is_seen] > 25 for light in (lights[0], there))
    assert bright.sum() > 50
    assert (bright & bright_there).sum() < 0.6 * (bright | bright_there).sum()


@pytest.mark.parametrize("seed", range(3))
def test_the_endoscope_never_touches_the_wall(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, 5)
    wall = Tube(rng, phase)
    places = np.array([PATHS["tube"](time, phase)[:3, 3] for time in range(0, 420, 3)])
    assert wall.inside(places[None].astype(np.float32)).min() > 0.003


def test_the_same_place_looks_the_same_a_period_later() -> None:
    T = pose(10)
    later = T.copy()
    later[2, 3] += 0.32
    difference = cv2.absdiff(tube().render(CAMERA, T), tube().render(CAMERA, later))
    assert np.mean(difference <= 2) > 0.99
