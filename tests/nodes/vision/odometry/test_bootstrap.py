from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from camera_world import CAMERA, World, path, rotation_path, shifted
from known_map import Float, known_map, pixels_of, scatter, walk

from nodes.vision.odometry.bootstrap import MAX_BETWEEN, MAX_VIEWS, Begun, Bootstrap, _decide
from nodes.vision.odometry.local_map import Gates
from nodes.vision.odometry.view import View
from nodes.vision.se3 import inverse, transform

WIDTH = CAMERA.width


def views_of(world: World, poses: Sequence[Float]) -> list[View]:
    """Return what a camera sees whose tracks never break."""
    found = []
    for seq, pose in enumerate(poses):
        ids, pixels = world.look(pose)
        found.append(View(seq, ids, pixels))
    return found


def begin(views: Sequence[View], bootstrap: Bootstrap | None = None) -> Begun:
    """Show views one after another until a map begins, or to the last one."""
    bootstrap = bootstrap or Bootstrap(Gates())
    begun = Begun(None)
    for view in views:
        begun = bootstrap.begin(view, CAMERA.K, WIDTH, seed=view.seq)
        if begun.map is not None:
            break
    return begun


def exact(points: Float, poses: Sequence[Float], noise_px: float = 0.0) -> list[View]:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, noise_px, (len(poses), len(points), 2))
    return [
        View(seq, np.arange(len(points)), pixels_of(points, pose) + noise[seq])
        for seq, pose in enumerate(poses)
    ]


def plane(num: int) -> Float:
    """Return points (N, 3) of a slanted wall."""
    points = scatter(num)
    rays = points / points[:, 2:]
    return np.asarray(rays * (6 / (1 + 0.4 * rays[:, 0] - 0.2 * rays[:, 1]))[:, None])


def test_a_map_begins_with_true_places_in_the_unit_of_the_median_depth() -> None:
    points = scatter(200)
    begun = begin(exact(points, [shifted(0.15 * i, 0.02 * i, 0) for i in range(8)]))
    assert begun.map is not None
    first, last = begun.map.keyframes[0], begun.map.keyframes[-1]
    assert np.array_equal(first.T_cam_world, np.eye(4))
    assert np.median(begun.map.points[:, 2]) == pytest.approx(1.0, abs=0.02)
    unit = np.median(points[:, 2])
    truth = shifted(0.15, 0.02, 0)[:3, 3] / unit * last.view.seq
    assert np.linalg.norm(last.centre - truth) < 0.02 * np.linalg.norm(truth)
    assert np.abs(begun.map.points - points[begun.map.ids] / unit).max() < 0.03


def test_a_map_waits_for_parallax() -> None:
    points = scatter(200)
    begun = begin(exact(points, [shifted(0.02 * i, 0, 0) for i in range(6)]))
    assert begun.map is None  # 0.1 at 4 to 8: a degree at most
    assert begun.reason.startswith("initialising: ")
    later = begin(exact(points, [shifted(0.02 * i, 0, 0) for i in range(14)]))
    assert later.map is not None
    baseline = 0.02 * later.map.keyframes[-1].view.seq
    assert 1.0 < np.degrees(baseline / np.percentile(points[:, 2], 25)) < 2.0


def test_the_views_between_are_keyframes_too() -> None:
    poses = [shifted(0.02 * i, 0, 0) for i in range(14)]
    begun = begin(exact(scatter(200), poses))
    assert begun.map is not None
    seqs = [keyframe.view.seq for keyframe in begun.map.keyframes]
    assert seqs == sorted(set(seqs))
    assert 4 <= len(seqs) <= MAX_BETWEEN + 2
    assert np.diff(seqs).max() <= 3
    for keyframe in begun.map.keyframes:  # evenly along the walk
        share = np.linalg.norm(keyframe.centre) / np.linalg.norm(begun.map.keyframes[-1].centre)
        assert share == pytest.approx(keyframe.view.seq / seqs[-1], abs=0.01)


def test_a_camera_that_stands_still_is_told_so() -> None:
    begun = begin(exact(scatter(200), [np.eye(4)] * 5, noise_px=0.3))
    assert begun.map is None
    assert "the picture moved by" in begun.reason


def test_a_camera_that_only_turns_is_told_so() -> None:
    begun = begin(views_of(World(noise_px=0.3), rotation_path(15)))
    assert begun.map is None
    assert begun.reason.startswith("initialising: translation_not_observable")


def test_people_before_a_camera_that_stands_still_do_not_begin_a_map() -> None:
    """Most of what is seen moves, some stands still: the picture moves, the camera does not."""
    points = scatter(200)
    views = exact(points, [np.eye(4)] * 5, noise_px=0.3)
    rng = np.random.default_rng(1)
    for view in views[1:]:
        view.pixels[:110] += rng.uniform(-40, 40, (110, 2))
    begun = begin(views)
    assert begun.map is None
    assert begun.reason == "initialising: static"


