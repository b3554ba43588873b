from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from nodes.sources.base import EndedEarlyError, Selection
from nodes.sources.live.camera import LiveCamera
from pipeline.errors import InputError


class FakeDevice:
    """Stands for a camera with six frames; only index 2 exists."""

    def __init__(self, device: int) -> None:
        self.exists = device == 2
        self.count = 0
        self.settings: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return self.exists

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}[key]

    def grab(self) -> bool:
        self.count += 1
        return self.count <= 6

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        if self.count == 4:
            return False, None
        return True, np.full((48, 64, 3), (0, 0, self.count), np.uint8)

    def release(self) -> None:
        self.exists = False


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeDevice]]:
    devices: list[FakeDevice] = []

    def make(device: int) -> FakeDevice:
        devices.append(FakeDevice(device))
        return devices[-1]

    monkeypatch.setattr(cv2, "VideoCapture", make)
    yield devices


def opened(**options: float) -> LiveCamera:
    camera = LiveCamera(LiveCamera.Options(**options))
    camera.open(lambda text: None)
    return camera


def test_frames_are_rgb_numbered_and_stamped_with_rising_times(fake: list[FakeDevice]) -> None:
    pictures = [p for p in opened(device=2).frames(Selection(stop=3)) if p is not None]
    assert [p.index for p in pictures] == [0, 1, 2]
    assert [p.image[0, 0].tolist() for p in pictures if p.image is not None] == [
        [1, 0, 0], [2, 0, 0], [3, 0, 0]
    ]  # fmt: skip
    stamps = [p.stamp_ns for p in pictures]
    assert stamps == sorted(set(stamps))
    assert stamps[0] > 1_600_000_000 * 10**9


def test_a_camera_is_live_before_it_is_opened() -> None:
    camera = LiveCamera(LiveCamera.Options())
    assert camera.live and camera.length() is None and camera.groundtruth() is None


def test_wishes_are_told_to_the_camera(fake: list[FakeDevice]) -> None:
    camera = opened(device=2, width=1280, fps=60)
    assert camera.size == (64, 48)
    assert fake[0].settings == {
        cv2.CAP_PROP_BUFFERSIZE: 1, cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FPS: 60
    }  # fmt: skip


def test_a_camera_that_is_unplugged_ends_the_stream_with_the_reason(fake: list[FakeDevice]) -> None:
    pictures = []
    camera = opened(device=2, give_up_s=0.1)
    with pytest.raises(
        EndedEarlyError,
        match=r"^camera 2: signal lost after 6 frames and not back within 0\.1 s$",
    ):
        for picture in camera.frames(Selection()):
            pictures += [picture] if picture else []
    assert [p.reason for p in pictures if p.image is None] == [
        "camera 2: frame 3 cannot be decoded"
    ]
    assert len(pictures) == 6


def test_closing_gives_the_camera_back(fake: list[FakeDevice]) -> None:
    camera = opened(device=2)
    camera.close()
    assert not fake[0].exists
    LiveCamera(LiveCamera.Options()).close()


def test_an_absent_camera_is_named_with_those_that_exist(fake: list[FakeDevice]) -> None:
    with pytest.raises(InputError) as caught:
        opened(device=7)
    assert str(caught.value) == "camera 7 cannot be opened; cameras found: 2"


def test_an_absent_camera_makes_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        InputError, match=r"^camera 99 cannot be opened; cameras found: [\d, none]+$"
    ):
        opened(device=99)
    assert capfd.readouterr() == ("", "")


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^device must be 0 or more, not -1$"):
        LiveCamera.Options(device=-1)
