"""Optical flow: points are found where a known warp took them, and lost where they vanished."""

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.vision.optical_flow import (
    Search,
    flow_of_neighbours,
    follow_points,
    follow_predicted,
    is_inside,
)

SEARCH = Search(window_px=15, levels=4, max_error_px=0.5)
PICTURE = texture(0)


def grid(step: int = 20, margin: int = 30) -> np.ndarray:
    height, width = PICTURE.shape
    x, y = np.meshgrid(
        np.arange(margin, width - margin, step), np.arange(margin, height - margin, step)
    )
    return np.column_stack([x.ravel(), y.ravel()]).astype(np.float32)


def shifted(dx: float, dy: float) -> np.ndarray:
    H = np.array([[1, 0, dx], [0, 1, dy]], float)
    return cv2.warpAffine(
        PICTURE, H, PICTURE.shape[::-1], flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101
    )


def test_a_shift_by_fractions_of_a_pixel_is_followed_within_0_05_px() -> None:
    points = grid()
    found = follow_points(PICTURE, shifted(5.3, -2.6), points, points, SEARCH)
    assert found.is_found.mean() > 0.95
    gap = np.linalg.norm(found.points - points - [5.3, -2.6], axis=1)[found.is_found]
    assert np.median(gap) < 0.05
    assert gap.max() < 0.3


def test_what_is_covered_up_does_not_come_back_to_its_start() -> None:
    points, cur = grid(), shifted(3, 0)
    cur[:, 160:] = texture(5)[:, 160:]
    found = follow_points(PICTURE, cur, points, points, SEARCH)
    is_seen = points[:, 0] < 140
    assert found.is_found[is_seen].mean() > 0.95
    assert found.is_found[points[:, 0] > 180].mean() < 0.1
    assert np.isinf(found.errors[~found.is_found]).all()


def test_what_leaves_the_picture_is_lost() -> None:
    points = grid()
    found = follow_points(PICTURE, shifted(60, 0), points, points + np.float32([60, 0]), SEARCH)
    leaves = points[:, 0] + 60 > PICTURE.shape[1] - 0.5
    assert leaves.any()
    assert not found.is_found[leaves].any()
    assert found.is_found[points[:, 0] + 60 < PICTURE.shape[1] - 20].mean() > 0.95


def test_the_largest_forward_backward_error_is_a_setting() -> None:
    points, cur = grid(), shifted(3, 0)
    cur[:, 160:] = texture(5)[:, 160:]
    loose, strict = (
        follow_points(PICTURE, cur, points, points, Search(15, 4, limit)) for limit in (10.0, 0.05)
    )
    assert (strict.errors[strict.is_found] <= 0.05).all()
    assert 0 < strict.is_found.sum() < loose.is_found.sum()
    assert np.array_equal(strict.points, loose.points)


def test_a_guess_reaches_further_than_the_pyramid() -> None:
    points, cur = grid(), shifted(70, 30)
    near = Search(11, 1, 0.5)
    stays = np.float32([70, 30]) + points < np.array(PICTURE.shape[::-1]) - 20
    inner = stays.all(axis=1)
    blind = follow_points(PICTURE, cur, points, points, near)
    guided = follow_points(PICTURE, cur, points, points + np.float32([68, 31]), near)
    assert guided.is_found[inner].mean() > 0.9
    gap = np.linalg.norm(blind.points - points - [70, 30], axis=1)
    assert (gap[inner & blind.is_found] > 5).all()  # what came back from elsewhere only looks alike


def test_a_bad_prediction_is_found_out_and_forgotten() -> None:
    points, cur = grid(), shifted(12, 9)
    near = Search(11, 1, 0.5)
    wrong = np.full_like(points, -40)
    alone = follow_points(PICTURE, cur, points, points + wrong, near)
    found = follow_predicted(PICTURE, cur, points, wrong, near, levels=4)
    gap = np.linalg.norm(found.points - points - [12, 9], axis=1)
    assert ((gap < 0.3) & found.is_found).mean() > 0.9
    assert alone.is_found.mean() < 0.3


def test_lost_points_are_looked_for_where_their_neighbours_went() -> None:
    points, cur = grid(), shifted(-25, 4)
    flow = np.tile(np.float32([-25, 4]), (len(points), 1))
    flow[::4] = 0  # a quarter does not know
    near = Search(11, 1, 0.5)
    alone = follow_points(PICTURE, cur, points, points + flow, near)
    found = follow_predicted(PICTURE, cur, points, flow, near, levels=4)
    inner = points[:, 0] > 45
    assert ((np.linalg.norm(found.points - points - [-25, 4], axis=1) < 0.3) & found.is_found)[
        inner
    ].mean() > 0.95
    assert alone.is_found[inner].mean() < 0.9


def test_nothing_is_followed_to_nothing() -> None:
    none = np.empty((0, 2), np.float32)
    for found in (
        follow_points(PICTURE, PICTURE, none, none, SEARCH),
        follow_predicted(PICTURE, PICTURE, none, none, SEARCH, 4),
    ):
        assert found.points.shape == (0, 2)
        assert found.errors.shape == (0,)


def test_a_flat_picture_loses_every_point() -> None:
    points, black = grid(), np.zeros_like(PICTURE)
    for cur in (black, PICTURE):
        found = follow_predicted(black, cur, points, np.zeros_like(points), SEARCH, 4)
        assert not found.is_found.any()


def test_the_flow_of_neighbours_is_the_median_of_the_nearest() -> None:
    near = np.float32([[x, y] for y in range(3) for x in range(3)])
    known = np.concatenate([near, near + 100])
    flow = np.float32([[i, 5] for i in (1, 2, 3, 4, 6, 90, 91, 92, 93)] + [[-7, -7]] * 9)
    found = flow_of_neighbours(np.float32([[1.2, 0.9], [101.4, 103]]), known, flow)
    assert found.tolist() == [[6, 5], [-7, -7]]
    assert flow_of_neighbours(known[:2], known[5:6], flow[5:6]).tolist() == [[90, 5], [90, 5]]
    assert flow_of_neighbours(known, known[:0], flow[:0]).tolist() == [[0, 0]] * 18
    assert flow_of_neighbours(known[:0], known, flow).shape == (0, 2)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0, 0), True),
        ((-0.4, 3), True),
        ((-0.6, 3), False),
        ((9.4, 4.4), True),
        ((9.6, 4), False),
        ((4, 4.6), False),
        ((np.nan, 1), False),
        ((np.inf, 1), False),
    ],
)
def test_a_point_is_inside_where_it_lies_on_a_pixel(
    point: tuple[float, float], expected: bool
) -> None:
    assert is_inside(np.float32([point]), (5, 10)).tolist() == [expected]
