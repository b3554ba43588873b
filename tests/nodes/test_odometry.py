from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from camera_world import CAMERA, World, path, rotation_path, step_errors
from two_view_scene import BARREL

from nodes.messages import Features, Keyframe, Matches, Tracks, Trajectory
from nodes.odometry import Odometry
from nodes.vision.camera import Camera
from nodes.vision.odometry.view import Seen
from nodes.vision.se3 import transform
from pipeline.node import Notice, Resources

Results = list[Trajectory | Tracks | Keyframe]


def as_messages(
    seen: Seen, stream: str = "cam", camera: Camera = CAMERA
) -> tuple[Matches, Features]:
    """Return what matcher and detector would have sent for a frame of the synthetic world."""
    keypoints = seen.keypoints.astype(np.float32)
    num = len(seen.rows)
    header = {"stream": stream, "seq": seen.seq, "stamp_ns": seen.seq * 100}
    matches = Matches(
        **header, seq_prev=seen.seq - 1, stamp_ns_prev=(seen.seq - 1) * 100,
        keypoints_prev=np.zeros((num, 2), np.float32), keypoints_cur=keypoints,
        ids_prev=seen.ids_prev, ids_cur=seen.keypoint_ids,
        matches=np.column_stack([np.arange(num), seen.rows]).astype(np.int32),
        match_scores=np.ones(num, np.float32), camera=camera,
    )  # fmt: skip
    nothing = np.zeros(len(keypoints), np.float32)
    features = Features(
        **header, keypoints=keypoints, scores=nothing, sizes=nothing, angles=nothing,
        descriptors=seen.descriptors, camera=camera,
    )  # fmt: skip
    return matches, features


def odometry(params: Odometry.Params | None = None) -> Odometry:
    node = Odometry(params)
    node.open(Resources())
    return node


