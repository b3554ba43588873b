from collections.abc import Iterable

import numpy as np
import pytest
from camera_world import shifted
from known_map import Float, describe, known_map, look, pixels_of, scatter, seen_as, walk

from nodes.vision.odometry.keyframing import Rules
from nodes.vision.odometry.segment import Segment, Settled
from nodes.vision.odometry.tracks import TrackTable
from nodes.vision.odometry.view import Descriptors, Seen, View
from nodes.vision.se3 import from_rotation_vector, inverse

NUM = 100
AT = shifted(0.25, 0.02, 0.0)
"""Next to the last keyframe, at 0.2."""
SIDE = shifted(0.8, 0.0, 0.0)
"""So far that the frame becomes a keyframe."""


def tracked(
    points: Float, T_world_cam: Float, offset: Float, ids: Iterable[int], others: Descriptors | None
) -> tuple[Seen, View]:
    """Return a frame that shows all points, of which the tracks `ids` could be followed to it."""
    keypoints = pixels_of(points, T_world_cam) + offset
    rows = np.array(list(ids), np.int64)
    return seen_as(keypoints, others, first_key=1000), View(
        100, rows, keypoints[rows], None if others is None else others[rows]
    )


def segment(points: Float, descriptors: Descriptors | None = None, **known: int) -> Segment:
    """Return a segment of two keyframes whose tracks are all in the table."""
    tracks = TrackTable()
    tracks.follow(np.arange(len(points)), np.arange(len(points)))
    return Segment(known_map(points, walk(2), descriptors=descriptors, **known), tracks, Rules())


def follow(
    of: Segment, offset: Float, ids: Iterable[int] = range(NUM), T_world_cam: Float = AT
) -> Settled | None:
    """Let a segment place a frame without descriptors."""
    return of.follow(*tracked(scatter(NUM), T_world_cam, offset, ids, None))


def offsets(rows: Iterable[int], dx: float, dy: float) -> Float:
    offset = np.zeros((NUM, 2))
    offset[list(rows)] = dx, dy
    return offset


def test_a_frame_is_placed_by_its_tracks() -> None:
    settled = follow(segment(scatter(NUM)), np.zeros((NUM, 2)))
    assert settled is not None
    assert np.abs(settled.T_cam_world - inverse(AT)).max() < 1e-5
    assert settled.view.ids.tolist() == list(range(NUM))
    assert settled.keyframe is None


def test_landmarks_that_disagree_are_not_of_the_view() -> None:
    settled = follow(segment(scatter(NUM)), offsets(range(20), 15, 20))
    assert settled is not None
    assert settled.view.ids.tolist() == list(range(20, NUM))


@pytest.mark.parametrize(("num_wrong", "is_placed"), [(55, True), (66, False)])
def test_two_fifths_of_the_landmarks_must_agree(num_wrong: int, is_placed: bool) -> None:
    rng = np.random.default_rng(0)
    offset = np.zeros((NUM, 2))
    offset[:num_wrong] = rng.uniform(15, 60, (num_wrong, 2))
    assert (follow(segment(scatter(NUM)), offset) is not None) == is_placed


@pytest.mark.parametrize(("num", "is_placed"), [(14, False), (15, True)])
def test_so_many_landmarks_must_agree(num: int, is_placed: bool) -> None:
    settled = follow(segment(scatter(NUM)), np.zeros((NUM, 2)), range(num))
    assert (settled is not None) == is_placed


def test_a_landmark_that_disagrees_three_times_in_a_row_is_forgotten() -> None:
    of, wrong = segment(scatter(NUM)), offsets([7], 15, 20)
    for _ in range(2):
        follow(of, wrong)
    assert 7 in of.map.ids
    follow(of, wrong)
    assert of.map.ids.tolist() == [i for i in range(NUM) if i != 7]


def test_a_landmark_that_agrees_in_between_is_not_forgotten() -> None:
    of, wrong = segment(scatter(NUM)), offsets([7], 15, 20)
    for offset in (wrong, wrong, np.zeros((NUM, 2)), wrong, wrong):
        follow(of, offset)
    assert 7 in of.map.ids


def test_landmarks_whose_tracks_broke_are_found_where_they_should_be() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    of = segment(points, descriptors)
    seen, view = tracked(points, AT, np.zeros((NUM, 2)), range(30), descriptors)
    settled = of.follow(seen, view)
    assert settled is not None
    assert settled.view.ids.tolist() == list(range(NUM))


