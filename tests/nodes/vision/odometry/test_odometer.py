from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from camera_world import Corridor, TwinPlaces, World, path, rotation_path, shifted, step_errors

from nodes.vision.alignment import align
from nodes.vision.odometry.keyframing import Rules
from nodes.vision.odometry.local_map import Gates
from nodes.vision.odometry.odometer import Odometer, Placed
from nodes.vision.se3 import from_rotation_vector

Poses = Sequence[npt.NDArray[np.float64] | None]


def follow(world: World, poses: Poses, rules: Rules | None = None) -> list[Placed]:
    odometer = Odometer(rules or Rules(), Gates())
    return [odometer.update(seen) for seen in world.film(poses)]


def segments(placed: Sequence[Placed]) -> list[int]:
    return [p.segment for p in placed if p.T_world_cam is not None]


def far_from_truth(placed: Sequence[Placed], poses: Poses) -> float:
    """Return the RMS distance from the true path, as a share of the path, after a similarity."""
    rows = [i for i, p in enumerate(placed) if p.T_world_cam is not None]
    found = np.array([placed[i].T_world_cam[:3, 3] for i in rows])
    true = np.array([poses[i + 1][:3, 3] for i in rows])
    errors = np.linalg.norm(align(found, true, with_scale=True).apply(found) - true, axis=1)
    length = np.linalg.norm(np.diff(true, axis=0), axis=1).sum()
    return float(np.sqrt(np.mean(errors**2)) / length)


def ratio_of_scales(placed: Sequence[Placed], poses: Poses) -> float:
    """Return the scale of the last third of the path, of that of the first third."""
    rows = [i for i, p in enumerate(placed) if p.T_world_cam is not None]
    found = np.array([placed[i].T_world_cam[:3, 3] for i in rows])
    true = np.array([poses[i + 1][:3, 3] for i in rows])
    scales = []
    for part in np.array_split(np.arange(len(rows)), 3):
        ends = part[[0, -1]]
        scales.append(np.linalg.norm(np.diff(found[ends], axis=0)) /
                      np.linalg.norm(np.diff(true[ends], axis=0)))  # fmt: skip
    return float(scales[-1] / scales[0])


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_path_is_found_in_one_scale_and_without_a_gap(has_descriptors: bool) -> None:
    poses = path(80)
    placed = follow(World(has_descriptors=has_descriptors), poses)
    first = next(i for i, p in enumerate(placed) if p.T_world_cam is not None)
    assert first < 8
    assert all(p.T_world_cam is not None and p.segment == 0 for p in placed[first:])
    assert far_from_truth(placed, poses) < 0.01
    shares, angles_deg = step_errors(placed, poses)
    assert shares.max() < 0.2
    assert angles_deg.max() < 0.2


def test_a_fifth_of_wrong_matches_does_no_harm() -> None:
    poses = path(60)
    placed = follow(World(outlier_fraction=0.2, has_descriptors=False), poses)
    assert set(segments(placed)) == {0}
    assert far_from_truth(placed, poses) < 0.01


def test_a_camera_that_only_turns_or_stands_still_waits() -> None:
    for poses in (rotation_path(40), [np.eye(4)] * 40):
        placed = follow(World(), poses)
        assert segments(placed) == []
        assert all((p.reason or "").startswith("initialising: ") for p in placed)


def test_turning_after_a_start_keeps_the_camera_in_its_place() -> None:
    poses = path(40)
    turn = from_rotation_vector(np.radians([0, 0.8, 0]), np.zeros(3))
    for _ in range(10):
        poses.append(poses[-1] @ turn)
    placed = follow(World(), poses)
    assert all(p.T_world_cam is not None for p in placed[-10:])
    still = np.array([p.T_world_cam[:3, 3] for p in placed[-10:]])
    steps = np.diff([p.T_world_cam[:3, 3] for p in placed[-30:-11]], axis=0)
    assert np.ptp(still, axis=0).max() < 0.5 * np.median(np.linalg.norm(steps, axis=1))


def test_a_covered_camera_that_comes_back_is_found_in_the_same_segment() -> None:
    walk = path(60)
    poses = [*walk[:40], *[None] * 5, *walk[38:]]
    placed = follow(World(), poses)
    assert [p.T_world_cam is None for p in placed[39:44]] == [True] * 5
    assert placed[44].T_world_cam is not None
    assert set(segments(placed)) == {0}
    assert far_from_truth([p for i, p in enumerate(placed) if poses[i + 1] is not None],
                          [walk[0], *[p for p in poses[1:] if p is not None]]) < 0.02  # fmt: skip


def test_without_descriptors_a_covered_camera_begins_another_segment() -> None:
    walk = path(60)
    placed = follow(World(has_descriptors=False), [*walk[:40], *[None] * 5, *walk[38:]])
    assert sorted(set(segments(placed))) == [0, 1]
    assert segments(placed) == sorted(segments(placed))


def test_binary_descriptors_find_a_covered_camera_again() -> None:
    walk = path(40)
    poses = [*walk[:30], *[None] * 3, *walk[28:]]
    placed = follow(World(is_binary=True), poses)
    assert placed[32].T_world_cam is not None
    assert set(segments(placed)) == {0}
    assert step_errors(placed, poses)[0].max() < 0.3


