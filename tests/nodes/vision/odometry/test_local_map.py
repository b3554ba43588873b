import numpy as np
import pytest
from camera_world import shifted
from known_map import describe, known_map, look, scatter, walk

from nodes.vision.odometry.local_map import Gates, LocalMap
from nodes.vision.odometry.view import View
from nodes.vision.se3 import from_rotation_vector, inverse

NUM = 60


def disturbed(known: LocalMap, first: int, seed: int = 0) -> list[np.ndarray]:
    """Move the cameras of the keyframes from `first` on a little; return where all are now."""
    rng = np.random.default_rng(seed)
    for keyframe in known.keyframes[first:]:
        turn, step = rng.normal(0, 1e-3, 3), rng.normal(0, 5e-3, 3)
        keyframe.T_cam_world = from_rotation_vector(turn, step) @ keyframe.T_cam_world
    return [keyframe.T_cam_world.copy() for keyframe in known.keyframes]


def moved(known: LocalMap, before: list[np.ndarray]) -> list[int]:
    """Return which keyframes are not to the bit where they were."""
    pairs = zip(known.keyframes, before, strict=True)
    return [i for i, (k, T) in enumerate(pairs) if not np.array_equal(k.T_cam_world, T)]


def test_a_track_without_a_landmark_is_nowhere() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(2), num_landmarks=10)
    found = known.positions(np.array([3, 10, 9, 700]))
    assert np.array_equal(found[[0, 2]], points[[3, 9]])
    assert np.isnan(found[[1, 3]]).all()


def test_landmarks_are_found_for_the_tracks_of_the_last_keyframe() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(3), num_landmarks=20)
    last = known.keyframes[-1]
    last.view = last.view.where(last.view.ids < 50)  # the last ten are out of sight
    assert known.triangulate() == 30
    assert known.ids.tolist() == list(range(50))
    assert np.abs(known.points - points[:50]).max() < 1e-6


def test_a_track_that_does_not_fit_in_one_view_gives_no_landmark() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(4), num_landmarks=0)
    known.keyframes[1].view.pixels[7] += (0, 9)
    known.keyframes[2].view.pixels[8] += (30, 0)  # along the epipolar line
    assert known.triangulate() == NUM - 2
    assert np.setdiff1d(np.arange(NUM), known.ids).tolist() == [7, 8]


def test_a_track_without_parallax_gives_no_landmark() -> None:
    points = scatter(NUM)
    points[:5] *= 20  # a fifth of a degree
    known = known_map(points, walk(3), num_landmarks=0)
    assert known.triangulate() == NUM - 5
    assert known.ids.min() == 5


def test_parallax_is_that_of_the_outermost_views() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(6, step=0.1), Gates(min_parallax_deg=2.0), num_landmarks=0)
    known.keyframes[0].view = known.keyframes[0].view.where(np.arange(NUM) >= 30)
    centres = [keyframe.centre for keyframe in known.keyframes]
    known.triangulate()
    for track, first in ((3, 1), (40, 0)):
        to0, to1 = centres[first] - points[track], centres[-1] - points[track]
        cosine = to0 @ to1 / np.linalg.norm(to0) / np.linalg.norm(to1)
        assert (track in known.ids) == (np.degrees(np.arccos(cosine)) >= 2.0)


def test_tracks_that_one_keyframe_saw_give_no_landmark() -> None:
    known = known_map(scatter(NUM), walk(1), num_landmarks=0)
    assert known.triangulate() == 0
    assert known.ids.tolist() == []


def test_landmarks_are_forgotten_with_the_last_keyframe_that_saw_them() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(4), Gates(window=2, max_keyframes=4))
    for keyframe in known.keyframes[1:]:
        keyframe.view = keyframe.view.where(keyframe.view.ids >= 20)
    at = shifted(0.9, 0, 0)
    known.add(look(points, at, 4).where(np.arange(NUM) >= 20), inverse(at))
    assert len(known.keyframes) == 4
    assert known.keyframes[0].view.seq == 1
    assert known.ids.tolist() == list(range(20, NUM))
    assert np.array_equal(known.points, points[20:])


