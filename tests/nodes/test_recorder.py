"""The recorder leaves a row for each frame but the first, and files that others read."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nodes.messages import Frame, Keyframe, Matches, Mosaic, RelativePose, Trajectory
from nodes.recorder import Recorder
from nodes.vision.camera import Camera
from nodes.writers.poses import Poses
from pipeline.errors import ConfigError
from pipeline.node import Notice, Resources

CAMERA = Camera(640, 480, 500, 500, 320, 240)
MS = 1_000_000
PORTS = {
    RelativePose: "pose",
    Trajectory: "trajectory",
    Keyframe: "keyframe",
    Matches: "matches",
    Mosaic: "mosaic",
}


def _pose(
    seq: int, stream: str = "cam", seq_prev: int | None = None, **fields: Any
) -> RelativePose:
    prev = seq - 1 if seq_prev is None else seq_prev
    return RelativePose(
        stream=stream,
        seq=seq,
        stamp_ns=seq * MS,
        seq_prev=prev,
        stamp_ns_prev=prev * MS,
        **{
            "num_matches": 20,
            "num_inliers": 15,
            "T_cur_prev": np.eye(4),
            "label": "general",
            **fields,
        },
    )


def _placed(seq: int, segment: int = 0, stream: str = "cam", **fields: Any) -> Trajectory:
    place = {"T_world_cam": np.eye(4), **fields}
    return Trajectory(stream=stream, seq=seq, stamp_ns=seq * MS, segment=segment, **place)


def _keyframe(seq: int, segment: int = 0) -> Keyframe:
    return Keyframe(
        stream="cam",
        seq=seq,
        stamp_ns=seq * MS,
        segment=segment,
        T_world_cam=np.eye(4),
        reason="parallax 2.1 deg",
        ids=np.arange(5),
        keypoints=np.zeros((5, 2), np.float32),
        landmarks=np.ones((5, 3)),
    )


def _matches(num_matches: int) -> Matches:
    keypoints = np.arange(2 * num_matches, dtype=np.float32).reshape(-1, 2)
    index = np.arange(num_matches, dtype=np.int32)
    return Matches(
        stream="cam",
        seq=1,
        stamp_ns=MS,
        seq_prev=0,
        stamp_ns_prev=0,
        keypoints_prev=keypoints,
        keypoints_cur=keypoints[::-1].copy(),
        ids_prev=index.astype(np.int64),
        ids_cur=index.astype(np.int64),
        matches=np.column_stack([index, index[::-1]]),
        match_scores=np.ones(num_matches, np.float32),
        camera=CAMERA,
    )


def _notice(kind: Any, seq: int, reason: str, count: int = 1, stream: str = "cam") -> Notice:
    return Notice(kind, stream, seq, seq * MS, reason, count)


def _record(
    folder: Path,
    steps: list[Any],
    streams: tuple[str, ...] = ("cam",),
    port_of_notices: str = "pose",
    **params: Any,
) -> dict[str, float]:
    """Feed messages and notices of a port to a recorder; return what it reports."""
    reported: dict[str, float] = {}
    recorder = Recorder(Recorder.Params(**params))
    recorder.open(Resources("recorder", streams, folder, report=reported.__setitem__))
    for step in steps:
        if isinstance(step, Notice):
            recorder.notice(port_of_notices, step)
        else:
            assert list(recorder.process(**{PORTS[type(step)]: step})) == []
    recorder.close()
    return reported


def _rows(folder: Path, name: str = "poses.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- rows


def test_poses_become_rows_and_the_first_frame_has_none(tmp_path: Path) -> None:
    pose = _pose(1, label="general")
    _record(tmp_path, [_notice("skip", 0, "first_frame"), pose])
    (row,) = _rows(tmp_path)
    assert (row["seq_prev"], row["seq_cur"], row["label"]) == (0, 1, "general")
    assert (row["stamp_ns_prev"], row["stamp_ns_cur"]) == (0, MS)
    assert (row["num_matches"], row["num_inliers"]) == (20, 15)
    assert row["T_cur_prev"] == np.eye(4).tolist()
    assert (row["T_cur_prev_alt"], row["covariance"]) == (None, None)


def test_a_second_solution_and_the_covariance_are_in_the_row(tmp_path: Path) -> None:
    other = np.diag([1.0, -1, -1, 1])
    _record(tmp_path, [_pose(1, label="planar", T_cur_prev_alt=other, covariance=np.eye(5))])
    (row,) = _rows(tmp_path)
    assert row["T_cur_prev_alt"] == other.tolist()
    assert row["covariance"] == np.eye(5).tolist()


def test_a_row_tells_of_the_camera_that_the_pose_rests_on(tmp_path: Path) -> None:
    guessed = Camera.uncalibrated(640, 480, 512.5)
    steps = [_pose(1, camera=CAMERA), _pose(2, camera=guessed), _pose(3)]
    _record(tmp_path, [*steps, _notice("skip", 4, "no matches")])
    told = [(row["calibrated"], row["focal_px"]) for row in _rows(tmp_path)]
    assert told == [(True, 500), (False, 512.5), (None, None), (None, None)]


def test_a_pose_that_could_not_be_estimated_keeps_its_reason(tmp_path: Path) -> None:
    _record(tmp_path, [_pose(1, T_cur_prev=None, num_matches=6, reason="too_few_matches: 6 < 8")])
    (row,) = _rows(tmp_path)
    assert (row["T_cur_prev"], row["reason"]) == (None, "too_few_matches: 6 < 8")
    assert row["num_matches"] == 6


def test_an_unreadable_frame_has_a_row_and_the_next_pair_spans_it(tmp_path: Path) -> None:
    steps = [_notice("skip", 0, "first_frame"), _pose(1), _notice("error", 2, "not an image")]
    _record(tmp_path, [*steps, _pose(3, seq_prev=1)])
    _, broken, after = _rows(tmp_path)
    assert (broken["seq_prev"], broken["seq_cur"]) == (1, 2)
    assert (broken["label"], broken["reason"]) == ("lost", "unreadable: not an image")
    assert (broken["T_cur_prev"], broken["num_matches"]) == (None, 0)
    assert (after["seq_prev"], after["seq_cur"]) == (1, 3)


def test_an_unreadable_first_frame_has_a_row_without_a_previous_frame(tmp_path: Path) -> None:
    _record(tmp_path, [_notice("error", 0, "x"), _notice("skip", 1, "first_frame"), _pose(2)])
    first, second = _rows(tmp_path)
    assert (first["seq_prev"], first["stamp_ns_prev"], first["seq_cur"]) == (None, None, 0)
    assert second["seq_cur"] == 2


@pytest.mark.parametrize("kind", ["skip", "break"])
def test_a_frame_without_result_has_a_row(tmp_path: Path, kind: str) -> None:
    middle = _notice(kind, 2, "size_changed: 640x480 to 320x240")
    _record(tmp_path, [_notice("skip", 0, "first_frame"), _pose(1), middle, _pose(3)])
    rows = _rows(tmp_path)
    assert [(row["seq_prev"], row["seq_cur"]) for row in rows] == [(0, 1), (1, 2), (2, 3)]
    assert rows[1]["reason"] == "size_changed: 640x480 to 320x240"
    assert [row["label"] for row in rows] == ["general", "lost", "general"]


@pytest.mark.parametrize("count", [1, 3])
def test_dropped_frames_have_no_row_and_the_next_row_shows_the_jump(
    tmp_path: Path, count: int
) -> None:
    gap = _notice("gap", 2, "dropped: the consumer was busy", count)
    after = _pose(2 + count, seq_prev=1)
    _record(tmp_path, [_notice("skip", 0, "first_frame"), _pose(1), gap, after])
    rows = _rows(tmp_path)
    assert [(row["seq_prev"], row["seq_cur"]) for row in rows] == [(0, 1), (1, 2 + count)]


def test_a_pose_joined_with_its_frame_and_matches_is_written_once(tmp_path: Path) -> None:
    image = np.zeros((480, 640), np.uint8)
    frame = Frame(stream="cam", seq=1, stamp_ns=MS, image=image, camera=CAMERA)
    recorder = Recorder()
    recorder.open(Resources(streams=("cam",), out=tmp_path))
    assert list(recorder.process(frame=frame, pose=_pose(1), matches=_matches(3))) == []
    recorder.close()
    assert len(_rows(tmp_path)) == 1
    assert _names(tmp_path) == ["matches.npz", "poses.jsonl"]


# ---------------------------------------------------------------- trajectory


def test_placed_frames_are_lines_and_every_segment_has_a_file(tmp_path: Path) -> None:
    lost = _placed(2, T_world_cam=None, reason="too few landmarks: 3 < 12")
    steps = [_placed(-1, -1, T_world_cam=None), _placed(1), lost, _placed(3), _placed(4, 1)]
    reported = _record(tmp_path, steps)
    assert _names(tmp_path) == ["trajectory.tum", "trajectory_cam_1.tum"]
    assert np.loadtxt(tmp_path / "trajectory.tum")[:, 0].tolist() == [0.001, 0.003]
    assert reported["segments"] == 2


def test_the_segments_of_all_streams_are_counted(tmp_path: Path) -> None:
    steps = [_placed(0, stream="left"), _placed(0, stream="right"), _placed(1, stream="left")]
    assert _record(tmp_path, steps, streams=("left", "right"))["segments"] == 2
    assert _names(tmp_path) == ["trajectory_left.tum", "trajectory_right.tum"]


def test_a_stream_that_was_never_placed_leaves_a_valid_empty_trajectory(tmp_path: Path) -> None:
    _record(tmp_path, [_notice("skip", 0, "first_frame")], port_of_notices="trajectory")
    assert (tmp_path / "trajectory.tum").read_text() == "# no frame was placed\n"
    assert _names(tmp_path) == ["trajectory.tum"]


def test_keyframes_become_rows_with_their_reason(tmp_path: Path) -> None:
    _record(tmp_path, [_placed(3, 1), _keyframe(3, 1)])
    (row,) = _rows(tmp_path, "keyframes.jsonl")
    assert (row["seq"], row["segment"], row["num_landmarks"]) == (3, 1, 5)
    assert row["reason"] == "parallax 2.1 deg"


# ---------------------------------------------------------------- files


def test_one_frame_leaves_valid_empty_files(tmp_path: Path) -> None:
    _record(tmp_path, [_notice("skip", 0, "first_frame")])
    assert (tmp_path / "poses.jsonl").read_bytes() == b""
    assert _names(tmp_path) == ["poses.jsonl"]


def test_several_streams_have_files_of_their_own(tmp_path: Path) -> None:
    steps = [_pose(1, "left"), _pose(1, "right"), _pose(2, "left")]
    _record(tmp_path, steps, streams=("left", "right"))
    assert [row["seq_cur"] for row in _rows(tmp_path, "poses_left.jsonl")] == [1, 2]
    assert [row["seq_cur"] for row in _rows(tmp_path, "poses_right.jsonl")] == [1]


def test_matches_are_pixels_of_both_frames(tmp_path: Path) -> None:
    _record(tmp_path, [_matches(3)])
    with np.load(tmp_path / "matches.npz") as archive:
        assert archive["0-1"].tolist() == [[0, 1, 0, 1], [2, 3, 2, 3], [4, 5, 4, 5]]


def test_many_matches_are_thinned_evenly(tmp_path: Path) -> None:
    _record(tmp_path, [_matches(1000)], max_matches=4)
    with np.load(tmp_path / "matches.npz") as archive:
        assert archive["0-1"][:, 0].tolist() == [0, 500, 1000, 1500]


def test_no_matches_are_an_entry_of_no_lines(tmp_path: Path) -> None:
    _record(tmp_path, [_matches(0)])
    with np.load(tmp_path / "matches.npz") as archive:
        assert archive["0-1"].shape == (0, 4)


def test_a_mosaic_becomes_a_picture(tmp_path: Path) -> None:
    mosaic = Mosaic(
        stream="cam",
        seq=0,
        stamp_ns=0,
        image=np.full((4, 6, 3), (255, 128, 0), np.uint8),
        mask=np.full((4, 6), 255, np.uint8),
        origin=(1, 2),
        canvas_size=(10, 10),
        num_frames=1,
    )
    _record(tmp_path, [mosaic])
    picture = cv2.imread(str(tmp_path / "panorama.png"))
    assert picture.shape == (4, 6, 3)
    assert picture[0, 0].tolist() == [0, 128, 255]


def test_only_the_chosen_writers_write(tmp_path: Path) -> None:
    _record(tmp_path, [_pose(1), _matches(3)], writers=("poses",))
    assert _names(tmp_path) == ["poses.jsonl"]


def test_the_same_run_leaves_the_same_bytes(tmp_path: Path) -> None:
    steps = [_notice("skip", 0, "first_frame"), _pose(1), _matches(300), _placed(1), _keyframe(1)]
    for name in ("a", "b"):
        _record(tmp_path / name, steps)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert len(_names(tmp_path / "a")) == 4


def test_what_evaluate_left_of_an_older_run_is_taken_away(tmp_path: Path) -> None:
    for name in ("evaluation.json", "trajectory.png", "errors.png", "mine.png"):
        (tmp_path / name).write_text("")
    _record(tmp_path, [_pose(1)])
    assert _names(tmp_path) == ["mine.png", "poses.jsonl"]


# ---------------------------------------------------------------- mistakes


def test_an_unwritable_run_folder_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        Recorder().open(Resources(out=tmp_path / "file" / "run"))
    assert str(caught.value) == f"cannot write to {tmp_path}/file/run: Not a directory"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("stream", ["../cam", "a\\b", ".cam"])
def test_a_stream_that_would_leave_the_run_folder_is_refused(tmp_path: Path, stream: str) -> None:
    with pytest.raises(ConfigError, match="cannot be part of a file name"):
        Recorder().open(Resources(streams=(stream,), out=tmp_path))


def test_two_streams_that_could_share_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Recorder().open(Resources(streams=("cam", "cam_1"), out=tmp_path))
    assert str(caught.value) == (
        "the streams 'cam' and 'cam_1' could share the file trajectory_cam_1.tum; "
        "rename one of the nodes"
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_matches": 0}, "max_matches must be at least 1, not 0"),
        ({"writers": ("poses", "poses")}, "writers must differ"),
    ],
)
def test_wrong_settings_name_key_and_value(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recorder.Params(**params)


def test_an_unknown_writer_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown writer 'pose'\. Did you mean 'poses'\?"):
        _record(tmp_path, [_pose(1)], writers=("pose",))
    assert _names(tmp_path) == []


def test_a_writer_that_fails_to_close_does_not_keep_the_others_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Poses.close

    def fail(writer: Poses) -> None:
        close(writer)
        raise OSError("disk full")

    monkeypatch.setattr(Poses, "close", fail)
    with pytest.raises(OSError, match="disk full"):
        _record(tmp_path, [_matches(3), _placed(1), _pose(1)])
    with np.load(tmp_path / "matches.npz") as archive:
        assert archive.files == ["0-1"]
    assert (tmp_path / "trajectory.tum").exists()


def test_an_unreadable_frame_that_a_pose_spans_has_a_row(tmp_path: Path) -> None:
    notices = [_notice("skip", 0, "first_frame"), _pose(1), _notice("error", 2, "damaged")]
    _record(tmp_path, [*notices, _pose(3, seq_prev=1)])
    assert [row["seq_cur"] for row in _rows(tmp_path)] == [1, 2, 3]
