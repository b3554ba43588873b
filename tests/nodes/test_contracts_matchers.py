"""What every matcher of the registry promises."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from two_view_scene import texture

from nodes.detectors.sift import Sift
from nodes.matchers import MATCHERS, FindsMatches
from nodes.vision.keypoints import Keypoints
from pipeline.errors import ConfigError

WIDE = texture(0, 200, 280)


def described(offset: int, **options: object) -> Keypoints:
    """Describe a part of the picture that begins `offset` pixels from its left."""
    return Sift(Sift.Options(**options)).detect(WIDE[:, offset : offset + 260])


def equal_descriptors(num: int) -> Keypoints:
    found = described(0)
    rows = np.zeros(num, np.int64)
    return found.take(rows)


PAIRS = {
    "shifted": (described(0), described(12)),
    "of unit norm": (described(0, root_sift=True), described(12, root_sift=True)),
    "unrelated": (described(0), Sift().detect(texture(9, 200, 260))),
    "all equal": (equal_descriptors(20), equal_descriptors(30)),
    "one and many": (described(0).take(np.array([3])), described(0)),
    "many and one": (described(0), described(0).take(np.array([3]))),
    "none and many": (equal_descriptors(0), described(0)),
    "many and none": (described(0), equal_descriptors(0)),
    "none and none": (equal_descriptors(0), equal_descriptors(0)),
}


@pytest.fixture(params=MATCHERS.names())
def matcher(request: pytest.FixtureRequest) -> FindsMatches:
    made: FindsMatches = MATCHERS.create(request.param)
    return made


@pytest.mark.parametrize("name", PAIRS)
def test_each_index_occurs_at_most_once_and_in_order(matcher: FindsMatches, name: str) -> None:
    prev, cur = PAIRS[name]
    matches, scores = matcher.match(prev, cur)
    assert matches.dtype == np.int32
    assert scores.dtype == np.float32
    assert matches.shape == (len(scores), 2)
    assert np.isfinite(scores).all()
    assert (np.diff(matches[:, 0]) > 0).all()
    assert len(set(matches[:, 1])) == len(matches)
    assert ((matches >= 0) & (matches < [max(1, len(k.keypoints)) for k in (prev, cur)])).all()


@pytest.mark.parametrize("name", ["shifted", "of unit norm"])
def test_a_shifted_picture_is_matched_to_itself(matcher: FindsMatches, name: str) -> None:
    prev, cur = PAIRS[name]
    matches, _ = matcher.match(prev, cur)
    shift = prev.keypoints[matches[:, 0]] - cur.keypoints[matches[:, 1]]
    is_right = np.linalg.norm(shift - np.float32([12, 0]), axis=1) < 1
    assert is_right.sum() > 100
    assert is_right.mean() > 0.9


def test_a_higher_score_is_more_often_right(matcher: FindsMatches) -> None:
    prev, cur = described(0), Sift().detect(texture(0, 200, 280)[::2, ::2])
    matches, scores = matcher.match(prev, cur)
    gap = prev.keypoints[matches[:, 0]] / 2 - cur.keypoints[matches[:, 1]]
    is_right = np.linalg.norm(gap, axis=1) < 2
    half = np.median(scores)
    assert is_right[scores > half].mean() > is_right[scores <= half].mean()


@pytest.mark.parametrize("name", PAIRS)
def test_calls_and_threads_give_the_same_to_the_last_bit(matcher: FindsMatches, name: str) -> None:
    expected = [array.tobytes() for array in matcher.match(*PAIRS[name])]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: matcher.match(*PAIRS[name]), range(8)):
            assert [array.tobytes() for array in found] == expected


def test_pairs_in_a_batch_are_matched_as_each_alone(matcher: FindsMatches) -> None:
    pairs = list(PAIRS.values())
    for together, pair in zip(matcher.match_batch(pairs), pairs, strict=True):
        alone = matcher.match(*pair)
        assert [a.tobytes() for a in together] == [a.tobytes() for a in alone]


def test_binary_descriptors_are_compared_bit_by_bit(matcher: FindsMatches) -> None:
    bits = np.random.default_rng(0).integers(0, 256, (30, 32)).astype(np.uint8)
    order = np.random.default_rng(1).permutation(30)
    near = bits[order].copy()
    near[:, 0] ^= 1
    points = described(0).take(np.arange(30))
    prev, cur = replace(points, descriptors=bits), replace(points, descriptors=near)
    matches, scores = matcher.match(prev, cur)
    assert order[matches[:, 1]].tolist() == matches[:, 0].tolist() == list(range(30))
    assert (scores > 0.9).all()


@pytest.mark.parametrize("width", [16, 128])  # 16 bytes hold 128 bits
def test_descriptors_of_different_kinds_are_refused(matcher: FindsMatches, width: int) -> None:
    points = described(0).take(np.arange(5))  # float32, of length 128
    bits = replace(points, descriptors=np.ones((5, width), np.uint8))
    short = replace(points, descriptors=np.ones((5, 16), np.float32))
    for other in (bits, short):
        with pytest.raises(ValueError, match="cannot be compared"):
            matcher.match(points, other)
        with pytest.raises(ValueError, match="cannot be compared"):
            matcher.match(other, points)


@pytest.mark.parametrize("ratio", [1.0, 0.9])
def test_descriptors_that_are_not_finite_have_no_matches(ratio: float) -> None:
    matcher = MATCHERS.create("mutual_nearest", {"device": "cpu", "ratio": ratio})
    points = described(0).take(np.arange(5))
    bad = replace(points, descriptors=np.full((5, 128), np.nan, np.float32))
    assert len(matcher.match(points, points)[0]) == 5
    for pair in ((bad, points), (points, bad), (bad, bad)):
        assert len(matcher.match(*pair)[0]) == 0
    partly = points.descriptors.copy()
    partly[2, 7] = np.inf
    matches, _ = matcher.match(replace(points, descriptors=partly), points)
    assert matches.tolist() == [[0, 0], [1, 1], [3, 3], [4, 4]]


def test_descriptors_that_are_not_finite_match_nothing(matcher: FindsMatches) -> None:
    points = described(0).take(np.arange(5))
    broken = replace(points, descriptors=np.full((5, 8), np.nan, np.float32))
    assert len(matcher.match(broken, broken)[0]) == 0


# ---------------------------------------------------------------- other distances


@pytest.mark.parametrize("distance", ["l2", "cosine", "correlation"])
@pytest.mark.parametrize("name", MATCHERS.names())
def test_a_shifted_picture_is_matched_by_every_distance(name: str, distance: str) -> None:
    matcher = MATCHERS.create(name, {"distance": distance})
    prev, cur = PAIRS["shifted"]
    matches, scores = matcher.match(prev, cur)
    shift = prev.keypoints[matches[:, 0]] - cur.keypoints[matches[:, 1]]
    assert (np.linalg.norm(shift - np.float32([12, 0]), axis=1) < 1).mean() > 0.9
    assert len(matches) > 100
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", MATCHERS.names())
def test_a_distance_that_bits_do_not_have_is_a_mistake_of_the_user(name: str) -> None:
    bits = replace(described(0).take(np.arange(5)), descriptors=np.ones((5, 32), np.uint8))
    matcher = MATCHERS.create(name, {"distance": "cosine"})
    with pytest.raises(ConfigError) as caught:
        matcher.match(bits, bits)
    assert str(caught.value) == (
        "the matcher's options.distance must be auto (Hamming's) for binary descriptors, not 'cosine'"
    )


@pytest.mark.parametrize("num", [63, 64, 200])
@pytest.mark.parametrize("cross_check", [True, False])
def test_flann_matches_as_brute_force_does_on_an_easy_pair(num: int, cross_check: bool) -> None:
    rows = np.arange(num)
    prev, cur = (pair.take(rows) for pair in PAIRS["shifted"])
    found, expected = (
        {
            tuple(row)
            for row in MATCHERS.create(name, {"cross_check": cross_check}).match(prev, cur)[0]
        }
        for name in ("flann", "brute_force")
    )
    assert len(found & expected) > 0.95 * len(expected)
    assert len(found - expected) < 0.1 * len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.0}, "ratio must be more than 0 and at most 1, not 0.0"),
        ({"trees": 0}, "trees must be from 1 to 64, not 0"),
        ({"checks": 0}, "checks must be from 1 to 100000, not 0"),
    ],
)
def test_a_search_that_cannot_be_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        MATCHERS.load("flann").Options(**options)
    assert str(caught.value) == message