def test_a_place_that_looks_like_one_seen_before_is_not_taken_for_it() -> None:
    """A covered camera comes back 18 units away, where three tenths of the points are alike."""
    here = [shifted(0.08 * i, 0.02 * np.sin(i / 3), 0) for i in range(50)]
    there = [shifted(20 + 0.08 * i, 0.02 * np.sin(i / 3), 0) for i in range(15)]
    placed = follow(TwinPlaces(), [*here, *[None] * 3, *there])
    assert {p.segment for p in placed[:49] if p.T_world_cam is not None} == {0}
    assert {p.segment for p in placed[52:] if p.T_world_cam is not None} == {1}


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_frame_of_wrong_matches_does_not_end_the_segment(has_descriptors: bool) -> None:
    poses = path(45)
    placed = follow(World(has_descriptors=has_descriptors, wrong_share={30: 0.7}), poses)
    assert [p.T_world_cam is not None for p in placed[30:]] == [True] * 14
    assert set(segments(placed)) == {0}
    assert step_errors(placed, poses)[0].max() < 0.2


@pytest.mark.parametrize("first", [2, 3, 4])
def test_wrong_frames_at_the_start_do_not_spoil_the_scale(first: int) -> None:
    poses = path(45)
    wrong = {first + i: 0.7 for i in range(3)}
    placed = follow(World(has_descriptors=False, wrong_share=wrong), poses)
    assert set(segments(placed)) == {0}
    assert far_from_truth(placed, poses) < 0.01
    assert ratio_of_scales(placed, poses) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_corridor_is_walked_in_one_segment_though_its_walls_are_noisy(
    has_descriptors: bool,
) -> None:
    poses = [shifted(0, 0, 0.15 * i) for i in range(110)]
    placed = follow(Corridor(has_descriptors=has_descriptors, noise_px=1.0), poses)
    assert all(p.T_world_cam is not None and p.segment == 0 for p in placed[8:])
    assert far_from_truth(placed, poses) < 0.01
    assert ratio_of_scales(placed, poses) == pytest.approx(1, abs=0.05)


def test_tracks_that_break_all_the_time_begin_a_map_all_the_same() -> None:
    poses = path(25, step=0.02)
    world = World(match_share=0.4)
    placed = follow(world, poses)
    assert sum(p.T_world_cam is not None for p in placed) > 10
    assert set(segments(placed)) == {0}
    assert far_from_truth(placed, poses) < 0.02


def test_a_track_that_was_joined_again_keeps_its_identity_from_there_on() -> None:
    odometer = Odometer(Rules(), Gates())
    track_of: dict[int, int] = {}
    num_kept = 0
    for seen in World(match_share=0.5, noise_px=0.0).film(rotation_path(6)):
        placed = odometer.update(seen)
        view = placed.view
        assert (placed.ages >= 2).all()
        key_at = dict(zip(map(tuple, seen.keypoints), seen.keypoint_ids.tolist(), strict=True))
        now = {key_at[tuple(p)]: t for p, t in zip(view.pixels, view.ids.tolist(), strict=True)}
        for key_prev, key in zip(seen.ids_prev, seen.keypoint_ids[seen.rows], strict=True):
            if key_prev in track_of:
                assert now[key] == track_of[key_prev]
                num_kept += 1
        track_of = now
    assert num_kept > 200


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_descriptors_that_say_nothing_do_no_harm(value: float) -> None:
    walk = path(40)
    world = World()
    world.descriptors = 512 * world.descriptors  # as long as raw SIFT's
    world.descriptors[::20] = value
    placed = follow(world, [*walk[:30], *[None] * 3, *walk[28:]])
    assert set(segments(placed)) == {0}
    assert all(p.T_world_cam is not None for p in placed[32:])


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_kidnapped_camera_never_jumps_within_a_segment(has_descriptors: bool) -> None:
    walk = path(40)
    elsewhere = from_rotation_vector(np.radians([0, 170.0, 0]), np.array([1.0, 0.2, -0.5]))
    poses = [*walk, *[elsewhere @ pose for pose in walk]]
    placed = follow(World(has_descriptors=has_descriptors), poses)
    assert sorted(set(segments(placed))) == [0, 1]
    shares, angles_deg = step_errors(placed, poses)
    assert shares.max() < 0.3
    assert angles_deg.max() < 0.3


def test_the_same_is_found_again_to_the_last_bit() -> None:
    runs = [follow(World(outlier_fraction=0.1), path(30)) for _ in range(2)]
    for a, b in zip(*runs, strict=True):
        assert (
            np.array_equal(a.T_world_cam, b.T_world_cam) or a.T_world_cam is b.T_world_cam is None
        )
        assert a.keyframe == b.keyframe


def test_each_keyframe_says_why_and_the_budget_holds() -> None:
    rules = Rules(keyframe_budget=0.2)
    placed = follow(World(), path(100), rules)
    reasons = [p.keyframe for p in placed if p.keyframe is not None]
    assert reasons[0] == "first of the segment"
    assert all("parallax" in r or "landmarks left" in r for r in reasons[1:])
    assert 5 < len(reasons) <= 0.2 * len(placed) + 3


def test_the_map_is_bounded() -> None:
    odometer = Odometer(Rules(), Gates(max_keyframes=10))
    sizes = []
    for seen in World().film(path(200)):
        odometer.update(seen)
        if odometer._segment is not None:
            sizes.append((len(odometer._segment.map.keyframes), len(odometer._segment.map.ids)))
    assert max(keyframes for keyframes, _ in sizes) == 10
    assert max(landmarks for _, landmarks in sizes[100:]) < 2 * max(n for _, n in sizes[:100])


def test_nothing_seen_is_no_error() -> None:
    placed = follow(World(), [None] * 10)
    assert [p.T_world_cam for p in placed] == [None] * 9
