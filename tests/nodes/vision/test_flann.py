"""Approximate neighbours: nearly those of a full comparison, and the same ones each time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.vision.flann import MIN_INDEXED, find_approximate_neighbours
from nodes.vision.matching import Neighbours, find_neighbours

FIELDS = ("nearest", "distance", "second", "nearest_back")


def floats(num: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return descriptors and noisy copies of them."""
    rng = np.random.default_rng(seed)
    descriptors = rng.normal(size=(num, 64)).astype(np.float32)
    return descriptors, (descriptors + rng.normal(0, 0.5, (num, 64))).astype(np.float32)


def bits(num: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    descriptors = rng.integers(0, 256, (num, 32)).astype(np.uint8)
    flips = np.packbits(rng.random((num, 256)) < 0.05, axis=1)
    return descriptors, descriptors ^ flips


def search(pair: tuple[np.ndarray, np.ndarray], **changes: int) -> Neighbours:
    return find_approximate_neighbours(
        *pair, **{"trees": 4, "checks": 64, "with_back": True, **changes}
    )


def as_bytes(found: Neighbours) -> list[bytes]:
    return [getattr(found, name).tobytes() for name in FIELDS]


@pytest.mark.parametrize("pair", [floats, bits])
def test_nearly_every_neighbour_is_the_true_one_with_its_true_distance(pair: Callable) -> None:
    found, truth = search(pair()), find_neighbours(*pair())
    is_right = found.nearest == truth.nearest
    assert is_right.mean() > 0.97
    assert np.allclose(found.distance[is_right], truth.distance[is_right], rtol=1e-5)
    assert (found.second >= truth.second * 0.999).all()
    assert (found.nearest_back == truth.nearest_back).mean() > 0.97


@pytest.mark.parametrize("pair", [floats, bits])
def test_builds_in_several_threads_at_once_give_the_same_to_the_bit(pair: Callable) -> None:
    expected = as_bytes(search(pair()))
    cv2.setRNGSeed(12345)
    cv2.randu(np.zeros(7), 0, 1)
    assert as_bytes(search(pair())) == expected
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: search(pair()), range(16)):
            assert as_bytes(found) == expected


def test_more_checks_find_more() -> None:
    pair = floats(3000)
    truth = find_neighbours(*pair).nearest
    shares = [float((search(pair, checks=n).nearest == truth).mean()) for n in (4, 32, 1000)]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.99


def test_a_query_whose_buckets_are_empty_is_compared_with_all() -> None:
    descriptors, others = bits(MIN_INDEXED)[0], 255 - bits(MIN_INDEXED)[0][::-1].copy()
    found, truth = search((descriptors, others)), find_neighbours(descriptors, others)
    assert np.isfinite(found.second).all()
    assert (found.second >= truth.second).all()
    assert (found.nearest == truth.nearest).mean() > 0.5


def test_a_few_are_compared_exactly() -> None:
    pair = tuple(one[: MIN_INDEXED - 1] for one in floats())
    assert as_bytes(search(pair)) == as_bytes(find_neighbours(*pair))


def test_the_way_back_is_searched_only_where_it_is_wanted() -> None:
    assert (search(floats(), with_back=False).nearest_back == -1).all()


def test_what_is_not_finite_is_nobodys_neighbour() -> None:
    descriptors, others = floats()
    descriptors[3], others[5] = np.nan, np.inf
    found = search((descriptors, others))
    assert np.isinf(found.distance[3])
    assert not (found.nearest[np.isfinite(found.distance)] == 5).any()
    assert np.isinf(found.distance).sum() == 1
    assert not (found.nearest_back == 3)[np.arange(600) != 5].any()


@pytest.mark.data
def test_on_real_pictures_it_finds_nearly_what_brute_force_finds(
    data_dir: Callable[[str], Path],
) -> None:
    frames = sorted((data_dir("kitti00") / "frames").iterdir())
    sift = cv2.SIFT.create(2000)
    pair = [
        sift.detectAndCompute(cv2.imread(str(frames[i]), cv2.IMREAD_GRAYSCALE), None)[1]
        for i in (0, 2)
    ]
    found, truth = search((pair[0], pair[1])), find_neighbours(*pair)
    is_clear = truth.distance < 0.8 * truth.second
    assert is_clear.sum() > 300
    assert (found.nearest == truth.nearest)[is_clear].mean() > 0.97
