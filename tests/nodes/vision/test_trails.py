"""Trails follow the identity of points."""

import numpy as np
import pytest

from nodes.vision.trails import Trails


def points(*xs: float) -> np.ndarray:
    """Return points (N, 2) on a line."""
    return np.array([[x, 0] for x in xs], np.float32).reshape(-1, 2)


def follow(trails: Trails, ids_prev, ids_cur, prev, cur, is_true=None) -> np.ndarray:
    """Return the x of all trails (M, L)."""
    kept = np.ones(len(ids_cur), np.bool_) if is_true is None else np.array(is_true)
    found = trails.follow(
        np.array(ids_prev, np.int64), np.array(ids_cur, np.int64), points(*prev), points(*cur), kept
    )
    assert found.dtype == np.float32
    return found[..., 0]


def test_trail_leads_from_now_back_to_its_start() -> None:
    trails = Trails(4)
    follow(trails, [0, 1], [11, 10], [1, 5], [2, 6])
    follow(trails, [10, 11], [21, 20], [6, 2], [7, 3])
    found = follow(trails, [20, 21, 22], [30, 31, 32], [3, 7, 50], [4, 8, 51])
    np.testing.assert_array_equal(found, [[4, 3, 2, 1], [8, 7, 6, 5], [51, 50, np.nan, np.nan]])


def test_trail_is_no_longer_than_asked() -> None:
    trails = Trails(3)
    for step in range(5):
        found = follow(trails, [step], [step + 1], [step], [step + 1])
    np.testing.assert_array_equal(found, [[5, 4, 3]])


def test_wrong_match_is_shown_but_not_followed() -> None:
    trails = Trails(3)
    follow(trails, [0, 1], [10, 11], [1, 2], [3, 4], is_true=[True, False])
    found = follow(trails, [10, 11], [20, 21], [3, 4], [5, 6])
    np.testing.assert_array_equal(found, [[5, 3, 1], [6, 4, np.nan]])


def test_frame_without_matches_ends_all_trails() -> None:
    trails = Trails(2)
    follow(trails, [0], [10], [1], [2])
    assert follow(trails, [], [], [], []).shape == (0, 2)
    np.testing.assert_array_equal(follow(trails, [10], [20], [2], [3]), [[3, 2]])


def test_trail_of_one_position_is_refused() -> None:
    with pytest.raises(ValueError, match="length must be at least 2, not 1"):
        Trails(1)