@pytest.mark.parametrize(("wrong_share", "is_begun"), [(0.2, True), (0.6, False)])
def test_half_of_what_both_views_see_must_agree(wrong_share: float, is_begun: bool) -> None:
    points = scatter(400)
    views = exact(points, [np.eye(4), shifted(0.5, 0.1, 0)])
    num_wrong = int(wrong_share * len(points))
    views[1].pixels[:num_wrong] += np.random.default_rng(2).uniform(20, 90, (num_wrong, 2))
    assert (begin(views).map is not None) == is_begun


def test_two_motions_that_explain_a_plane_as_well_begin_no_map() -> None:
    begun = begin(exact(plane(300), [np.eye(4), shifted(0, 0, 0.8)], noise_px=0.1))
    assert begun.map is None
    assert begun.reason == "initialising: two motions explain the plane as well"


def error_deg(begun: Begun, poses: Sequence[Float]) -> float:
    """Return the angle between the found and the true direction from the first view to the last."""
    assert begun.map is not None
    last = begun.map.keyframes[-1]
    true = poses[last.view.seq][:3, 3]
    cosine = last.centre @ true / np.linalg.norm(last.centre) / np.linalg.norm(true)
    return float(np.degrees(np.arccos(min(cosine, 1.0))))


@pytest.mark.parametrize("step", [(0.0, 0.0, 0.1), (0.02, 0.01, 0.1), (0.0, 0.0, 0.05)])
def test_straight_ahead_to_a_plane_the_wrong_one_of_two_motions_begins_no_map(
    step: tuple[float, float, float],
) -> None:
    """Along a straight line both motions explain all views; the one must not win by its gates."""
    poses = [shifted(*(i * np.array(step))) for i in range(12)]
    begun = begin(exact(plane(300), poses, noise_px=0.1))
    assert begun.map is None or error_deg(begun, poses) < 5


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_motions_that_is_taken_which_the_views_between_agree_with(order: int) -> None:
    points = scatter(60)
    true = Begun(known_map(points, walk(6)))
    other = Begun(known_map(points, walk(4)))  # two of the views could not be placed
    assert _decide([true, other][::order]) is true
    nearly = known_map(points, walk(6))
    nearly.keyframes[2].view = nearly.keyframes[2].view.where(np.arange(60) < 50)
    undecided = _decide([true, Begun(nearly)][::order])
    assert undecided.map is None
    assert undecided.reason == "initialising: two motions explain the plane as well"


def test_no_more_views_are_remembered_than_the_last_ones() -> None:
    bootstrap = Bootstrap(Gates())
    views = views_of(World(), rotation_path(40, turn_deg=0.5))
    assert begin(views, bootstrap).map is None
    assert bootstrap.first is not None
    assert bootstrap.first.seq == len(views) - MAX_VIEWS


def test_views_that_have_nothing_in_common_with_the_current_one_are_forgotten() -> None:
    bootstrap = Bootstrap(Gates())
    views = views_of(World(), rotation_path(3))
    elsewhere = View(3, views[0].ids + 10_000, views[0].pixels)
    begun = begin([*views, elsewhere], bootstrap)
    assert begun.reason == "initialising: too few tracks"
    assert bootstrap.first is elsewhere


def test_a_standing_camera_does_not_wash_the_first_view_away() -> None:
    bootstrap = Bootstrap(Gates())
    begin(exact(scatter(200), [np.eye(4)] * 60, noise_px=0.2), bootstrap)
    assert bootstrap.first is not None
    assert bootstrap.first.seq == 0


def test_what_is_wrong_in_one_view_is_not_of_the_map() -> None:
    points = scatter(300)
    views = exact(points, [shifted(0.05 * i, 0.01 * i, 0) for i in range(10)])
    wrong: npt.NDArray[np.int64] = np.arange(0, 300, 10)
    for view in views[1:]:
        view.pixels[wrong] += np.random.default_rng(view.seq).uniform(15, 40, (30, 2))
    begun = begin(views)
    assert begun.map is not None
    assert not np.isin(wrong, begun.map.ids).any()
    assert len(begun.map.ids) > 250


def test_a_map_that_begins_forgets_the_views_it_is_made_of() -> None:
    bootstrap = Bootstrap(Gates())
    assert begin(views_of(World(), path(12)), bootstrap).map is not None
    assert bootstrap.first is None


def test_a_camera_behind_which_everything_lies_begins_no_map() -> None:
    """Points that fit only behind the camera: the same picture, moved the wrong way."""
    points = scatter(200)
    pose = shifted(0.4, 0, 0)
    mirrored = CAMERA.project(
        np.abs(transform(inverse(pose), points)) * np.sign(points) * (1, 1, 1)
    )
    views = exact(points, [np.eye(4)])
    begun = begin([*views, View(1, views[0].ids, mirrored[::-1].copy())])
    assert begun.map is None
