"""The visualiser tells a viewer what became of each frame."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.messages import Frame, Matches, RelativePose
from nodes.viewers import View, Viewer
from nodes.viewers.video import Video
from nodes.vision.camera import Camera
from nodes.vision.se3 import from_rotation_translation
from nodes.visualiser import Visualiser
from pipeline.errors import ConfigError
from pipeline.runner import run_node

CAMERA = Camera(64, 48, 50.0, 50.0, 31.5, 23.5)
MS = 1_000_000
BEGIN_NS = 1_311_868_164_000_000_000


class Album(Viewer):
    """Keeps the views."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[View] = []

    def open(self, folder: Path, streams: tuple[str, ...]) -> None:
        self.opened_with = folder, streams

    def show(self, view: View) -> None:
        self.views.append(view)


def _key(seq: int, stream: str) -> dict[str, Any]:
    return {"stream": stream, "seq": seq, "stamp_ns": BEGIN_NS + seq * 40 * MS}


def _frame(seq: int, stream: str = "cam", camera: Camera = CAMERA) -> Frame:
    return Frame(**_key(seq, stream), image=np.zeros((48, 64, 3), np.uint8), camera=camera)


def _matches(seq: int, num_matches: int = 4, stream: str = "cam") -> Matches:
    """Return matches of points that move 1 pixel right a frame; identities are 100 seq + index."""
    points = np.column_stack([np.arange(6) * 8 + seq, np.full(6, 5)]).astype(np.float32)
    index = np.arange(num_matches, dtype=np.int32)
    return Matches(
        **_key(seq, stream),
        seq_prev=seq - 1,
        stamp_ns_prev=BEGIN_NS,
        keypoints_prev=points - np.float32([1, 0]),
        keypoints_cur=points,
        ids_prev=np.arange(6, dtype=np.int64) + 100 * (seq - 1),
        ids_cur=np.arange(6, dtype=np.int64) + 100 * seq,
        matches=np.column_stack([index, index]),
        match_scores=np.ones(num_matches, np.float32),
        camera=CAMERA,
    )


def _pose(seq: int, **fields: Any) -> RelativePose:
    R = Rotation.from_euler("Y", 2.5, degrees=True).as_matrix()
    values = {
        "seq_prev": seq - 1,
        "stamp_ns_prev": BEGIN_NS,
        "num_matches": 4,
        "num_inliers": 3,
        "label": "general",
        "T_cur_prev": from_rotation_translation(R, np.array([1.0, 0, 0])),
        "inliers": np.array([True, True, True, False]),
    }
    return RelativePose(**_key(seq, "cam"), **values | fields)


def _views(
    inputs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, **params: Any
) -> list[View]:
    """Return what a viewer is shown."""
    album = Album()
    monkeypatch.setattr("nodes.visualiser.VIEWERS.create", lambda name, options=None: album)
    node = Visualiser(Visualiser.Params(**params))
    assert list(run_node(node, inputs, streams=("cam",))) == []
    return album.views


def test_tracked_frame_is_described_with_counts_and_rotation(monkeypatch) -> None:
    view = _views([{"frame": _frame(1), "matches": _matches(1), "pose": _pose(1)}], monkeypatch)[0]
    assert (view.state, view.mood) == ("tracking (general)", "good")
    assert view.facts == "3 of 4 inliers   turned 2.50 deg"
    assert (view.stream, view.seq, view.stamp_ns) == ("cam", 1, BEGIN_NS + 40 * MS)
    assert view.inliers is not None and view.inliers.tolist() == [True, True, True, False]
    assert view.keypoints.shape == (6, 2)


def test_first_frame_is_called_so_and_has_no_marks(monkeypatch) -> None:
    view = _views([{"frame": _frame(0)}], monkeypatch)[0]
    assert (view.state, view.mood, view.facts) == ("first frame", "neutral", "")
    assert view.keypoints.shape == (0, 2) and view.trails.shape == (0, 2, 2)
    assert view.inliers is None


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("too_few_matches: 6 < 8", "no pose: too few matches (6 < 8)"),
        ("cheirality", "no pose: cheirality"),
        (None, "no pose: no reason given"),
    ],
)
def test_missing_pose_is_described_by_its_reason(reason, words: str, monkeypatch) -> None:
    pose = _pose(1, T_cur_prev=None, inliers=None, num_inliers=0, reason=reason)
    view = _views([{"frame": _frame(1), "matches": _matches(1), "pose": pose}], monkeypatch)[0]
    assert (view.state, view.mood) == (words, "bad")
    assert view.facts == "0 of 4 inliers" and view.inliers is None


