"""What every tracker of the registry promises."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.trackers import NEW, TRACKERS, FollowsPoints, Tracked

WIDE = texture(0, 160, 260)
SEQUENCES = {
    "moving": [WIDE[:, x : x + 200] for x in (0, 4, 9, 12)],
    "colour": [np.dstack([WIDE[:, x : x + 200], WIDE[:, x + 30 : x + 230], WIDE[:, x : x + 200]]) for x in (0, 5, 10)],
    "unrelated": [texture(seed, 160, 200) for seed in range(3)],
    "black": [np.zeros((160, 200), np.uint8)] * 3,
    "white": [np.full((160, 200, 3), 255, np.uint8)] * 3,
    "black and back": [WIDE[:, :200], np.zeros((160, 200), np.uint8), WIDE[:, :200], WIDE[:, 3:203]],
    "noise": [np.random.default_rng(seed).integers(0, 256, (160, 200), np.uint8) for seed in range(3)],
    "1 x 1": [np.full((1, 1), 9, np.uint8)] * 3,
    "1 x 1 colour": [np.full((1, 1, 3), 9, np.uint8)] * 3,
    "one row": [texture(seed, 1, 160) for seed in range(3)],
    "one column": [texture(seed, 160, 1) for seed in range(3)],
    "5 x 4": [texture(0, 4, 5)] * 3,
    "18 x 20": [texture(0, 20, 18)] * 3,
    "checker": [np.kron(np.indices((10, 12)).sum(axis=0) % 2, np.ones((16, 16))).astype(np.uint8) * 200] * 3,
}  # fmt: skip


@pytest.fixture(params=TRACKERS.names())
def tracker(request: pytest.FixtureRequest) -> FollowsPoints:
    made: FollowsPoints = TRACKERS.create(request.param)
    return made


def track(
    tracker: FollowsPoints, images: Iterable[np.ndarray], mask: np.ndarray | None = None
) -> list[Tracked]:
    results: list[Tracked] = []
    for image in images:
        results.append(
            tracker.follow(results[-1], image, mask) if results else tracker.start(image, mask)
        )
    return results


def as_bytes(results: list[Tracked]) -> list[bytes]:
    return [a.tobytes() for r in results for a in (r.keypoints, r.origins, r.scores)]


@pytest.mark.parametrize("name", SEQUENCES)
def test_shapes_dtypes_bounds_and_order_hold_for_every_picture(
    tracker: FollowsPoints, name: str
) -> None:
    images = SEQUENCES[name]
    results = track(tracker, images)
    assert (results[0].origins == NEW).all()
    for i, found in enumerate(results):
        num = len(found.keypoints)
        assert found.keypoints.dtype == found.scores.dtype == np.float32
        assert found.origins.dtype == np.int64
        assert (found.keypoints.shape, found.origins.shape, found.scores.shape) == (
            (num, 2),
            (num,),
            (num,),
        )
        assert (
            (found.keypoints > -0.5) & (found.keypoints < np.array(images[i].shape[1::-1]) - 0.5)
        ).all()
        assert np.isfinite(found.scores).all()
        followed = found.origins[: np.sum(found.origins != NEW)]
        assert (followed >= 0).all()
        assert (np.diff(followed) > 0).all()
        assert (followed < (len(results[i - 1].keypoints) if i else 0)).all()


@pytest.mark.parametrize("name", ["black", "white", "1 x 1", "1 x 1 colour"])
def test_a_picture_without_content_has_no_points(tracker: FollowsPoints, name: str) -> None:
    assert [len(found.keypoints) for found in track(tracker, SEQUENCES[name])] == [0, 0, 0]


def test_a_shifted_picture_is_followed(tracker: FollowsPoints) -> None:
    results = track(tracker, SEQUENCES["moving"])
    for prev, cur, shift in zip(results, results[1:], (4, 5, 3), strict=False):
        rows = cur.origins != NEW
        moved = cur.keypoints[rows] - prev.keypoints[cur.origins[rows]]
        gap = np.linalg.norm(moved + np.float32([shift, 0]), axis=1)
        assert rows.sum() > 30
        assert np.median(gap) < 0.05
        assert (gap < 1).mean() > 0.95


def test_a_higher_score_is_more_exact(tracker: FollowsPoints) -> None:
    noise = np.random.default_rng(0).normal(0, 20, (160, 200))
    noise[:, 100:] *= 0.2
    second = np.clip(WIDE[:, 4:204] + noise, 0, 255).astype(np.uint8)
    prev, cur = track(tracker, [WIDE[:, :200], second])
    rows = np.flatnonzero(cur.origins != NEW)
    gap = np.linalg.norm(cur.keypoints[rows] - prev.keypoints[cur.origins[rows]] + [4, 0], axis=1)
    is_high = cur.scores[rows] > np.median(cur.scores[rows])
    assert gap[is_high].mean() < 0.8 * gap[~is_high].mean()


def test_no_point_lies_outside_the_mask(tracker: FollowsPoints) -> None:
    mask = np.zeros((160, 200), np.uint8)
    mask[30:, 50:170] = 7
    for found in track(tracker, SEQUENCES["moving"], mask):
        x, y = np.rint(found.keypoints).astype(int).T
        assert len(x) > 20
        assert (mask[y, x] != 0).all()
    assert len(tracker.start(WIDE, np.zeros_like(WIDE)).keypoints) == 0


def test_three_equal_channels_are_followed_as_grey(tracker: FollowsPoints) -> None:
    grey = SEQUENCES["moving"]
    colour = [np.dstack([image] * 3) for image in grey]
    assert as_bytes(track(tracker, grey)) == as_bytes(track(tracker, colour))


def test_images_and_earlier_results_are_not_written_to(tracker: FollowsPoints) -> None:
    images = [image.copy() for image in SEQUENCES["moving"]]
    first = tracker.start(images[0], None)
    before = as_bytes([first])
    once, again = (as_bytes([tracker.follow(first, images[1], None)]) for _ in range(2))
    assert once == again
    assert as_bytes([first]) == before
    assert all(np.array_equal(a, b) for a, b in zip(images, SEQUENCES["moving"], strict=True))


def test_calls_and_threads_give_the_same_to_the_last_bit(tracker: FollowsPoints) -> None:
    names = ["moving", "unrelated", "noise"] * 3
    expected = {name: as_bytes(track(tracker, SEQUENCES[name])) for name in names}
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda name: as_bytes(track(tracker, SEQUENCES[name])), names)
        for name, found in zip(names, results, strict=True):
            assert found == expected[name]


def test_the_number_of_threads_of_opencv_changes_nothing(tracker: FollowsPoints) -> None:
    picture = texture(3, 480, 700)
    images = [picture[:, x : x + 640] for x in (0, 7, 20, 31)]
    before = cv2.getNumThreads()
    results = []
    for num_threads in (1, 2, 1):
        cv2.setNumThreads(num_threads)
        results.append(as_bytes(track(tracker, images)))
    cv2.setNumThreads(before)
    assert results[0] == results[1] == results[2]
