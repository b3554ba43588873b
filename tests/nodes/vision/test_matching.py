"""Nearest neighbours against OpenCV's, and the tests that make matches of them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.vision.matching import (
    best_per_target,
    distinctness,
    find_neighbours,
    prepare,
    select_matches,
)

Rows = list[tuple[int, int]]


def sift(image: np.ndarray) -> np.ndarray:
    """Return raw SIFT descriptors (N, 128), which are integers."""
    return cv2.SIFT.create(1000).detectAndCompute(image, None)[1]


def synthetic_pair() -> tuple[np.ndarray, np.ndarray]:
    image = texture(1, 300, 400)
    turn = cv2.getRotationMatrix2D((200, 150), 10, 1.1)
    return sift(image), sift(cv2.warpAffine(image, turn, (400, 300)))


def pair_with_ties() -> tuple[np.ndarray, np.ndarray]:
    """Few distinct small descriptors, so that most distances occur several times."""
    rng = np.random.default_rng(0)
    return tuple(rng.integers(0, 3, (n, 4)).astype(np.float32) for n in (150, 120))  # type: ignore[return-value]


def extreme_pair() -> tuple[np.ndarray, np.ndarray]:
    """The largest distances that bytes can have: sums up to 128 * 255^2 * 2 must stay exact."""
    rng = np.random.default_rng(0)
    return tuple(255 * rng.integers(0, 2, (n, 128)).astype(np.float32) for n in (60, 50))  # type: ignore[return-value]


def opencv_ratio_matches(descriptors0: np.ndarray, descriptors1: np.ndarray, ratio: float) -> Rows:
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors0, descriptors1, 2)
    return [(m.queryIdx, m.trainIdx) for m, n in pairs if m.distance < ratio * n.distance]


def opencv_mutual_matches(descriptors0: np.ndarray, descriptors1: np.ndarray) -> Rows:
    found = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(descriptors0, descriptors1)
    return [(m.queryIdx, m.trainIdx) for m in found]


def assert_like_opencv(descriptors0: np.ndarray, descriptors1: np.ndarray) -> None:
    found = find_neighbours(descriptors0, descriptors1)
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors0, descriptors1, 2)
    assert found.nearest.tolist() == [m.trainIdx for m, _ in pairs]
    assert found.distance.tolist() == [m.distance for m, _ in pairs]
    assert found.second.tolist() == [n.distance for _, n in pairs]
    for ratio in (0.7, 0.8, 0.9):
        expected = opencv_ratio_matches(descriptors0, descriptors1, ratio)
        assert [tuple(row) for row in select_matches(found, ratio)] == expected
    mutual = [tuple(row) for row in select_matches(found, cross_check=True)]
    assert mutual == opencv_mutual_matches(descriptors0, descriptors1)


@pytest.mark.parametrize("pair", [synthetic_pair, pair_with_ties, extreme_pair])
def test_neighbours_ratio_test_and_cross_check_equal_opencv_to_the_last_bit(pair: Callable) -> None:
    assert_like_opencv(*pair())


@pytest.mark.data
@pytest.mark.parametrize("name", ["kitti00", "redkitchen", "board_a"])
def test_on_real_pictures_they_equal_opencv_to_the_last_bit(
    name: str, data_dir: Callable[[str], Path]
) -> None:
    frames = sorted((data_dir(name) / "frames").iterdir())
    prev, cur = (sift(cv2.imread(str(frames[i]), cv2.IMREAD_GRAYSCALE)) for i in (0, 3))
    assert len(opencv_ratio_matches(prev, cur, 0.8)) > 100
    assert_like_opencv(prev, cur)


def test_binary_descriptors_are_compared_by_their_bits_as_opencv_does() -> None:
    rng = np.random.default_rng(0)
    descriptors0, descriptors1 = (rng.integers(0, 256, (n, 4), np.uint8) for n in (90, 70))
    found = find_neighbours(descriptors0, descriptors1)
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(descriptors0, descriptors1, 2)
    assert found.nearest.tolist() == [m.trainIdx for m, _ in pairs]
    assert found.distance.tolist() == [m.distance for m, _ in pairs]
    assert found.second.tolist() == [n.distance for _, n in pairs]


def test_unit_descriptors_find_the_one_they_were_made_from() -> None:
    rng = np.random.default_rng(0)
    units = rng.normal(size=(500, 64))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    order = rng.permutation(500)
    noisy = (units[order] + rng.normal(0, 0.01, (500, 64))).astype(np.float32)
    found = find_neighbours(units.astype(np.float32), noisy)
    assert order[found.nearest].tolist() == list(range(500))
    assert np.abs(found.distance - 0.08).max() < 0.03


@pytest.mark.parametrize("max_table", [1, 119, 120, 121, 1000, 17_999])
def test_comparing_in_pieces_changes_nothing(max_table: int) -> None:
    pair = pair_with_ties()
    whole, pieces = find_neighbours(*pair), find_neighbours(*pair, max_table=max_table)
    for name in ("nearest", "distance", "second", "nearest_back"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize(("n0", "n1"), [(0, 0), (0, 5), (5, 0)])
def test_nothing_to_compare_gives_no_matches(n0: int, n1: int, dtype: type) -> None:
    found = find_neighbours(np.zeros((n0, 8), dtype), np.zeros((n1, 8), dtype))
    matches = select_matches(found, 0.8, cross_check=True)
    assert matches.shape == (0, 2)
    assert matches.dtype == np.int32


def test_without_a_second_neighbour_there_is_no_ratio_to_pass() -> None:
    found = find_neighbours(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[:1])
    assert np.isinf(found.second).all()
    assert len(select_matches(found, 0.99)) == 0
    assert select_matches(found, 1.0).tolist() == [[0, 0], [1, 0], [2, 0]]
    assert select_matches(found, 1.0, cross_check=True).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((2, 64), np.float32), r"float32 \(3, 128\) and float32 \(2, 64\) cannot be"),
        (np.zeros((2, 128), np.uint8), r"float32 \(3, 128\) and uint8 \(2, 128\) cannot be"),
    ],
)
def test_descriptors_of_different_kinds_cannot_be_compared(other: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_neighbours(np.zeros((3, 128), np.float32), other)


def test_of_several_matches_of_one_target_the_nearest_stays_and_the_first_of_equals() -> None:
    matches = np.array([[0, 7], [1, 5], [2, 7], [3, 5], [4, 6], [5, 5]], np.int32)
    distances = np.array([3, 2, 1, 2, 9, 4], np.float32)
    assert best_per_target(matches, distances).tolist() == [[1, 5], [2, 7], [4, 6]]
    assert best_per_target(matches[:0], distances[:0]).shape == (0, 2)


def test_distinctness_is_the_share_by_which_the_nearest_is_nearer() -> None:
    distances = np.array([1, 3, 5, 0, 2], np.float32)
    seconds = np.array([4, 4, 5, 0, np.inf], np.float32)
    assert distinctness(distances, seconds).tolist() == [0.75, 0.25, 0, 0, 1]
    assert distinctness(distances, seconds).dtype == np.float32


# ---------------------------------------------------------------- other distances


def cosines(descriptors0: np.ndarray, descriptors1: np.ndarray, *, centred: bool) -> np.ndarray:
    def unit(values: np.ndarray) -> np.ndarray:
        values = values - values.mean(axis=1, keepdims=True) if centred else values
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    return unit(descriptors0.astype(float)) @ unit(descriptors1.astype(float)).T


@pytest.mark.parametrize("distance", ["cosine", "correlation"])
def test_the_nearest_by_a_cosine_is_that_of_the_largest(distance: str) -> None:
    rng = np.random.default_rng(0)
    descriptors0, descriptors1 = (rng.gamma(1.0, 9.0, (n, 32)).astype(np.float32) for n in (90, 70))
    found = find_neighbours(prepare(descriptors0, distance), prepare(descriptors1, distance))
    table = cosines(descriptors0, descriptors1, centred=distance == "correlation")
    assert found.nearest.tolist() == table.argmax(axis=1).tolist()
    assert np.allclose(found.distance, np.sqrt(2 - 2 * table.max(axis=1)), atol=1e-5)
    assert found.nearest.tolist() != find_neighbours(descriptors0, descriptors1).nearest.tolist()


@pytest.mark.parametrize(("distance", "scale", "shift"), [("cosine", 7, 0), ("correlation", 3, 50)])
def test_a_cosine_sees_no_gain_and_a_correlation_no_offset(
    distance: str, scale: float, shift: float
) -> None:
    descriptors = np.random.default_rng(1).random((40, 16)).astype(np.float32)
    changed = prepare(descriptors * scale + shift, distance)
    assert np.allclose(prepare(descriptors, distance), changed, atol=1e-5)


def test_a_descriptor_without_direction_matches_nothing() -> None:
    descriptors = np.eye(4, dtype=np.float32)
    descriptors[2] = 0
    units = prepare(descriptors, "cosine")
    found = select_matches(find_neighbours(units, units))
    assert found.tolist() == [[0, 0], [1, 1], [3, 3]]
    assert np.isnan(prepare(np.full((1, 8), 5, np.float32), "correlation")).all()


def test_without_another_distance_nothing_is_copied() -> None:
    descriptors = np.ones((3, 4), np.float32)
    assert prepare(descriptors, "auto") is prepare(descriptors, "l2") is descriptors
    bits = np.ones((3, 4), np.uint8)
    assert prepare(bits, "auto") is bits


@pytest.mark.parametrize("distance", ["l2", "cosine", "correlation"])
def test_binary_descriptors_have_no_distance_but_hammings(distance: str) -> None:
    with pytest.raises(ValueError) as caught:
        prepare(np.zeros((3, 4), np.uint8), distance)
    assert str(caught.value) == (
        f"distance must be auto (Hamming's) for binary descriptors, not {distance!r}"
    )
