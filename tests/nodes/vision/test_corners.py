"""Corners: where they are, how strong, and how they are spread."""

import math

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.vision.corners import (
    cell_side,
    cells_of,
    corner_strength,
    find_corners,
    first_of_each_cell,
)

NONE = np.empty((0, 2), np.float32)


def anywhere(image: np.ndarray) -> np.ndarray:
    return np.ones(image.shape, np.bool_)


def test_strength_is_that_of_opencv_in_grey_levels_a_pixel() -> None:
    picture = texture(0, 120, 160)
    expected = np.sqrt(np.maximum(cv2.cornerMinEigenVal(picture, 5), 0)) * 127.5
    found = corner_strength(picture)
    assert found.dtype == np.float32
    assert np.allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-2)


def test_a_ramp_has_no_corner_and_strength_grows_with_contrast() -> None:
    ramp = np.tile(np.arange(0, 200, 4, dtype=np.uint8), (50, 1))
    assert corner_strength(ramp).max() == 0
    half = texture(0, 120, 160) // 2
    assert np.allclose(corner_strength(half * 2), 2 * corner_strength(half), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1)])
def test_a_line_of_pixels_has_no_corners(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert corner_strength(picture).max() == 0


def test_the_corners_of_a_square_are_found() -> None:
    picture = np.zeros((80, 100), np.uint8)
    picture[20:60, 30:70] = 200
    picture = cv2.GaussianBlur(picture, None, 1.0)
    found = find_corners(corner_strength(picture), anywhere(picture), NONE, 20, 5.0)
    truth = np.array([[29.5, 19.5], [69.5, 19.5], [29.5, 59.5], [69.5, 59.5]])
    assert len(found) == 4
    gap = np.linalg.norm(found[:, None] - truth, axis=2).min(axis=1)
    assert gap.max() < 2.5


def test_every_cell_of_a_textured_picture_has_its_strongest_corner() -> None:
    picture = texture(0)
    strength = corner_strength(picture)
    found = find_corners(strength, anywhere(picture), NONE, 24, 0.5)
    cells = cells_of(found, 320, 24)
    assert len(set(cells)) == len(cells) > 0.9 * math.ceil(320 / 24) * math.ceil(240 / 24)
    values = [strength[y, x] for x, y in found.astype(int)]
    assert values == sorted(values, reverse=True)


def test_corners_keep_away_from_each_other_and_from_points_that_are_held() -> None:
    picture = texture(1)
    held = np.float32([[100.4, 80.3], [101.0, 130.0], [250.0, 31.0]])
    found = find_corners(corner_strength(picture), anywhere(picture), held, 24, 0.5)
    assert not np.isin(cells_of(held, 320, 24), cells_of(found, 320, 24)).any()
    points = np.concatenate([found, held])
    gaps = np.abs(points[:, None] - points).max(axis=2)[np.triu_indices(len(points), 1)]
    assert gaps.min() > 24 // 4


def test_weak_corners_and_those_outside_what_is_allowed_are_left_out() -> None:
    picture = texture(2)
    strength, allowed = corner_strength(picture), np.zeros(picture.shape, np.bool_)
    allowed[:, 200:] = True
    found = find_corners(strength, allowed, NONE, 16, 4.0)
    assert len(found) > 20
    assert found[:, 0].min() >= 200
    assert min(strength[y, x] for x, y in found.astype(int)) >= 4
    assert len(find_corners(strength, allowed, NONE, 16, 1e4)) == 0


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (376, 1241), (1, 1), (1080, 1920), (7, 3000)]
)
@pytest.mark.parametrize("max_cells", [1, 50, 1000])
def test_cells_are_as_small_as_their_number_allows(height: int, width: int, max_cells: int) -> None:
    def count(side: int) -> int:
        return math.ceil(height / side) * math.ceil(width / side)

    side = cell_side(height, width, 16, max_cells)
    assert side >= 16
    assert count(side) <= max_cells
    assert side == 16 or count(side - 1) > max_cells


def test_cells_are_numbered_row_by_row() -> None:
    points = np.float32([[0, 0], [9.4, 9.4], [9.6, 0], [24, 0], [0, 10]])
    assert cells_of(points, 25, 10).tolist() == [0, 0, 1, 2, 3]
    assert first_of_each_cell(points, 25, 10).tolist() == [0, 2, 3, 4]
