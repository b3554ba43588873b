"""What every viewer must bear, and what the video viewer leaves behind."""

import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from nodes.viewers import VIEWERS, View, Viewer
from nodes.viewers.video import NUM_FRAMES_TO_TIME, Video, usual_fps
from nodes.vision.drawing import ORANGE, SKY_BLUE
from pipeline.errors import ConfigError, PosestreamError

MS = 1_000_000
NO_POINTS = np.zeros((0, 2), np.float32)
NO_TRAILS = np.zeros((0, 2, 2), np.float32)
BAR = 56  # height of the bar below a VGA frame


def _view(seq: int = 0, width: int = 640, height: int = 480, **fields: Any) -> View:
    values: dict[str, Any] = {
        "stream": "cam",
        "seq": seq,
        "stamp_ns": seq * 40 * MS,
        "image": np.full((height, width, 3), 60, np.uint8),
        "keypoints": NO_POINTS,
        "trails": NO_TRAILS,
        "title": "cam   #0   0.00 s",
        "state": "tracking",
        "mood": "good",
        "facts": "371 of 412 inliers",
    }
    return View(**values | fields)


def _show(
    viewer: Viewer, views: list[View], folder: Path, streams: tuple[str, ...] = ("cam",)
) -> None:
    viewer.open(folder, streams)
    try:
        for view in views:
            viewer.show(view)
    finally:
        viewer.close()


def _decoded(path: Path) -> tuple[list[np.ndarray], float]:
    """Return the frames of a video, RGB, and its rate."""
    capture = cv2.VideoCapture(str(path))
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames = []
    while (answer := capture.read())[0]:
        frames.append(answer[1][..., ::-1])
    return frames, fps


POINTS = np.array([[10, 20], [-5, 3], [1e5, 2]], np.float32)
TRAILS = np.array([[[30, 40], [20, 30], [np.nan, np.nan]], [[5, 5], [0, 0], [-9, 9]]], np.float32)
ANY_VIEWS = {
    "colour": _view(),
    "grey": _view(image=np.zeros((480, 640), np.uint8)),
    "odd size": _view(width=333, height=251),
    "one pixel": _view(width=1, height=1),
    "portrait": _view(width=200, height=900),
    "without words": _view(title="", state="", facts=""),
    "points": _view(keypoints=POINTS, trails=TRAILS),
    "judged points": _view(keypoints=POINTS, trails=TRAILS, inliers=np.array([True, False])),
    "all good": _view(trails=TRAILS, inliers=np.array([True, True])),
    "bad": _view(mood="bad"),
    "neutral": _view(mood="neutral"),
}


@pytest.mark.parametrize("view", ANY_VIEWS.values(), ids=list(ANY_VIEWS))
@pytest.mark.parametrize("name", VIEWERS.names())
def test_viewer_shows_any_view_and_leaves_it_as_it_was(
    name: str, view: View, tmp_path: Path
) -> None:
    before = view.image.copy(), view.trails.copy()
    view.image.flags.writeable = False
    _show(VIEWERS.create(name), [view], tmp_path)
    np.testing.assert_array_equal(view.image, before[0])
    np.testing.assert_array_equal(view.trails, before[1])


@pytest.mark.parametrize("name", VIEWERS.names())
def test_viewer_without_frames_leaves_no_file(name: str, tmp_path: Path) -> None:
    _show(VIEWERS.create(name), [], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", VIEWERS.names())
def test_viewer_that_was_never_opened_can_be_closed(name: str) -> None:
    VIEWERS.create(name).close()


@pytest.mark.parametrize("name", VIEWERS.names())
def test_viewer_bears_frames_that_change_size(name: str, tmp_path: Path) -> None:
    sizes = [(640, 480), (320, 240), (480, 640), (1281, 721)]
    views = [_view(seq, *size) for seq, size in enumerate(sizes)]
    _show(VIEWERS.create(name), views, tmp_path)


@pytest.mark.parametrize("name", VIEWERS.names())
def test_same_views_leave_the_same_bytes(name: str, tmp_path: Path) -> None:
    views = [_view(seq, trails=TRAILS + np.float32(seq)) for seq in range(12)]
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        _show(VIEWERS.create(name), views, folder)
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]


def test_null_viewer_writes_nothing(tmp_path: Path) -> None:
    _show(VIEWERS.create("null"), [_view(seq) for seq in range(3)], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("num_frames", [1, NUM_FRAMES_TO_TIME - 1, NUM_FRAMES_TO_TIME, 30])
def test_video_has_each_frame_once_at_the_right_rate(num_frames: int, tmp_path: Path) -> None:
    views = [_view(seq, image=np.full((480, 640), 8 * seq, np.uint8)) for seq in range(num_frames)]
    _show(VIEWERS.create("video"), views, tmp_path)
    frames, fps = _decoded(tmp_path / "tracks.mp4")
    assert [round(frame[:480].mean() / 8) for frame in frames] == list(range(num_frames))
    assert fps == pytest.approx(25 if num_frames > 1 else 10)


def test_video_has_even_sides_and_the_bar_below_the_whole_frame(tmp_path: Path) -> None:
    views = [_view(seq, 333, 251) for seq in range(2)]
    _show(VIEWERS.create("video"), views, tmp_path)
    frames, _ = _decoded(tmp_path / "tracks.mp4")
    height, width, _ = frames[0].shape
    assert width == 334 and height % 2 == 0 and 251 + 20 < height < 251 + BAR
    assert frames[0][:251, :333].mean() == pytest.approx(60, abs=3)
    assert frames[0][-3:].mean() < 45


def test_video_shows_inliers_blue_and_outliers_orange_where_they_are(tmp_path: Path) -> None:
    trails = np.array([[[100, 100], [60, 100]], [[300, 200], [260, 200]]], np.float32)
    views = [_view(seq, trails=trails, inliers=np.array([True, False])) for seq in range(3)]
    _show(VIEWERS.create("video"), views, tmp_path)
    frame = _decoded(tmp_path / "tracks.mp4")[0][1].astype(int)
    for (x, y), colour in (((100, 100), SKY_BLUE), ((300, 200), ORANGE)):
        error = np.abs(frame[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1)) - colour)
        assert error.max() < 50
        other = ORANGE if colour == SKY_BLUE else SKY_BLUE
        assert np.abs(frame[y, x] - other).max() > 100


