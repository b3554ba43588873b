from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from nodes.capture import Capture
from nodes.messages import Frame
from nodes.sources import SOURCES
from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection
from nodes.sources.ffmpeg import prepare_environment
from nodes.sources.folder import Folder
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError, InputError
from pipeline.node import Lost, Resources, TruncatedError, Unreadable

DataDir = Callable[[str], Path]
INTRINSICS = "width: 64\nheight: 48\nfx: 60\nfy: 60\ncx: 31.5\ncy: 23.5\ndistortion_model: none\n"


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """A folder of ten colour images of 64x48, the value of each pixel being 10 x the index."""
    folder = tmp_path / "shots"
    folder.mkdir()
    for i in range(10):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((48, 64, 3), 10 * i, np.uint8))
    return folder


def opened(
    path: Path | None = None, warnings: list[str] | None = None, **params: object
) -> Capture:
    """Open a capture of a folder, or of the source in `params`."""
    if path is not None:
        params = {"source": "folder", "options": Folder.Options(str(path)), **params}
    capture = Capture(Capture.Params(**params))
    capture.open(Resources(node="left", warn=([] if warnings is None else warnings).append))
    return capture


def frames(capture: Capture) -> list[Frame]:
    produced = list(capture.produce())
    assert all(isinstance(frame, Frame) for frame in produced)
    return [frame for frame in produced if isinstance(frame, Frame)]


def numbers(capture: Capture) -> list[tuple[int, int]]:
    """Return (seq, number in the picture) of all frames."""
    return [(f.seq, int(f.image.flat[0]) // 10) for f in frames(capture)]


def error_of(make: Callable[[], object]) -> str:
    with pytest.raises((InputError, ConfigError)) as caught:
        make()
    return str(caught.value)


def test_without_any_setting_it_renders_the_synthetic_scene() -> None:
    capture = Capture()
    capture.open(Resources(node="cam"))
    (first, second) = islice(capture.produce(), 2)
    assert isinstance(first, Frame) and isinstance(second, Frame)
    assert (first.stream, first.seq, second.seq) == ("cam", 0, 1)
    assert first.image.shape == (480, 640, 3) and first.camera.calibrated
    assert (capture.length(), capture.live) == (60, False)


def test_frames_carry_stream_index_time_and_camera(shots: Path) -> None:
    (shots / "intrinsics.yaml").write_text(INTRINSICS)
    got = frames(opened(shots))
    assert [(f.stream, f.seq, f.stamp_ns) for f in got[:3]] == [
        ("left", 0, 0), ("left", 1, 33_333_333), ("left", 2, 66_666_667)
    ]  # fmt: skip
    assert all(f.camera == Camera(64, 48, 60, 60, 31.5, 23.5) for f in got)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"start": 7}, [7, 8, 9]),
        ({"stop": 2}, [0, 1]),
        ({"step": 5}, [0, 5]),
        ({"start": 1, "stop": 8, "step": 3}, [1, 4, 7]),
        ({"stop": 99, "step": 4}, [0, 4, 8]),
    ],
)
def test_a_selection_keeps_the_index_in_the_recording(
    selection: dict[str, int], expected: list[int], shots: Path
) -> None:
    capture = opened(shots, **selection)
    assert numbers(capture) == [(i, i) for i in expected]
    assert capture.length() == len(expected)