def test_landmarks_are_described_as_last_seen() -> None:
    points, old, new = scatter(NUM), describe(NUM), describe(NUM, seed=1)
    known = known_map(points, walk(2), descriptors=old)
    assert np.array_equal(known.described()[2], old)
    at = shifted(0.5, 0, 0)
    known.add(look(points, at, 2, new).where(np.arange(NUM) < 40), inverse(at))
    ids, places, descriptors = known.described()
    assert ids.tolist() == list(range(NUM))
    assert np.array_equal(places, points)
    assert np.array_equal(descriptors, np.concatenate([new[:40], old[40:]]))


def test_a_landmark_that_is_forgotten_is_not_described() -> None:
    known = known_map(scatter(NUM), walk(2), descriptors=describe(NUM))
    known.described()
    known.forget(np.arange(5))
    ids, places, descriptors = known.described()
    assert ids.tolist() == list(range(5, NUM))
    assert len(places) == len(descriptors) == NUM - 5


def test_without_descriptors_nothing_is_described() -> None:
    ids, places, descriptors = known_map(scatter(NUM), walk(2)).described()
    assert len(ids) == len(places) == len(descriptors) == 0


@pytest.mark.parametrize("num_keyframes", [4, 6])
def test_an_adjustment_is_held_by_the_two_oldest_keyframes(num_keyframes: int) -> None:
    known = known_map(scatter(NUM), walk(num_keyframes))
    before = disturbed(known, 2)
    known.adjust()
    assert moved(known, before) == list(range(2, num_keyframes))


def test_an_adjustment_of_few_keyframes_is_held_by_the_oldest() -> None:
    known = known_map(scatter(NUM), walk(3))
    before = disturbed(known, 1)
    known.adjust()
    assert moved(known, before) == [1, 2]


def test_an_adjustment_is_held_by_what_is_older_than_the_window() -> None:
    known = known_map(scatter(NUM), walk(9, step=0.1), Gates(window=4))
    before = disturbed(known, 5)
    known.adjust()
    assert moved(known, before) == [5, 6, 7, 8]


def test_the_keyframes_that_see_the_same_are_adjusted_and_not_the_last_ones() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(8, step=0.1), Gates(window=3))
    for i in (4, 5, 6):  # these look elsewhere, the last one back to where it was
        known.keyframes[i].view = known.keyframes[i].view.where(np.arange(NUM) < 6)
    before = disturbed(known, 2)
    known.adjust()
    assert moved(known, before) == [2, 3, 7]


def test_an_adjustment_puts_cameras_and_landmarks_where_they_are() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(6))
    disturbed(known, 2)
    known.points += np.random.default_rng(1).normal(0, 0.01, points.shape)
    for _ in range(4):
        known.adjust()
    for keyframe, T_world_cam in zip(known.keyframes, walk(6), strict=True):
        assert np.abs(keyframe.T_cam_world - inverse(T_world_cam)).max() < 1e-4
    assert np.abs(known.points - points).max() < 1e-3


def test_an_adjustment_drops_the_observations_that_do_not_fit() -> None:
    known = known_map(scatter(NUM), walk(5))
    known.keyframes[3].view.pixels[7] += (0, 20)
    known.adjust()
    seen_by = [bool(np.isin(7, keyframe.view.ids)) for keyframe in known.keyframes]
    assert seen_by == [True, True, True, False, True]
    assert all(len(keyframe.view.ids) >= NUM - 1 for keyframe in known.keyframes)
    assert 7 in known.ids


def test_a_landmark_that_fits_one_view_only_is_dropped() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(5), num_landmarks=50)
    for keyframe, offset in zip(known.keyframes, (0, 25, -30, 40, -50), strict=True):
        keyframe.view.pixels[7] += (0, offset)
    known.adjust()
    assert known.ids.tolist() == [i for i in range(50) if i != 7]


def test_a_view_that_does_not_see_the_landmarks_of_the_last_one_stays_where_it_is() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(5))
    elsewhere = View(2, np.arange(200, 210), np.zeros((10, 2)))
    known.keyframes[2].view = elsewhere
    before = disturbed(known, 2)
    known.adjust()
    assert 2 not in moved(known, before)