def test_frame_of_another_size_is_fitted_into_the_first(tmp_path: Path) -> None:
    white = np.full((960, 320, 3), 255, np.uint8)
    _show(VIEWERS.create("video"), [_view(0), _view(1, image=white)], tmp_path)
    first, second = _decoded(tmp_path / "tracks.mp4")[0]
    assert first.shape == second.shape == (480 + BAR, 640, 3)
    columns = np.nonzero(second[200].mean(axis=1) > 200)[0]
    assert columns.mean() == pytest.approx(319.5, abs=2)
    assert second[:, :100].max() < 30


def test_scale_shrinks_the_video_and_its_marks_stay_in_place(tmp_path: Path) -> None:
    trails = np.array([[[400, 300], [300, 300]]], np.float32)
    views = [_view(seq, trails=trails, inliers=np.array([True])) for seq in range(2)]
    _show(VIEWERS.create("video", {"scale": 0.5}), views, tmp_path)
    frame = _decoded(tmp_path / "tracks.mp4")[0][0].astype(int)
    assert frame.shape[1] == 320 and frame.shape[0] == pytest.approx(240 + BAR / 2, abs=3)
    blue = np.argwhere((frame[:240, :, 2] - frame[:240, :, 0]) > 60)
    assert blue[:, 1].max() == pytest.approx(200, abs=4)
    assert blue[:, 0].mean() == pytest.approx(150, abs=2)


def test_each_of_several_streams_has_its_own_video_at_its_own_rate(tmp_path: Path) -> None:
    left = [_view(seq, stream="left") for seq in range(10)]
    right = [_view(seq, 320, 240, stream="right", stamp_ns=seq * 100 * MS) for seq in range(4)]
    _show(VIEWERS.create("video"), [*left[:5], *right, *left[5:]], tmp_path, ("left", "right"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tracks_left.mp4",
        "tracks_right.mp4",
    ]
    for name, num_frames, fps in (("left", 10, 25), ("right", 4, 10)):
        frames, found_fps = _decoded(tmp_path / f"tracks_{name}.mp4")
        assert (len(frames), found_fps) == (num_frames, pytest.approx(fps))


def test_stream_among_several_keeps_its_name_even_when_it_alone_shows_frames(
    tmp_path: Path,
) -> None:
    _show(VIEWERS.create("video"), [_view(stream="left")], tmp_path, ("left", "right"))
    assert [path.name for path in tmp_path.iterdir()] == ["tracks_left.mp4"]


@pytest.mark.parametrize(
    ("stamps_ms", "fps"),
    [
        ([0, 40, 80, 120], 25),
        ([0, 40, 80, 500, 540], 25),  # a pause
        ([0, 0, 50, 50, 100], 20),  # stamps that repeat
        ([0, 1000, 2000], 1),
        ([0, 60_000], 0.1),
        ([0, 0.1], 240),
        ([5], 10),
        ([7, 7, 7], 10),
        ([100, 60, 20], 10),
    ],
)
def test_rate_is_that_of_the_usual_step_within_bounds(stamps_ms: list[float], fps: float) -> None:
    assert usual_fps([round(stamp * MS) for stamp in stamps_ms]) == pytest.approx(fps)


def test_file_is_whole_after_close_even_when_the_run_broke_off(tmp_path: Path) -> None:
    viewer = VIEWERS.create("video")
    viewer.open(tmp_path, ("cam",))
    for seq in range(20):
        viewer.show(_view(seq))
    with pytest.raises(AttributeError):
        viewer.show(None)
    viewer.close()
    assert len(_decoded(tmp_path / "tracks.mp4")[0]) == 20


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError) as error:
        VIEWERS.create("video").open(file / "run", ("cam",))
    assert str(error.value) == f"cannot write to {file / 'run'}: Not a directory"


def test_codec_that_opencv_lacks_is_named_with_the_cure(tmp_path: Path) -> None:
    viewer = VIEWERS.create("video", {"codec": "zzzz"})
    with pytest.raises(ConfigError) as error:
        _show(viewer, [_view(seq) for seq in range(NUM_FRAMES_TO_TIME)], tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'tracks.mp4'}: OpenCV cannot write codec 'zzzz', 640 x {480 + BAR}; "
        "the codec that it always has is 'mp4v'"
    )


def test_disk_that_fills_up_is_reported_when_the_video_is_closed(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (30, 480, 640, 3), np.uint8)
    views = [_view(seq, image=image) for seq, image in enumerate(noise)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            PosestreamError, match=r"tracks.mp4: only \d+ of 30 frames were written"
        ):
            _show(VIEWERS.create("video"), views, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0}, "scale must be 0.05 to 4, not 0"),
        ({"codec": "h264x"}, "codec must be four letters, not 'h264x'"),
    ],
)
def test_option_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Video.Options(**options)
    assert str(error.value) == message
