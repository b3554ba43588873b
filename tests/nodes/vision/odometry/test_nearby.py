import numpy as np
import pytest
from camera_world import shifted
from known_map import describe, known_map, pixels_of, scatter, seen_as, walk

from nodes.vision.odometry.local_map import LocalMap
from nodes.vision.odometry.nearby import Nearby, find_nearby
from nodes.vision.odometry.view import Descriptors
from nodes.vision.se3 import inverse

RADIUS_PX = 6.0
CAMERA_AT = shifted(0.3, 0.1, 0.0)
NUM = 60
FRAME = np.array([[0.0, 0.0], [639.0, 479.0]])
"""Keypoints in the corners, so that the whole picture counts as looked at."""


def binary(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (NUM, 32)).astype(np.uint8)


def find(known: LocalMap, offset: np.ndarray, descriptors: Descriptors) -> Nearby:
    """Look for all landmarks, shown in their order with the offset (N, 2), corners last."""
    keypoints = np.concatenate([pixels_of(known.points, CAMERA_AT) + offset, FRAME])
    corners = np.random.default_rng(5).normal(size=(2, descriptors.shape[1]))
    seen = seen_as(keypoints, np.concatenate([descriptors, corners.astype(descriptors.dtype)]))
    return find_nearby(known, known.ids, inverse(CAMERA_AT), seen, RADIUS_PX)


@pytest.mark.parametrize("descriptors", [describe(NUM), binary()], ids=["float32", "uint8"])
def test_landmarks_are_found_where_they_should_be_seen(descriptors: Descriptors) -> None:
    known = known_map(scatter(NUM), walk(2), descriptors=descriptors)
    found = find(known, np.full((NUM, 2), 2.0), descriptors)
    assert found.num_visible == NUM
    assert found.rows.tolist() == found.track_ids.tolist() == list(range(NUM))


@pytest.mark.parametrize(
    ("descriptors", "others"),
    [(describe(NUM), describe(NUM, seed=1)), (binary(), binary(seed=1))],
    ids=["float32", "uint8"],
)
def test_what_looks_otherwise_is_not_it_however_near(
    descriptors: Descriptors, others: Descriptors
) -> None:
    known = known_map(scatter(NUM), walk(2), descriptors=descriptors)
    found = find(known, np.zeros((NUM, 2)), others)
    assert found.num_visible == NUM
    assert len(found.rows) == len(found.track_ids) == 0


def test_what_is_further_than_the_radius_is_not_it_however_alike() -> None:
    descriptors = describe(NUM)
    known = known_map(scatter(NUM), walk(2), descriptors=descriptors)
    assert len(find(known, np.tile((0.0, 7.0), (NUM, 1)), descriptors).rows) == 0


def test_of_several_keypoints_near_the_most_alike_is_taken() -> None:
    points, descriptors = scatter(1), describe(3)
    known = known_map(points, walk(2), descriptors=descriptors[:1])
    pixel = pixels_of(points, CAMERA_AT)
    keypoints = np.concatenate([pixel + 1, pixel + 3, FRAME])
    shown = np.stack([descriptors[1], descriptors[0], descriptors[2], descriptors[2]])
    seen = seen_as(keypoints, shown)
    found = find_nearby(known, known.ids, inverse(CAMERA_AT), seen, RADIUS_PX)
    assert found.rows.tolist() == [1]


def test_a_keypoint_shows_one_landmark_the_most_alike() -> None:
    points = np.repeat(scatter(1), 2, axis=0)
    descriptors = describe(2)
    descriptors[0] += 0.8 * (descriptors[1] - descriptors[0])  # alike enough, but less
    known = known_map(points, walk(2), descriptors=descriptors)
    keypoints = np.concatenate([pixels_of(points[:1], CAMERA_AT), FRAME])
    seen = seen_as(keypoints, np.concatenate([descriptors[1:], describe(2, seed=2)]))
    found = find_nearby(known, known.ids, inverse(CAMERA_AT), seen, RADIUS_PX)
    assert (found.rows.tolist(), found.track_ids.tolist()) == ([0], [1])


def test_only_those_wanted_are_looked_for() -> None:
    descriptors = describe(NUM)
    known = known_map(scatter(NUM), walk(2), descriptors=descriptors)
    seen = seen_as(pixels_of(known.points, CAMERA_AT), descriptors)
    found = find_nearby(known, np.array([3, 8, 999]), inverse(CAMERA_AT), seen, RADIUS_PX)
    assert found.track_ids.tolist() == [3, 8]


def test_what_is_behind_the_camera_or_outside_the_picture_is_not_expected() -> None:
    descriptors = describe(NUM)
    points = scatter(NUM)
    points[:20, 2] *= -1  # behind
    points[20:30, 0] += 60  # far outside
    known = known_map(points, walk(2), descriptors=descriptors)
    seen = seen_as(FRAME, descriptors[:2])
    found = find_nearby(known, known.ids, inverse(CAMERA_AT), seen, RADIUS_PX)
    assert found.num_visible == 30


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_descriptors_that_say_nothing_are_like_no_other(value: float) -> None:
    descriptors = describe(NUM) * 512  # as long as raw SIFT's
    known = known_map(scatter(NUM), walk(2), descriptors=descriptors)
    shown = descriptors.copy()
    shown[::2] = value
    assert find(known, np.zeros((NUM, 2)), shown).track_ids.tolist() == list(range(1, NUM, 2))


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_landmarks_whose_descriptors_say_nothing_are_not_found(value: float) -> None:
    descriptors = describe(NUM) * 512
    blind = descriptors.copy()
    blind[::2] = value
    known = known_map(scatter(NUM), walk(2), descriptors=blind)
    for shown in (descriptors, blind):
        found = find(known, np.zeros((NUM, 2)), shown)
        assert found.track_ids.tolist() == list(range(1, NUM, 2))