def test_what_is_found_nearby_but_does_not_agree_is_not_of_the_view() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    of = segment(points, descriptors)
    offset = offsets(range(40, 60), 3, 3)  # within the search radius, outside the gate
    settled = of.follow(*tracked(points, AT, offset, range(30), descriptors))
    assert settled is not None
    assert settled.view.ids.tolist() == [i for i in range(NUM) if not 40 <= i < 60]
    assert np.abs(settled.T_cam_world - inverse(AT)).max() < 1e-5


def test_the_place_is_that_of_all_landmarks_found() -> None:
    points, descriptors = scatter(400), describe(400)
    rng = np.random.default_rng(5)
    errors = []
    for ids in (range(30), range(400)):
        of = segment(points, descriptors)
        offset = rng.normal(0, 0.6, (400, 2))
        settled = of.follow(*tracked(points, AT, offset, ids, descriptors))
        assert settled is not None
        errors.append(np.linalg.norm(inverse(settled.T_cam_world)[:3, 3] - AT[:3, 3]))
    assert errors[0] < 2 * errors[1] + 0.003


def test_a_keypoint_that_shows_a_landmark_is_not_taken_for_another() -> None:
    """A second landmark, alike and in the same place, does not take the keypoint of the first."""
    points, descriptors = scatter(NUM), describe(NUM)
    points[60], descriptors[60] = points[5], descriptors[5]
    of = segment(points, descriptors)
    seen, view = tracked(points, AT, np.zeros((NUM, 2)), range(30), descriptors)
    keypoints = seen.keypoints.copy()
    keypoints[60] = 600, 400
    seen = seen_as(keypoints, descriptors, first_key=1000)
    settled = of.follow(seen, view)
    assert settled is not None
    assert 5 in settled.view.ids
    assert 60 not in settled.view.ids


def test_tracks_without_a_landmark_that_broke_are_reconnected_at_a_keyframe() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    of = segment(points, descriptors, num_landmarks=60)
    seen, view = tracked(points, SIDE, np.zeros((NUM, 2)), range(60), descriptors)
    settled = of.follow(seen, view)
    assert settled is not None
    assert settled.keyframe is not None
    assert settled.view.ids.tolist() == list(range(NUM))
    assert of.map.ids.tolist() == list(range(NUM))
    assert np.abs(of.map.points - points).max() < 1e-3


def test_a_keyframe_is_remembered_where_it_is_and_brings_landmarks() -> None:
    of = segment(scatter(NUM), num_landmarks=60)
    settled = follow(of, np.zeros((NUM, 2)), T_world_cam=SIDE)
    assert settled is not None
    assert settled.keyframe is not None
    assert len(of.map.keyframes) == 3
    assert settled.T_cam_world is of.map.keyframes[-1].T_cam_world
    assert of.map.ids.tolist() == list(range(NUM))


def test_where_tracking_is_about_to_fail_every_frame_may_be_a_keyframe() -> None:
    """Each frame shows a third of what the last keyframe did, and as much that is new."""
    of = segment(scatter(NUM))
    reasons = []
    for num in (60, 40, 25):
        settled = follow(of, np.zeros((NUM, 2)), range(num))
        assert settled is not None
        reasons.append(settled.keyframe)
    assert reasons == [
        "60 of 100 landmarks left", "40 of 60 landmarks left", "25 of 40 landmarks left",
    ]  # fmt: skip


def test_a_lost_camera_is_found_by_its_descriptors_and_its_tracks_live_on() -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    of = segment(points, descriptors)
    at = from_rotation_vector(np.radians([0.0, 4.0, 0.0]), np.array([0.4, 0.1, 0.0]))
    seen, nothing = tracked(points, at, np.zeros((NUM, 2)), [], descriptors)
    settled = of.follow(seen, nothing)
    assert settled is not None
    assert np.abs(settled.T_cam_world - inverse(at)).max() < 1e-5
    assert settled.view.ids.tolist() == list(range(NUM))
    assert of._tracks.follow(np.array([1005]), np.array([2000])).tolist() == [5]


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_camera_that_sees_nothing_is_lost(has_descriptors: bool) -> None:
    points, descriptors = scatter(NUM), describe(NUM)
    of = segment(points, descriptors)
    nothing = look(points[:0], AT, 100, descriptors[:0])
    shown = descriptors[:0] if has_descriptors else None
    assert of.follow(seen_as(np.zeros((0, 2)), shown), nothing) is None
