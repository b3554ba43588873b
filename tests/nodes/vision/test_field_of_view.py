"""How much a camera sees, against what is known of simple ones."""

import math

import numpy as np
import pytest

from nodes.vision.camera import Camera
from nodes.vision.field_of_view import (
    angles_deg,
    corner_shift_px,
    field_of_view,
    max_angle_deg,
    picture_grid,
)

RIGHT_ANGLE = Camera(640, 480, 320.0, 320.0, 319.5, 239.5)
EQUIDISTANT = Camera(640, 480, 180 / math.pi, 180 / math.pi, 319.5, 239.5, model="fisheye")
"""A pixel a degree."""


def test_a_pinhole_sees_what_its_focal_length_says() -> None:
    view = field_of_view(RIGHT_ANGLE)
    assert view.horizontal_deg == pytest.approx(90)
    assert view.vertical_deg == pytest.approx(2 * math.degrees(math.atan(0.75)))
    assert view.diagonal_deg == pytest.approx(2 * math.degrees(math.atan(1.25)))


def test_a_fisheye_may_see_more_than_180_degrees_and_beyond_360_there_is_no_ray() -> None:
    view = field_of_view(EQUIDISTANT.resized(640, 480).cropped(160, 180, 320, 120))
    assert view.horizontal_deg == pytest.approx(320)
    assert view.vertical_deg == pytest.approx(120)
    assert math.isnan(field_of_view(EQUIDISTANT).horizontal_deg)


def test_an_angle_is_counted_from_the_axis() -> None:
    pixels = np.array([[319.5, 239.5], [419.5, 239.5], [319.5, 119.5]])
    assert angles_deg(EQUIDISTANT, pixels) == pytest.approx([0, 100, 120])


def test_a_corner_is_moved_as_far_as_the_lens_says() -> None:
    assert corner_shift_px(RIGHT_ANGLE) < 1e-9
    barrel = Camera(641, 481, 400.0, 400.0, 320.0, 240.0, (-0.1, 0.0, 0.0, 0.0))
    moved = np.hypot(*barrel.undistorted_pixels([[0.0, 0.0]])[0])
    assert corner_shift_px(barrel) == pytest.approx(moved)
    assert moved > 40
    assert math.isnan(corner_shift_px(EQUIDISTANT))


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (RIGHT_ANGLE, 90),
        (EQUIDISTANT, 90),
        (Camera(9, 9, 5.0, 5.0, 4.0, 4.0, (-0.2, 0, 0, 0), "fisheye"), 73.97),  # sqrt(1 / 0.6)
        (Camera(9, 9, 5.0, 5.0, 4.0, 4.0, (-0.5, 0, 0, 0)), 39.2),  # atan(sqrt(2 / 3))
    ],
)
def test_the_largest_angle_is_where_the_model_folds_and_at_most_90(
    camera: Camera, expected: float
) -> None:
    assert max_angle_deg(camera) == pytest.approx(expected, abs=0.1)


def test_the_grid_reaches_all_corners() -> None:
    grid = picture_grid(RIGHT_ANGLE)
    assert grid.min(axis=0).tolist() == [0, 0]
    assert grid.max(axis=0).tolist() == [639, 479]