def test_label_of_the_motion_is_shown(monkeypatch) -> None:
    inputs = [{"frame": _frame(1), "matches": _matches(1), "pose": _pose(1, label="rotation")}]
    assert _views(inputs, monkeypatch)[0].state == "tracking (rotation)"


def test_matches_without_a_pose_estimator_are_counted(monkeypatch) -> None:
    view = _views([{"frame": _frame(1), "matches": _matches(1)}], monkeypatch)[0]
    assert (view.state, view.mood, view.facts) == ("matched", "neutral", "4 matches")


def test_pose_without_matches_has_no_marks(monkeypatch) -> None:
    view = _views([{"frame": _frame(1), "pose": _pose(1)}], monkeypatch)[0]
    assert view.state == "tracking (general)" and view.inliers is None and len(view.trails) == 0


def test_later_frame_that_nothing_matched_is_no_first_frame(monkeypatch) -> None:
    views = _views([{"frame": _frame(0)}, {"frame": _frame(1)}], monkeypatch)
    assert [view.state for view in views] == ["first frame", "nothing matched"]


def test_title_tells_stream_frame_time_since_the_start_and_missing_calibration(monkeypatch) -> None:
    guessed = Camera(64, 48, 50.0, 50.0, 31.5, 23.5, calibrated=False)
    views = _views([{"frame": _frame(5)}, {"frame": _frame(30, camera=guessed)}], monkeypatch)
    titles = [view.title for view in views]
    assert titles == ["cam   #5   0.00 s", "cam   #30   1.00 s   uncalibrated"]


def test_trails_follow_inliers_over_frames_and_streams_do_not_mix(monkeypatch) -> None:
    inputs = [{"frame": _frame(0)}]
    for seq in (1, 2, 3):
        inputs += [{"frame": _frame(seq), "matches": _matches(seq), "pose": _pose(seq)}]
        inputs += [{"frame": _frame(seq, "other"), "matches": _matches(seq, 1, "other")}]
    view = [v for v in _views(inputs, monkeypatch, max_trail=4) if v.stream == "cam"][-1]
    assert view.trails.shape == (4, 4, 2)
    np.testing.assert_array_equal(view.trails[0, :, 0], [3, 2, 1, 0])
    np.testing.assert_array_equal(view.trails[3, :, 0], [27, 26, np.nan, np.nan])  # an outlier


def test_viewer_learns_the_folder_and_all_streams(monkeypatch, tmp_path: Path) -> None:
    album = Album()
    monkeypatch.setattr("nodes.visualiser.VIEWERS.create", lambda name, options=None: album)
    list(run_node(Visualiser(), [], out=tmp_path, streams=("left", "right")))
    assert album.opened_with == (tmp_path, ("left", "right"))


def test_defaults_show_nothing(tmp_path: Path) -> None:
    inputs = [{"frame": _frame(1), "matches": _matches(1), "pose": _pose(1)}]
    assert list(run_node(Visualiser(), inputs, out=tmp_path, streams=("cam",))) == []
    assert list(tmp_path.iterdir()) == []


def test_video_viewer_writes_every_frame(tmp_path: Path) -> None:
    inputs = [{"frame": _frame(0)}]
    inputs += [{"frame": _frame(s), "matches": _matches(s), "pose": _pose(s)} for s in range(1, 12)]
    node = Visualiser(Visualiser.Params(viewer="video", options=Video.Options(scale=2.0)))
    list(run_node(node, inputs, out=tmp_path, streams=("cam",)))
    capture = cv2.VideoCapture(str(tmp_path / "tracks.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 128


def test_unknown_viewer_is_named_with_the_nearest_one() -> None:
    node = Visualiser(Visualiser.Params(viewer="vidio"))
    with pytest.raises(ConfigError) as error:
        list(run_node(node, []))
    assert str(error.value) == (
        "unknown viewer 'vidio'. Did you mean 'video'? Allowed: null, video"
    )


def test_trail_of_one_position_is_refused() -> None:
    with pytest.raises(ValueError, match="max_trail must be 2 to 100, not 1"):
        Visualiser.Params(max_trail=1)
