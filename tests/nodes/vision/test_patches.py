"""Patches: found again under a known change of view, brightness and contrast."""

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.vision.corners import corner_strength, find_corners
from nodes.vision.patches import Patches, cut_patches, find_patches

PICTURE = texture(0)
CENTRE = np.array([159.5, 119.5])


def corners() -> np.ndarray:
    allowed = np.zeros(PICTURE.shape, np.bool_)
    allowed[40:-40, 40:-40] = True
    return find_corners(corner_strength(PICTURE), allowed, np.empty((0, 2), np.float32), 24, 2.0)


def warped(A: np.ndarray, t: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Return the picture with x -> A (x - centre) + centre + t."""
    M = np.column_stack([A, CENTRE - A @ CENTRE + t])
    return cv2.warpAffine(
        PICTURE, M, PICTURE.shape[::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    )


def turned(zoom: float, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


VIEWS = {
    "zoom in": turned(1.06, 0),
    "zoom out": turned(0.95, 0),
    "roll": turned(1.0, 4),
    "shear": np.array([[1, 0.06], [0, 1]]),
    "all": turned(1.05, -3) @ np.array([[1, 0.03], [0.02, 0.98]]),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_of_view_is_found_and_does_not_move_the_point(name: str) -> None:
    A, points = VIEWS[name], corners()
    truth = (points - CENTRE) @ A.T + CENTRE
    off = np.random.default_rng(0).uniform(-0.7, 0.7, points.shape)
    found = find_patches(
        warped(A), (truth + off).astype(np.float32), cut_patches(PICTURE, points, 15), 6
    )
    gap = np.linalg.norm(found.points - truth, axis=1)
    assert len(points) > 40
    assert np.median(gap) < 0.05
    assert np.percentile(gap, 90) < 0.12
    assert np.median(found.similarity) > 0.995
    assert np.median(np.abs(found.patches.views - A)) < 0.02


def test_many_small_changes_of_view_do_not_add_up() -> None:
    points = corners()
    patches, at = cut_patches(PICTURE, points, 15), points
    for k in range(1, 16):
        found = find_patches(warped(turned(1.01**k, 0.5 * k)), at, patches, 2)
        at, patches = found.points, found.patches
    truth = (points - CENTRE) @ turned(1.01**15, 7.5).T + CENTRE
    inner = np.abs(truth - CENTRE).max(axis=1) < 90
    gap = np.linalg.norm(at - truth, axis=1)[inner]
    assert np.median(gap) < 0.08
    assert found.patches.is_sane.all()


def test_brightness_and_contrast_change_nothing() -> None:
    points = corners()
    cur = np.clip(np.rint(PICTURE * 0.6 + 30), 0, 255).astype(np.uint8)
    start = points + np.float32([0.6, -0.5])
    found = find_patches(cur, start, cut_patches(PICTURE, points, 15), 4)
    assert np.linalg.norm(found.points - points, axis=1).max() < 0.05
    assert found.similarity.min() > 0.99


def test_another_picture_is_not_similar() -> None:
    points = corners()
    found = find_patches(texture(7), points, cut_patches(PICTURE, points, 15), 3)
    assert np.percentile(found.similarity, 90) < 0.7


def test_the_first_look_stays_as_it_was() -> None:
    patches = cut_patches(PICTURE, corners(), 15)
    found = find_patches(warped(VIEWS["all"]), corners(), patches, 2)
    assert found.patches.looks is patches.looks
    assert np.allclose(np.linalg.norm(patches.looks, axis=1), 1, atol=1e-5)
    assert np.allclose(patches.views, np.eye(2))


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_patch_stays_where_it_is_and_resembles_nothing(value: int) -> None:
    flat, points = np.full((60, 60), value, np.uint8), np.float32([[30, 30], [0, 59]])
    patches = cut_patches(flat, points, 15)
    for cur in (flat, PICTURE[:60, :60]):
        found = find_patches(cur, points, patches, 3)
        assert np.array_equal(found.points, points)
        assert np.allclose(found.similarity, 0)


def test_a_view_that_mirrors_or_zooms_too_far_is_not_sane() -> None:
    views = np.float32(
        [
            np.eye(2),
            np.eye(2) * 1.9,
            np.eye(2) * 2.1,
            np.eye(2) * 0.4,
            np.diag([1, -1]),
            np.zeros((2, 2)),
            np.full((2, 2), np.nan),
        ]
    )
    patches = Patches(np.zeros((7, 9), np.float32), np.zeros((7, 6, 9), np.float32), views)
    assert patches.is_sane.tolist() == [True, True, False, False, False, False, False]


def test_patches_are_taken_and_joined_row_by_row() -> None:
    patches = cut_patches(PICTURE, corners(), 11)
    joined = patches.joined(np.array([3, 1]), patches.take(np.array([0])))
    assert np.array_equal(joined.looks, patches.looks[[3, 1, 0]])
    assert np.array_equal(joined.steps, patches.steps[[3, 1, 0]])
    assert len(joined.views) == 3


def test_no_points_have_no_patches() -> None:
    none = np.empty((0, 2), np.float32)
    patches = cut_patches(PICTURE, none, 15)
    found = find_patches(PICTURE, none, patches, 2)
    assert patches.looks.shape == (0, 225)
    assert found.points.shape == (0, 2)
    assert found.similarity.shape == (0,)