def test_a_loop_goes_on_numbering_and_stamping(shots: Path) -> None:
    capture = opened(shots, start=2, stop=8, step=2, loop=3)
    got = frames(capture)
    assert [int(f.image.flat[0]) // 10 for f in got] == [2, 4, 6] * 3
    assert [f.seq for f in got] == [2, 4, 6, 8, 10, 12, 14, 16, 18]
    periods = np.diff([f.stamp_ns for f in got])
    assert periods.min() > 66_666_660 and periods.max() < 66_666_670
    assert capture.length() == 9


def test_an_endless_loop_has_no_length_and_does_not_end(shots: Path) -> None:
    capture = opened(shots, loop=0)
    assert capture.length() is None
    assert [f.seq for f in islice(capture.produce(), 25)] == list(range(25))


def test_grey_frames_on_demand(shots: Path) -> None:
    red = np.full((48, 64, 3), (0, 0, 200), np.uint8)
    cv2.imwrite(str(shots / "0.png"), red)
    first = frames(opened(shots, grey=True))[0]
    assert first.image.shape == (48, 64)
    assert int(first.image[0, 0]) == round(0.299 * 200)  # luminance of ITU-R BT.601


def test_without_calibration_it_says_so_and_assumes_a_field_of_view(shots: Path) -> None:
    warnings: list[str] = []
    first = frames(opened(shots, warnings, fov_deg=90))[0]
    assert warnings == [
        f"{shots} is uncalibrated: assuming a field of view of 90 degrees; give --camera FILE"
    ]
    assert not first.camera.calibrated
    np.testing.assert_allclose(first.camera.K, [[32, 0, 31.5], [0, 32, 23.5], [0, 0, 1]])


def test_a_calibration_given_comes_before_the_one_beside(shots: Path, tmp_path: Path) -> None:
    (shots / "intrinsics.yaml").write_text("broken")
    (tmp_path / "mine.yaml").write_text(INTRINSICS)
    assert frames(opened(shots, camera=str(tmp_path / "mine.yaml")))[0].camera.fx == 60


def test_a_calibration_for_another_size_is_refused(shots: Path, tmp_path: Path) -> None:
    text = INTRINSICS.replace("width: 64", "width: 640")
    (tmp_path / "big.yaml").write_text(text)
    assert error_of(lambda: opened(shots, camera=str(tmp_path / "big.yaml"))) == (
        f"the calibration {tmp_path}/big.yaml is for 640x48 pixels, but the frames have 64x48: "
        "calibrate at this size, or give --camera FILE"
    )
    (shots / "camera.yaml").write_text(text)
    assert error_of(lambda: opened(shots)) == (
        f"the calibration beside {shots} is for 640x48 pixels, but the frames have 64x48: "
        "calibrate at this size, or give --camera FILE"
    )


def test_a_mask_comes_with_every_frame(shots: Path, tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[5:40] = 255
    cv2.imwrite(str(tmp_path / "circle.png"), mask)
    for frame in frames(opened(shots, mask=str(tmp_path / "circle.png"))):
        np.testing.assert_array_equal(frame.mask, mask)
    assert frames(opened(shots))[0].mask is None


def test_a_crop_and_a_size_keep_camera_and_mask_right(shots: Path) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    camera = Camera(64, 48, 60, 60, 31.5, 23.5)
    ((x, y),) = camera.project([[0.2, 0.1, 1]])
    rows, columns = np.mgrid[:48, :64]
    image[..., 0] = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
    cv2.imwrite(str(shots / "0.png"), image[..., ::-1])
    (shots / "intrinsics.yaml").write_text(INTRINSICS)
    mask = np.zeros((48, 64), np.uint8)
    mask[8:48, 20:64] = 255
    cv2.imwrite(str(shots / "mask.png"), mask)
    for grey in (False, True):
        first = frames(opened(shots, crop=(16, 4, 40, 40), resize=(20, 20), grey=grey))[0]
        assert first.image.shape == ((20, 20) if grey else (20, 20, 3))
        assert (first.camera.width, first.camera.height) == (20, 20)
        red = (first.image if grey else first.image[..., 0]).astype(float)
        rows, columns = np.mgrid[:20, :20]
        seen = (columns * red).sum() / red.sum(), (rows * red).sum() / red.sum()
        np.testing.assert_allclose(seen, first.camera.project([[0.2, 0.1, 1]])[0], atol=0.15)
        assert first.mask is not None and first.camera.calibrated
        np.testing.assert_array_equal(first.mask > 0, (rows >= 2) & (columns >= 2))


def test_a_crop_outside_the_frames_is_refused(shots: Path) -> None:
    assert error_of(lambda: opened(shots, crop=(30, 0, 40, 40))) == (
        f"params.crop must lie within the 64x48 pixels of {shots}, not [30, 0, 40, 40]"
    )


def test_a_frame_too_small_for_the_crop_is_told_in_its_place(shots: Path) -> None:
    cv2.imwrite(str(shots / "3.png"), np.zeros((24, 32, 3), np.uint8))
    produced = list(opened(shots, crop=(0, 0, 64, 40)).produce())
    assert produced[3] == Unreadable(3, 100_000_000, "the crop does not fit into 32x24 pixels")
    assert sum(isinstance(p, Frame) for p in produced) == 9


def test_a_mask_of_another_size_is_refused(shots: Path) -> None:
    cv2.imwrite(str(shots / "mask.png"), np.zeros((10, 20), np.uint8))
    assert error_of(lambda: opened(shots)) == (
        f"the mask beside {shots} has 20x10 pixels, but the frames have 64x48: "
        "remove it, or give one of their size: --set left.params.mask=FILE"
    )


def test_a_mask_that_is_no_image_is_refused(shots: Path, tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("no image")
    assert error_of(lambda: opened(shots, mask=str(tmp_path / "mask.png"))) == (
        f"{tmp_path}/mask.png is not an image of a known format"
    )


def test_frames_that_change_size_get_cameras_of_their_own(shots: Path) -> None:
    for i in (4, 5, 8):
        cv2.imwrite(str(shots / f"{i}.png"), np.zeros((24, 32, 3), np.uint8))
    (shots / "intrinsics.yaml").write_text(INTRINSICS)
    cv2.imwrite(str(shots / "mask.png"), np.full((48, 64), 255, np.uint8))
    warnings: list[str] = []
    got = frames(opened(shots, warnings))
    small = [f.seq for f in got if f.image.shape == (24, 32, 3)]
    assert small == [4, 5, 8]
    for frame in got:
        assert (frame.camera.width, frame.camera.height) == frame.image.shape[1::-1]
        assert frame.camera.calibrated == (frame.mask is not None) == (frame.seq not in small)
    assert warnings == [
        f"{shots}: frame 4 changes size from 64x48 to 32x24; calibration and mask hold for their "
        "own size only"
    ]


def test_an_image_that_cannot_be_decoded_is_told_in_its_place(shots: Path) -> None:
    (shots / "3.png").write_bytes(b"")
    produced = list(opened(shots).produce())
    assert len(produced) == 10
    assert produced[3] == Unreadable(3, 100_000_000, "3.png is empty (0 bytes)")
    assert [p.seq for p in produced] == list(range(10))


def test_blank_frames_are_frames(shots: Path) -> None:
    for i in range(10):
        cv2.imwrite(str(shots / f"{i}.png"), np.zeros((48, 64), np.uint8))
    assert all(f.image.shape == (48, 64) and not f.image.any() for f in frames(opened(shots)))


def test_one_frame_is_taken_with_a_warning(shots: Path) -> None:
    (shots / "intrinsics.yaml").write_text(INTRINSICS)
    warnings: list[str] = []
    assert len(frames(opened(shots, warnings, stop=1))) == 1
    assert warnings == [f"{shots} gives one frame: there is no motion to see"]


def test_a_cut_video_gives_what_is_there_and_then_says_so(tmp_path: Path) -> None:
    prepare_environment()
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48)
    )
    for i in range(40):
        writer.write(np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[: whole // 2])
    capture = opened(source="video", options={"path": str(path)})
    seqs = []
    with pytest.raises(TruncatedError) as caught:
        for frame in capture.produce():
            seqs.append(frame.seq)
    assert seqs == list(range(len(seqs))) and 10 < len(seqs) < 25
    assert str(caught.value) == (
        f"{path} is cut off after {len(seqs)} of 40 frames: {whole // 2} of {whole} bytes are there"
    )


def test_a_start_behind_the_end_is_refused(shots: Path) -> None:
    assert error_of(lambda: opened(shots, start=10)) == (
        f"params.start must be below 10, the number of frames in {shots}, not 10"
    )


def test_options_that_are_missing_are_named() -> None:
    assert error_of(lambda: Capture(Capture.Params(source="video"))) == (
        "params.options of source 'video': path must name a video file, not ''"
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"start": -1}, "start must be 0 or more, not -1"),
        ({"step": 0}, "step must be 1 or more, not 0"),
        ({"loop": -2}, "loop must be 0 or more, not -2"),
        ({"start": 5, "stop": 5}, "stop must be above start (5), not 5"),
        ({"fov_deg": 180}, "fov_deg must be from 1 to 170 degrees, not 180"),
        ({"resize": (640,)}, "resize must be width and height of 1 or more, not [640]"),
    ],
)
def test_wrong_params_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Capture.Params(**params)
    assert str(caught.value) == message


