import numpy as np
import pytest
from camera_world import CAMERA, shifted
from known_map import describe, known_map, look, pixels_of, scatter, seen_as, walk

from nodes.vision.odometry.search import reconnect, rejoin, relocalise
from nodes.vision.se3 import from_rotation_vector, inverse

RADIUS_PX = 6.0
NUM = 100
AT = from_rotation_vector(np.radians([1.0, -2.0, 1.0]), np.array([0.5, 0.1, 0.1]))
CORNERS = np.array([[1.0, 1.0], [638.0, 478.0]])


def test_tracks_that_were_lost_are_found_wherever_they_are() -> None:
    descriptors = describe(NUM)
    view = look(scatter(NUM), shifted(0, 0, 0), 0, descriptors)
    shown = descriptors[::-1][:60]
    rows, track_ids = rejoin(view, shown, np.ones(60, np.bool_), np.zeros(0, np.int64))
    assert track_ids[rows.argsort()].tolist() == list(range(99, 39, -1))


def test_neither_known_tracks_nor_taken_keypoints_are_joined() -> None:
    descriptors = describe(NUM)
    view = look(scatter(NUM), shifted(0, 0, 0), 0, descriptors)
    is_free = np.arange(NUM) >= 10
    _, track_ids = rejoin(view, descriptors, is_free, np.arange(50, NUM))
    assert track_ids.tolist() == list(range(10, 50))


def test_of_two_tracks_that_look_alike_one_is_joined_to_a_keypoint() -> None:
    descriptors = describe(NUM)
    descriptors[1] += 0.9 * (descriptors[0] - descriptors[1])
    view = look(scatter(NUM), shifted(0, 0, 0), 0, descriptors)
    shown = descriptors[[0, 5, 6]]
    rows, track_ids = rejoin(view, shown, np.ones(3, np.bool_), np.zeros(0, np.int64))
    assert (rows.tolist(), track_ids.tolist()) == ([0, 1, 2], [0, 5, 6])


def test_without_descriptors_nothing_is_joined() -> None:
    view = look(scatter(NUM), shifted(0, 0, 0))
    rows, track_ids = rejoin(view, describe(NUM), np.ones(NUM, np.bool_), np.zeros(0, np.int64))
    assert len(rows) == len(track_ids) == 0


@pytest.mark.parametrize(("offset", "is_joined"), [((15.0, 0.0), True), ((0.0, 15.0), False)])
def test_tracks_are_reconnected_along_their_epipolar_lines_only(
    offset: tuple[float, float], is_joined: bool
) -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(3), descriptors=descriptors, num_landmarks=60)
    at = shifted(0.8, 0, 0)  # to the side, as all the walk: epipolar lines are rows
    seen = seen_as(pixels_of(points, at) + offset, descriptors)
    rows, track_ids = reconnect(known, inverse(at), seen, np.ones(NUM, np.bool_))
    wanted = list(range(60, NUM)) if is_joined else []
    assert sorted(track_ids.tolist()) == sorted(rows.tolist()) == wanted


def test_a_keypoint_and_a_track_are_reconnected_once_though_several_keyframes_show_them() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(3), descriptors=descriptors, num_landmarks=60)
    twice = known.keyframes[0].view
    twice.ids[90] = 500  # the same point under another identity
    seen = seen_as(pixels_of(points, AT), descriptors)
    rows, track_ids = reconnect(known, inverse(AT), seen, np.ones(NUM, np.bool_))
    assert len(set(rows.tolist())) == len(rows) == 40
    assert len(set(track_ids.tolist())) == len(track_ids) == 40


def test_a_camera_is_found_again_by_what_it_sees() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(3), descriptors=descriptors)
    shown = np.random.default_rng(2).permutation(NUM)[:60]
    keypoints = np.concatenate([pixels_of(points[shown], AT), CORNERS])
    seen = seen_as(keypoints, np.concatenate([descriptors[shown], describe(2, seed=3)]))
    found = relocalise(known, seen, RADIUS_PX)
    assert found is not None
    assert np.abs(found.T_cam_world - inverse(AT)).max() < 1e-5
    assert sorted(found.track_ids.tolist()) == sorted(shown.tolist())
    assert np.array_equal(shown[found.rows], found.track_ids)


def test_a_camera_is_found_again_at_the_oldest_of_many_keyframes() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(16, step=0.1), descriptors=descriptors)
    for keyframe in known.keyframes[2:]:
        keyframe.view = keyframe.view.where(np.arange(NUM) < 5)
    assert relocalise(known, seen_as(pixels_of(points, AT), descriptors), RADIUS_PX) is not None


def test_a_dozen_landmarks_that_agree_are_too_few_to_be_found_again() -> None:
    points, descriptors = scatter(12), describe(12)
    known = known_map(points, walk(3), descriptors=descriptors)
    assert relocalise(known, seen_as(pixels_of(points, AT), descriptors), RADIUS_PX) is None


def test_a_quarter_of_the_matches_that_agree_are_too_few_to_be_found_again() -> None:
    """All that should be in sight is in sight, so that nothing but the share speaks against it."""
    points, descriptors = scatter(160), describe(160)
    inside = np.all(np.abs(pixels_of(points, AT) - (CAMERA.cx, CAMERA.cy)) < 80, axis=1)
    true = np.flatnonzero(inside)
    wrong = np.flatnonzero(~inside)[: 3 * len(true)]
    assert len(true) < 0.3 * (len(true) + len(wrong))
    assert len(true) >= 20
    known = known_map(points, walk(3), descriptors=descriptors)
    for num_wrong, is_found in ((len(true) // 2, True), (len(wrong), False)):
        anywhere = np.random.default_rng(4).uniform(-79, 79, (num_wrong, 2))
        anywhere += (CAMERA.cx, CAMERA.cy)
        keypoints = np.concatenate([pixels_of(points[true], AT), anywhere])
        shown = np.concatenate([descriptors[true], descriptors[wrong[:num_wrong]]])
        found = relocalise(known, seen_as(keypoints, shown), RADIUS_PX)
        assert (found is not None) == is_found


@pytest.mark.parametrize(("num_shown", "is_found"), [(30, False), (50, True)])
def test_a_place_that_shows_too_little_of_what_it_should_is_another(
    num_shown: int, is_found: bool
) -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(3), descriptors=descriptors)
    other = describe(NUM, seed=1)
    other[:num_shown] = descriptors[:num_shown]
    found = relocalise(known, seen_as(pixels_of(points, AT), other), RADIUS_PX)
    assert (found is not None) == is_found


def test_what_nobody_has_seen_is_not_found_again() -> None:
    points = scatter(NUM)
    known = known_map(points, walk(3), descriptors=describe(NUM))
    seen = seen_as(pixels_of(points, AT), describe(NUM, seed=1))
    assert relocalise(known, seen, RADIUS_PX) is None


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_few_descriptors_that_say_nothing_do_not_hide_the_place(value: float) -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    known = known_map(points, walk(3), descriptors=descriptors)
    shown = descriptors.copy()
    shown[:3] = value
    assert relocalise(known, seen_as(pixels_of(points, AT), shown), RADIUS_PX) is not None
