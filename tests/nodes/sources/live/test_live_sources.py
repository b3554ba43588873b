"""A camera that blocks, repeats, changes size, vanishes and returns: states, ledger, no hang.

The devices here are fakes of OpenCV's VideoCapture that follow a script; the engine is real.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from live_runs import run_live

from nodes.sources.base import Selection
from nodes.sources.live import device
from nodes.sources.live import live_source as live
from nodes.sources.live.camera import LiveCamera
from nodes.sources.live.live_source import FrozenWatch
from pipeline.errors import InputError

FRAME, STILL, BLOCK = "frame", "still", "block"
SMALL = "small"
ABSENT = [None]
"""A device that cannot be opened."""


@dataclass
class Stage:
    """What the devices do that are opened one after the other; the last script stays in force."""

    scripts: list[list[str | None]]
    opened: int = 0
    released: int = 0
    curtain: threading.Event = field(default_factory=threading.Event)
    """Ends all blocking when the test is over."""
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def make(self, index: int) -> "FakeDevice":
        self.opened += 1
        return FakeDevice(self, self.scripts[min(self.opened, len(self.scripts)) - 1])


class FakeDevice:
    """Follows a script: each entry is a frame, and it vanishes after the last one."""

    def __init__(self, stage: Stage, script: list[str | None]) -> None:
        self.stage = stage
        self.script = iter(script)
        self.exists = script != ABSENT
        self.entry: str | None = None

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        if self.stage.opened == 1 and self.stage.scripts[0] == [BLOCK]:
            self.stage.curtain.wait()
        return self.exists

    def set(self, key: int, value: float) -> None:
        pass

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}[key]

    def grab(self) -> bool:
        self.entry = next(self.script, None)
        if self.entry == BLOCK:
            self.stage.curtain.wait()
            return False
        time.sleep(0.005)
        return self.entry is not None

    def retrieve(self) -> tuple[bool, np.ndarray]:
        shape = (24, 32, 3) if self.entry == SMALL else (48, 64, 3)
        level = 77 if self.entry == STILL else next(self.stage.numbers) % 70
        return True, np.full(shape, level, np.uint8)

    def release(self) -> None:
        self.stage.released += 1


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A stage whose scripts the test fills in; devices are opened again without much ado."""
    stage = Stage([])
    monkeypatch.setattr(cv2, "VideoCapture", stage.make)
    monkeypatch.setattr(live, "FIRST_PAUSE_S", 0.05)
    yield stage
    stage.curtain.set()


PATIENCE = {"timeout_s": 0.3}
NAME = "camera 0"


def test_a_camera_that_blocks_is_opened_again_after_a_declared_gap(
    stage: Stage, tmp_path: Path
) -> None:
    stage.scripts = [[FRAME] * 20 + [BLOCK], [FRAME] * 100]
    outcome = run_live(tmp_path, "camera", PATIENCE, stop=60)
    assert outcome.result.report.state == "complete"
    assert outcome.states == ["signal lost", ""]
    ((seq, reason),) = outcome.gaps
    assert seq == 20 and 0.3 < float(reason.removeprefix("signal lost for ").split()[0]) < 2
    assert [row["seq"] for row in outcome.frames] == [*range(20), *range(21, 60)]
    assert (outcome.account.results, outcome.account.gaps, outcome.account.total) == (59, 1, 60)
    stamps = [row["ns"] for row in outcome.frames]
    assert stamps == sorted(set(stamps)) and stamps[20] - stamps[19] > 300e6


def test_a_camera_that_vanishes_and_returns_smaller_goes_on_with_a_camera_of_its_size(
    stage: Stage, tmp_path: Path
) -> None:
    calibration = tmp_path / "camera.yaml"
    calibration.write_text("width: 64\nheight: 48\nfx: 60\nfy: 60\ncx: 31.5\ncy: 23.5\ndistortion_model: none\n")  # fmt: skip
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((48, 64), 255, np.uint8))
    stage.scripts = [[FRAME] * 10, ABSENT, ABSENT, [SMALL] * 100]
    outcome = run_live(
        tmp_path / "run", "camera", PATIENCE, stop=30,
        camera=str(calibration), mask=str(tmp_path / "mask.png"),
    )  # fmt: skip
    assert [row["size"] for row in outcome.frames] == [[64, 48]] * 10 + [[32, 24]] * 19
    assert (outcome.account.results, outcome.account.gaps, outcome.account.errors) == (29, 1, 0)
    assert outcome.result.report.warnings == [
        f"{NAME}: signal lost; it is opened again until it is back",
        f"{NAME}: frame 11 changes size from 64x48 to 32x24; calibration and mask hold for their "
        "own size only",
    ]
    assert stage.opened == stage.released == 4


def test_a_camera_that_changes_size_on_the_way_loses_no_frame(stage: Stage, tmp_path: Path) -> None:
    stage.scripts = [[FRAME] * 10 + [SMALL] * 10 + [FRAME] * 20]
    outcome = run_live(tmp_path, "camera", PATIENCE, stop=30)
    assert [row["size"][0] for row in outcome.frames] == [64] * 10 + [32] * 10 + [64] * 10
    assert (outcome.account.results, outcome.account.total, outcome.states) == (30, 30, [])


def test_a_camera_that_repeats_its_picture_is_called_frozen_while_it_does(
    stage: Stage, tmp_path: Path
) -> None:
    stage.scripts = [[FRAME] * 10 + [STILL] * 100 + [FRAME] * 40]
    outcome = run_live(tmp_path, "camera", {"frozen_s": 0.2, **PATIENCE}, stop=150)
    assert outcome.states == ["picture frozen", ""]
    assert (outcome.account.results, outcome.account.total) == (150, 150)
    assert f"{NAME}: the picture is frozen: it does not change by a single bit" in (
        outcome.result.report.warnings
    )