def run(node: Odometry, film: Iterator[Seen], stream: str = "cam") -> list[Results]:
    return [list(node.process(*as_messages(seen, stream))) for seen in film]


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Say whether two poses are the same to the bit, or both missing."""
    return a is b is None or (a is not None and b is not None and np.array_equal(a, b))


def test_every_frame_has_one_trajectory_and_one_set_of_tracks() -> None:
    for seen, results in zip(
        World().film(path(30)), run(odometry(), World().film(path(30))), strict=True
    ):
        kinds = [type(result) for result in results]
        assert kinds[:2] == [Trajectory, Tracks]
        assert kinds[2:] in ([], [Keyframe])
        assert all(
            (r.stream, r.seq, r.stamp_ns) == ("cam", seen.seq, seen.seq * 100) for r in results
        )


def test_a_frame_without_a_place_says_why_and_a_placed_one_does_not() -> None:
    placed = [results[0] for results in run(odometry(), World().film(path(30)))]
    assert placed[0].T_world_cam is None
    assert placed[0].segment == -1
    assert placed[0].reason.startswith("initialising: ")
    assert placed[-1].T_world_cam is not None
    assert placed[-1].reason is None
    assert placed[-1].segment == 0
    assert placed[-1].num_landmarks > 100


def test_tracks_grow_older_and_their_landmarks_are_where_they_are_seen() -> None:
    last = run(odometry(), World(noise_px=0.1).film(path(30)))[-1]
    trajectory, tracks = last[0], last[1]
    assert len(np.unique(tracks.ids)) == len(tracks.ids) == len(tracks.keypoints)
    assert tracks.ages.min() >= 2
    assert tracks.ages.max() > 10
    known = np.isfinite(tracks.landmarks[:, 0])
    T_cam_world = np.linalg.inv(trajectory.T_world_cam)
    pixels = CAMERA.project(transform(T_cam_world, tracks.landmarks[known]))
    errors = np.linalg.norm(pixels - tracks.keypoints[known], axis=1)
    assert known.sum() == trajectory.num_landmarks
    assert np.median(errors) < 0.3


def through_a_lens(num_frames: int) -> tuple[list[Results], list[np.ndarray]]:
    """Return what comes of a film through a lens of strong distortion, and the true poses."""
    poses = path(num_frames)
    film = World(camera=BARREL, noise_px=0.1).film(poses)
    node = odometry()
    return [list(node.process(as_messages(seen, camera=BARREL)[0])) for seen in film], poses


def test_the_lens_is_taken_out_before_the_path_is_looked_for() -> None:
    results, poses = through_a_lens(30)
    placed = [r[0] for r in results]
    assert {p.segment for p in placed[5:]} == {0}
    shares, angles_deg = step_errors(placed, poses)
    assert len(shares) > 20
    assert shares.max() < 0.1
    assert angles_deg.max() < 0.1


def test_tracks_and_keyframes_are_where_the_lens_shows_them() -> None:
    results, _ = through_a_lens(30)
    keyframes = [(r[0], r[2]) for r in results if len(r) > 2]
    assert len(keyframes) > 2
    for trajectory, seen in [(results[-1][0], results[-1][1]), *keyframes]:
        T_cam_world = np.linalg.inv(trajectory.T_world_cam)
        known = np.isfinite(seen.landmarks[:, 0])
        shown = BARREL.project(transform(T_cam_world, seen.landmarks[known]))
        errors = np.linalg.norm(shown - seen.keypoints[known], axis=1)
        far = np.hypot(*(seen.keypoints[known] - (BARREL.cx, BARREL.cy)).T) > 200
        assert far.sum() > 20
        assert np.median(errors[far]) < 0.4


def with_a_lost_keypoint(messages: tuple[Matches, Features]) -> tuple[Matches, Features]:
    """Put a keypoint before all others that is nowhere, and matched."""
    matches, features = messages
    nowhere = np.full((1, 2), np.nan, np.float32)
    keypoints = np.concatenate([nowhere, matches.keypoints_cur])
    pairs = matches.matches + np.array([1, 1], np.int32)
    zero = np.zeros(len(keypoints), np.float32)
    return replace(
        matches, keypoints_cur=keypoints,
        keypoints_prev=np.concatenate([nowhere, matches.keypoints_prev]),
        ids_cur=np.concatenate([[-matches.seq], matches.ids_cur]),
        ids_prev=np.concatenate([[-matches.seq_prev], matches.ids_prev]),
        matches=np.concatenate([np.zeros((1, 2), np.int32), pairs]),
        match_scores=np.ones(len(pairs) + 1, np.float32),
    ), replace(
        features, keypoints=keypoints, scores=zero, sizes=zero, angles=zero,
        descriptors=np.concatenate([features.descriptors[:1], features.descriptors]),
    )  # fmt: skip


def test_a_keypoint_that_is_nowhere_changes_nothing() -> None:
    plain, node = run(odometry(), World().film(path(25))), odometry()
    for expected, seen in zip(plain, World().film(path(25)), strict=True):
        found = list(node.process(*with_a_lost_keypoint(as_messages(seen))))
        assert same(expected[0].T_world_cam, found[0].T_world_cam)
        assert np.array_equal(expected[1].ids, found[1].ids)
        assert np.array_equal(expected[1].keypoints, found[1].keypoints)
    assert plain[-1][0].T_world_cam is not None


def test_a_keyframe_says_why_and_carries_its_landmarks() -> None:
    results = run(odometry(), World().film(path(40)))
    keyframes = [r for rs in results for r in rs if isinstance(r, Keyframe)]
    flagged = [rs[0].seq for rs in results if rs[0].is_keyframe]
    assert [k.seq for k in keyframes] == flagged
    assert keyframes[0].reason == "first of the segment"
    assert any(k.reason.startswith("parallax ") for k in keyframes)
    for keyframe in keyframes:
        assert np.isfinite(keyframe.landmarks).all()
        assert len(keyframe.ids) == len(keyframe.keypoints) == len(keyframe.landmarks) > 30


def test_two_streams_do_not_mix() -> None:
    alone = run(odometry(), World(1).film(path(25)))
    node = odometry()
    both = []
    for a, b in zip(World(1).film(path(25)), World(2).film(rotation_path(25)), strict=True):
        both.append(list(node.process(*as_messages(a, "cam"))))
        turning = list(node.process(*as_messages(b, "other")))
        assert turning[0].T_world_cam is None
    assert both[-1][0].T_world_cam is not None
    for x, y in zip(alone, both, strict=True):
        assert same(x[0].T_world_cam, y[0].T_world_cam)


@pytest.mark.parametrize("how", ["another camera", "a break"])
def test_a_break_ends_the_segment(how: str) -> None:
    node = odometry()
    results = []
    for seen in World().film(path(50)):
        matches, features = as_messages(seen)
        if how == "a break" and seen.seq == 25:
            node.notice("matches", Notice("break", "cam", 25, 2500, "size_changed: 1x1 -> 2x2"))
        if how == "another camera" and seen.seq >= 25:
            matches = replace(matches, camera=replace(CAMERA, fx=510.0))
        results.append(next(iter(node.process(matches, features))))
    segments = [r.segment for r in results if r.T_world_cam is not None]
    assert sorted(set(segments)) == [0, 1]
    assert results[24].T_world_cam is None


def test_features_of_other_keypoints_are_a_mistake() -> None:
    matches, features = as_messages(next(World().film(path(3))))
    fewer = replace(
        features, keypoints=features.keypoints[1:], scores=features.scores[1:],
        sizes=features.sizes[1:], angles=features.angles[1:], descriptors=features.descriptors[1:],
    )  # fmt: skip
    with pytest.raises(ValueError, match="features must be those that the matches are of"):
        list(odometry().process(matches, fewer))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window": 1}, "window must be at least 2, not 1"),
        ({"max_keyframes": 3}, r"max_keyframes must be at least window \(6\), not 3"),
        ({"keyframe_budget": 0.0}, "keyframe_budget must be more than 0 and at most 1, not 0.0"),
        ({"max_error_px": -1.0}, "max_error_px must be more than 0, not -1.0"),
    ],
)
def test_bad_settings_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Odometry.Params(**setting)


def test_settings_default_to_those_of_the_algorithm() -> None:
    from nodes.vision.odometry.keyframing import Rules
    from nodes.vision.odometry.local_map import Gates

    assert Odometry.Params().rules() == Rules()
    assert Odometry.Params().gates() == Gates()


@pytest.mark.parametrize("name", ["box", "board_a"])
def test_real_paths_are_followed_within_a_hundredth(
    name: str, data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    from nodes.commands.evaluate import evaluate_run
    from pipeline import launch
    from pipeline.runner import run as run_graph

    graph = launch.graph_for(str(data_dir(name)), "klt", [], None, None, lambda text: None)
    run_graph(graph, tmp_path)
    (figures,) = evaluate_run(tmp_path)["streams"].values()
    assert figures["trajectory"]["coverage_from_bootstrap"] == 1.0
    assert figures["trajectory"]["first_placed"] <= 15
    assert figures["trajectory"]["ate_percent_of_path"] < 1.0


def test_a_camera_that_changes_and_a_stream_without_a_path_are_told() -> None:
    told: list[str] = []
    node = Odometry()
    node.open(Resources(warn=told.append))
    for seen in World().film(path(50)):
        matches, _ = as_messages(seen)
        if seen.seq >= 25:
            matches = replace(matches, camera=replace(CAMERA, fx=510.0))
        list(node.process(matches))
    list(node.flush("cam"))
    assert told == [
        "stream 'cam': a new segment begins at frame 25, where the camera changes (an estimated "
        "focal length counts from there on)"
    ]
    told.clear()
    run(node, World().film([np.eye(4)] * 4), "still")
    list(node.flush("still"))
    assert len(told) == 1
    assert told[0].startswith("stream 'still': no trajectory; at its end initialising: the picture")
