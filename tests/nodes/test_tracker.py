"""The tracker node: points that keep their identity from frame to frame of each stream."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.messages import Frame, Matches
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.images import read_image
from nodes.sources.text_files import read_tum
from nodes.tracker import Tracker
from nodes.trackers.klt import Klt
from nodes.vision.camera import Camera
from nodes.vision.evaluation import relative_pose
from nodes.vision.two_view import fundamental, sampson_distance
from pipeline.node import Break, Resources, Skip

PICTURE = texture(0, 480, 640)


def frame(
    image: np.ndarray, seq: int = 0, stream: str = "cam", mask: np.ndarray | None = None
) -> Frame:
    camera = Camera.assumed(image.shape[1], image.shape[0])
    return Frame(stream=stream, seq=seq, stamp_ns=seq * 100, image=image, camera=camera, mask=mask)


def tracker(**options: object) -> Tracker:
    node = Tracker(Tracker.Params(options=Klt.Options(**options)))
    node.open(Resources())
    return node


def send(node: Tracker, message: Frame) -> Matches | Skip | Break:
    (answer,) = node.process(message)
    return answer


def send_all(
    node: Tracker, images: list[np.ndarray], mask: np.ndarray | None = None
) -> list[Matches]:
    answers = [send(node, frame(image, seq, mask=mask)) for seq, image in enumerate(images)]
    assert answers[0] == Skip("first_frame")
    assert all(isinstance(answer, Matches) for answer in answers[1:])
    return [answer for answer in answers if isinstance(answer, Matches)]


def homography(k: int) -> np.ndarray:
    """Return the warp of step k: zoom, roll, shift and a little perspective."""
    zoom, angle = 1.012**k, np.radians(0.4 * k)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    around = np.array([[c, -s, 0], [s, c, 0], [3e-6 * k, 2e-6 * k, 1]])
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = (-320, -240), (320 + 2.3 * k, 240 - 1.7 * k)
    return np.asarray(back @ around @ to)


def warped(k: int, noise: float = 0.0) -> np.ndarray:
    image = cv2.warpPerspective(PICTURE, homography(k), (640, 480), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)  # fmt: skip
    grain = np.random.default_rng(k).normal(0, noise, image.shape) if noise else 0
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)


def half_covered(image: np.ndarray) -> np.ndarray:
    covered = image.copy()
    covered[:, 320:] = texture(5, 480, 640)[:, 320:]
    return covered


def mapped(H: np.ndarray, points: np.ndarray) -> np.ndarray:
    ends = np.column_stack([points, np.ones(len(points))]) @ H.T
    return np.asarray(ends[:, :2] / ends[:, 2:])


def pairs(found: Matches) -> tuple[np.ndarray, np.ndarray]:
    return found.keypoints_prev[found.matches[:, 0]], found.keypoints_cur[found.matches[:, 1]]


def test_a_warped_picture_is_followed_within_0_1_px() -> None:
    (found,) = send_all(tracker(), [warped(0), warped(1)])
    prev, cur = pairs(found)
    gap = np.linalg.norm(mapped(homography(1), prev) - cur, axis=1)
    assert len(gap) > 600
    assert np.median(gap) < 0.03
    assert np.percentile(gap, 95) < 0.1


@pytest.mark.parametrize(("patch_steps", "low", "high"), [(2, 0.0, 0.08), (0, 0.15, 9.0)])
def test_only_translations_drift_over_twenty_frames(
    patch_steps: int, low: float, high: float
) -> None:
    results = send_all(tracker(patch_steps=patch_steps), [warped(k, 2.0) for k in range(21)])
    first = dict(zip(results[0].ids_prev.tolist(), results[0].keypoints_prev, strict=True))
    last = results[-1]
    rows = [i for i in last.matches[:, 1] if last.ids_cur[i] in first]
    starts = np.array([first[i] for i in last.ids_cur[rows]])
    gap = np.linalg.norm(mapped(homography(20), starts) - last.keypoints_cur[rows], axis=1)
    assert len(rows) > 200
    assert low < np.median(gap) < high


@pytest.mark.parametrize("shift", [(30, 0), (-55, 30), (0, 64)])
def test_large_steps_are_followed_from_the_first_one_on(shift: tuple[int, int]) -> None:
    picture = texture(4, 700, 900)
    corners = [(130 + k * np.array(shift) * (k < 2)) for k in range(2)]
    images = [picture[y : y + 480, x : x + 640] for x, y in corners]
    (found,) = send_all(tracker(), images)
    prev, cur = pairs(found)
    stays = ((found.keypoints_prev - shift > 15) & (found.keypoints_prev - shift < [625, 465])).all(
        axis=1
    )
    assert (np.linalg.norm(cur - prev + shift, axis=1) < 0.2).sum() > 0.6 * stays.sum()


def test_matches_carry_both_frames_whole_and_in_order() -> None:
    node = tracker()
    send(node, frame(warped(0), 4))
    found = send(node, frame(half_covered(warped(1)), 7))
    assert isinstance(found, Matches)
    assert (found.stream, found.seq, found.stamp_ns) == ("cam", 7, 700)
    assert (found.seq_prev, found.stamp_ns_prev) == (4, 400)
    assert found.camera == frame(warped(1)).camera
    num = len(found.matches)
    assert found.matches[:, 1].tolist() == list(range(num))
    assert (np.diff(found.matches[:, 0]) > 0).all()
    assert num < len(found.keypoints_cur)  # new corners come after those that were followed
    again = send(node, frame(warped(2), 8))
    assert isinstance(again, Matches)
    assert np.array_equal(again.keypoints_prev, found.keypoints_cur)
    assert np.array_equal(again.ids_prev, found.ids_cur)


def test_a_followed_point_keeps_its_identity_and_none_is_used_twice() -> None:
    seen: set[int] = set()
    num_with_new = 0
    for found in send_all(tracker(), [warped(k) for k in range(8)]):
        assert np.array_equal(
            found.ids_prev[found.matches[:, 0]], found.ids_cur[found.matches[:, 1]]
        )
        assert len(set(found.ids_cur.tolist())) == len(found.ids_cur)
        new = set(found.ids_cur[len(found.matches) :].tolist())
        seen |= set(found.ids_prev.tolist())
        assert not new & seen
        num_with_new += bool(new)
    assert num_with_new >= 2


def test_corners_are_looked_for_where_points_were_lost_or_there_were_none() -> None:
    still = send_all(tracker(), [warped(0)] * 8)
    num_new = [len(found.keypoints_cur) - len(found.matches) for found in still]
    assert num_new[0] == num_new[1] == 0
    dark = [np.zeros((480, 640), np.uint8)] * 2
    images = [*dark, half_covered(dark[0]), *[warped(0)] * 3]
    late = send_all(tracker(), images)
    assert len(late[-1].keypoints_cur) > 500
    assert len(send_all(tracker(), [warped(0), half_covered(warped(0))])[0].keypoints_cur) > 500


def test_the_first_frame_of_each_stream_is_skipped_and_streams_do_not_mix() -> None:
    node = tracker()
    flipped = [np.ascontiguousarray(warped(k)[::-1]) for k in range(2)]
    assert send(node, frame(warped(0), 0, "left")) == Skip("first_frame")
    assert send(node, frame(flipped[0], 5, "right")) == Skip("first_frame")
    left = send(node, frame(warped(1), 1, "left"))
    right = send(node, frame(flipped[1], 6, "right"))
    assert isinstance(left, Matches) and isinstance(right, Matches)
    assert (left.seq_prev, right.seq_prev) == (0, 5)
    assert left.ids_prev[0] == right.ids_prev[0] == 0
    (alone,) = send_all(tracker(), [warped(0), warped(1)])
    assert np.array_equal(left.keypoints_cur, alone.keypoints_cur)


def test_where_the_size_changes_the_stream_breaks_and_identities_go_on() -> None:
    node = tracker()
    send(node, frame(warped(0), 0))
    before = send(node, frame(warped(1), 1))
    small = [cv2.resize(warped(k), (320, 240)) for k in (2, 3)]
    assert send(node, frame(small[0], 2)) == Break("size_changed: 640x480 -> 320x240")
    after = send(node, frame(small[1], 3))
    assert isinstance(before, Matches) and isinstance(after, Matches)
    assert after.seq_prev == 2
    assert after.ids_prev.min() == before.ids_cur.max() + 1
    assert len(after.matches) > 100


def test_opening_again_forgets_the_streams() -> None:
    node = tracker()
    send(node, frame(warped(0)))
    node.open(Resources())
    assert send(node, frame(warped(1))) == Skip("first_frame")


def test_points_behind_something_new_end() -> None:
    covered = warped(1)
    covered[:, 300:] = texture(9, 480, 640)[:, 300:]
    (found,) = send_all(tracker(), [warped(0), covered])
    _, cur = pairs(found)
    assert (cur[:, 0] < 295).sum() > 250
    assert (cur[:, 0] > 305).mean() < 0.06


def test_a_point_that_looks_different_ends_though_it_comes_back_to_its_start() -> None:
    images = [warped(0), warped(0)]
    grain = np.random.default_rng(0).normal(0, 30, (80, 80))
    part = (slice(200, 280), slice(280, 360))
    images[1][part] = np.clip(images[1][part] + grain, 0, 255).astype(np.uint8)
    results = {
        limit: pairs(send_all(tracker(min_similarity=limit), images)[0])[1] for limit in (-1, 0.95)
    }
    spoilt = {k: int((np.abs(v - [320, 240]) < 36).all(axis=1).sum()) for k, v in results.items()}
    assert spoilt[0.95] < 0.5 * spoilt[-1]


def test_a_track_ends_where_it_leaves_the_mask() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[:, :330] = 1
    picture = texture(6, 480, 800)
    images = [picture[:, x : x + 640] for x in (40, 30, 20)]  # everything moves to the right
    for found in send_all(tracker(), images, mask):
        assert len(found.matches) > 200
        assert np.rint(found.keypoints_cur[:, 0]).max() < 330
        leaves = found.keypoints_prev[:, 0] > 322
        assert leaves.any()
        assert not leaves[found.matches[:, 0]].any()


def test_after_darkness_points_are_found_anew() -> None:
    black = np.zeros((480, 640), np.uint8)
    results = send_all(tracker(), [warped(0), black, black, warped(0), warped(1)])
    assert [len(found.matches) > 0 for found in results] == [False, False, False, True]
    assert results[2].ids_cur.min() > results[0].ids_prev.max()


def test_points_stay_at_most_max_points_and_well_spread() -> None:
    for found in send_all(tracker(max_points=150), [warped(-k) for k in range(6)]):
        assert 100 < len(found.keypoints_cur) <= 150
        quarters = np.sum((found.keypoints_cur > [320, 240]) * [1, 2], axis=1)
        assert np.bincount(quarters, minlength=4).min() > 20


def test_points_that_meet_are_held_once() -> None:
    images = [cv2.resize(PICTURE, None, fx=z, fy=z, interpolation=cv2.INTER_AREA) for z in (1, 0.92, 0.85, 0.78)]  # fmt: skip
    canvas = []
    for image in images:
        wide = np.full((480, 640), 128, np.uint8)
        wide[: image.shape[0], : image.shape[1]] = image
        canvas.append(wide)
    last = send_all(tracker(cell_px=24), canvas)[-1]
    squares = np.rint(last.keypoints_cur[: len(last.matches)]) // 6
    assert len(np.unique(squares, axis=0)) == len(last.matches) > 100


def test_contrast_is_raised_where_clahe_is_asked_for() -> None:
    faint = [(warped(k) // 16 + 100).astype(np.uint8) for k in range(2)]
    plain, raised = (send_all(tracker(clahe=clahe), faint)[0] for clahe in (False, True))
    assert len(raised.matches) > 2 * len(plain.matches)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("max_points", 0, "max_points must be from 1 to 100000, not 0"),
        ("cell_px", 3, "cell_px must be from 4 to 1000, not 3"),
        ("window_px", 3, "window_px must be from 5 to 101, not 3"),
        ("window_px", 12, "window_px must be odd, not 12"),
        ("patch_px", 103, "patch_px must be from 5 to 101, not 103"),
        ("levels", 0, "levels must be from 1 to 10, not 0"),
        ("patch_steps", -1, "patch_steps must be from 0 to 20, not -1"),
        ("min_quality", 0.0, "min_quality must be more than 0, not 0.0"),
        ("max_forward_backward_px", -1.0, "max_forward_backward_px must be more than 0, not -1.0"),
        ("max_correction_px", float("nan"), "max_correction_px must be more than 0, not nan"),
        ("min_similarity", 1.5, "min_similarity must be from -1 to 1, not 1.5"),
    ],
)
def test_an_option_without_sense_is_an_error(option: str, value: float, message: str) -> None:
    with pytest.raises(ValueError) as error:
        Klt.Options(**{option: value})
    assert str(error.value) == message


def test_a_tracker_does_not_go_on_from_what_another_returned() -> None:
    first = Klt().start(PICTURE)
    with pytest.raises(ValueError, match="goes on from what this tracker returned"):
        Klt().follow(type(first)(first.keypoints, first.origins, first.scores, None), PICTURE)


@pytest.mark.data
def test_tracks_of_a_drive_agree_with_the_true_motion(data_dir: Callable[[str], Path]) -> None:
    folder = data_dir("kitti01")
    camera = read_calibration(folder / "intrinsics.yaml")
    images = [read_image(path) for path in sorted((folder / "frames").iterdir())[:12]]
    _, poses = read_tum(folder / "groundtruth.txt")
    node = tracker()
    results = [send(node, frame(image, seq)) for seq, image in enumerate(images)]
    for seq, found in enumerate(results[1:], 1):
        assert isinstance(found, Matches)
        F = fundamental(relative_pose(poses[seq - 1], poses[seq]), camera.K)
        gap = sampson_distance(F, *(camera.undistorted_pixels(p) for p in pairs(found)))
        assert len(gap) > 250
        assert np.median(gap) < 0.5