def test_a_camera_makes_the_capture_live_before_it_is_opened() -> None:
    assert Capture(Capture.Params(source="camera")).live
    assert not Capture().live


def test_a_gap_and_a_wait_of_the_source_are_passed_on(
    stub: "type[Stub]", monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.zeros((4, 4), np.uint8)
    gap = Picture(1, 10, None, "signal lost for 2.0 s", is_gap=True)
    pictures = [Picture(0, 0, image), None, None, gap, Picture(2, 20, image)]
    monkeypatch.setattr(stub, "pictures", pictures)
    capture = opened(source="stub")
    first, *waits, lost, last = capture.produce()
    assert isinstance(first, Frame) and isinstance(last, Frame) and waits == [None, None]
    assert lost == Lost(1, 10, "signal lost for 2.0 s")


def test_the_state_of_the_source_is_shown(stub: "type[Stub]") -> None:
    states: list[str] = []
    capture = Capture(Capture.Params(source="stub"))
    capture.open(Resources(state=states.append))
    capture._source.state("signal lost")
    assert states == ["signal lost"]


class Stub(FrameSource):
    """A source with no known length that yields what its class says, and may end early."""

    pictures: ClassVar[list[Picture | None]] = []
    is_cut: ClassVar[bool] = False
    was_closed: ClassVar[bool] = False

    @dataclass(frozen=True)
    class Options:
        pass

    @property
    def name(self) -> str:
        return "stub"

    def frames(self, selection: Selection) -> Iterator[Picture | None]:
        yield from self.pictures
        if self.is_cut:
            raise EndedEarlyError("stub is cut")

    def close(self) -> None:
        type(self).was_closed = True


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[Stub]:
    monkeypatch.setattr(SOURCES, "load", lambda name: Stub)
    return Stub


def test_a_recording_without_a_frame_is_refused(stub: type[Stub]) -> None:
    capture = opened(source="stub")
    assert capture.length() is None
    assert error_of(lambda: list(capture.produce())) == "stub: there is no frame to take"


def test_a_recording_cut_before_its_first_frame_is_truncated(
    stub: type[Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stub, "is_cut", True)
    with pytest.raises(TruncatedError, match=r"^stub is cut$"):
        list(opened(source="stub").produce())


def test_closing_closes_the_source(stub: type[Stub]) -> None:
    opened(source="stub").close()
    assert stub.was_closed


@pytest.mark.data
def test_every_fifth_frame_of_a_real_sequence(data_dir: DataDir) -> None:
    path = data_dir("kitti00")
    capture = opened(source="dataset", options={"path": str(path)}, step=5)
    got = frames(capture)
    assert [f.seq for f in got] == list(range(0, 170, 5))
    assert [f.stamp_ns for f in got[:2]] == [0, 518_430_200]
    assert got[0].image.shape == (376, 1241) and got[0].camera.fx == 718.856
    assert capture.length() == 34