def test_a_picture_is_frozen_only_after_a_while_and_only_if_no_bit_changes() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    other = image.copy()
    other[47, 63, 2] = 1
    watch = FrozenWatch(1.0)
    times_s = [0, 0.9, 1.1, 1.2, 1.3, 2.1, 2.4]
    images = [image, image, image, other, image, image, image]
    seen = [watch.sees(i.copy(), round(t * 1e9)) for i, t in zip(images, times_s, strict=True)]
    assert seen == [False, False, True, False, False, False, True]
    assert not any(FrozenWatch(0).sees(image, t * 10**9) for t in range(100))


def test_a_camera_that_stays_away_ends_the_stream_as_truncated(
    stage: Stage, tmp_path: Path
) -> None:
    stage.scripts = [[FRAME] * 10, ABSENT]
    outcome = run_live(tmp_path, "camera", {"give_up_s": 0.4, **PATIENCE})
    report = outcome.result.report
    assert (outcome.result.exit_code, report.state) == (3, "truncated")
    assert report.why == f"{NAME}: signal lost after 10 frames and not back within 0.4 s"
    assert (outcome.account.results, outcome.account.total) == (10, 10)


def test_a_lost_signal_is_waited_for_longer_than_a_node_may_hang(
    stage: Stage, tmp_path: Path
) -> None:
    stage.scripts = [[FRAME] * 10, [BLOCK], ABSENT, [FRAME] * 100]
    outcome = run_live(tmp_path, "camera", {"timeout_s": 0.9}, stop=20, hang_s=1)
    assert outcome.result.report.state == "complete"
    ((_, reason),) = outcome.gaps
    assert float(reason.split()[3]) > 1
    assert outcome.account.total == 20


def test_an_interruption_ends_a_source_that_waits_for_its_signal(
    stage: Stage, tmp_path: Path
) -> None:
    stage.scripts = [[FRAME] * 10, ABSENT]
    pressed_at = []

    def press_ctrl_c(state: str, count: int) -> None:
        if state and not pressed_at:
            pressed_at.append(time.monotonic())
            raise KeyboardInterrupt

    outcome = run_live(tmp_path, "camera", PATIENCE, press_ctrl_c)
    assert time.monotonic() - pressed_at[0] < 1.5
    assert (outcome.result.exit_code, outcome.result.report.state) == (130, "interrupted")
    assert outcome.account.total == 10


def test_a_frame_that_cannot_be_decoded_is_an_error_and_not_a_lost_signal(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrieve = FakeDevice.retrieve
    monkeypatch.setattr(
        FakeDevice, "retrieve", lambda self: (False, None) if self.entry == STILL else retrieve(self)
    )  # fmt: skip
    stage.scripts = [[FRAME] * 5 + [STILL] + [FRAME] * 50]
    outcome = run_live(tmp_path, "camera", PATIENCE, stop=20)
    assert (outcome.account.results, outcome.account.errors, outcome.states) == (19, 1, [])


def test_a_selection_holds_across_a_gap(stage: Stage, tmp_path: Path) -> None:
    stage.scripts = [[FRAME] * 10, [FRAME] * 100]
    outcome = run_live(tmp_path, "camera", PATIENCE, start=2, stop=21, step=5)
    assert [row["seq"] for row in outcome.frames] == [2, 7, 12, 17]
    assert [seq for seq, _ in outcome.gaps] == [10]


def test_a_camera_that_does_not_answer_at_all_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MIN_OPEN_S", 0.2)
    stage.scripts = [[BLOCK]]
    with pytest.raises(InputError) as caught:
        opened(timeout_s=0.1)
    assert str(caught.value) == (
        f"{NAME} does not answer within 0.2 s: see whether it is on, connected, and in nobody "
        "else's use"
    )


def test_devices_that_never_answer_do_not_pile_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_the_threads_of_other_tests()
    monkeypatch.setattr(live, "LONGEST_PAUSE_S", 0.05)
    stage.scripts = [[FRAME, BLOCK], [BLOCK]]
    camera = opened(timeout_s=0.02)
    most, until = 0, time.monotonic() + 10
    for _ in camera.frames(Selection()):
        alive = sum(thread.name == f"{NAME}#device" for thread in threading.enumerate())
        if alive > most:
            most = alive
            until = time.monotonic() + (0.5 if most >= live.MAX_STUCK else 10)
        if time.monotonic() > until:
            break
    assert most == live.MAX_STUCK


def test_a_fault_of_the_code_that_drives_the_device_is_not_swallowed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.scripts = [[FRAME]]
    monkeypatch.setattr(FakeDevice, "retrieve", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(opened().frames(Selection()))


def test_an_error_of_opencv_counts_as_a_lost_signal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FakeDevice) -> Any:
        raise cv2.error("device gone")

    stage.scripts = [[FRAME] * 100]
    camera = opened()
    monkeypatch.setattr(FakeDevice, "retrieve", fail)
    states: list[str] = []
    camera.state = states.append
    for picture in camera.frames(Selection()):
        if picture is None:
            break
    assert states == ["signal lost"]


def test_whoever_waits_says_so_often_enough(stage: Stage) -> None:
    stage.scripts = [[BLOCK, FRAME]]
    camera = opened(timeout_s=1.0)
    started = time.monotonic()
    assert next(iter(camera.frames(Selection()))) is None
    assert time.monotonic() - started < device.WAIT_S + 0.2


def wait_for_the_threads_of_other_tests() -> None:
    until = time.monotonic() + 10
    while any(t.name == f"{NAME}#device" for t in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)


def opened(**options: float) -> LiveCamera:
    camera = LiveCamera(LiveCamera.Options(**options))
    camera.open(lambda text: None)
    return camera
