"""Nodes for the graphs of the suites: sources without decoding, and sinks that only count."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from benchmarks.link_work import SHAPE, Clock, Schedule, produce, read
from benchmarks.settings import load_clip, there_and_back
from nodes.messages import Frame, Matches
from nodes.sources.calibrations.reading import read_calibration
from nodes.vision.camera import Camera
from pipeline.node import Node, Output, Resources, Source

FPS = 30
FULL_HD = Camera(SHAPE[1], SHAPE[0], 1500, 1500, 960, 540)


def _write(resources: Resources, name: str, clock: Clock) -> None:
    (resources.out / f"{name}.json").write_text(json.dumps(clock.as_dict()))


class Fill(Source):
    """Yields 1080p frames with every byte written, and notes what that cost its process."""

    @dataclass(frozen=True)
    class Params:
        """How many frames."""

        paced: Annotated[int, "frames at 30 a second"] = 60
        saturated: Annotated[int, "frames after them, as fast as they can"] = 300
        in_place: Annotated[bool, "write each frame where other processes can read it"] = False

    outputs = {"frame": Output(Frame)}

    def produce(self) -> Iterator[Frame]:
        """Yield all frames."""
        schedule = Schedule(self.params.paced, self.params.saturated)
        self._clock = Clock(schedule)
        empty = self._empty if self.params.in_place else None
        for seq, done_ns, image in produce(schedule, empty):
            self._clock.begin_after(seq)
            yield Frame(
                stream=self.resources.node, seq=seq, stamp_ns=done_ns, image=image, camera=FULL_HD
            )

    def _empty(self) -> npt.NDArray[np.uint8]:
        return self.resources.empty(SHAPE, np.uint8)

    def close(self) -> None:
        """Write what was noted; all frames have gone."""
        self._clock.end()
        _write(self.resources, "source", self._clock)


class Read(Node):
    """Reads every byte of the frames of `Fill`, and notes what that cost its process."""

    Params = Fill.Params

    def open(self, resources: Resources) -> None:
        """Begin."""
        super().open(resources)
        self._clock = Clock(Schedule(self.params.paced, self.params.saturated))

    def process(self, frame: Frame) -> None:
        """Read a frame."""
        read(frame.image, frame.seq)
        self._clock.passed(frame.seq, frame.stamp_ns)

    def close(self) -> None:
        """Write what was noted."""
        _write(self.resources, "sink", self._clock)


class Loop(Source):
    """Plays a recording, decoded once into memory, to and fro: the camera never jumps."""

    @dataclass(frozen=True)
    class Params:
        """Which recording, at which size, how often."""

        folder: Annotated[str, "the recording; a synthetic scene where it is missing"] = ""
        frames: Annotated[int, "frames to yield"] = 300
        clip: Annotated[int, "frames of the recording that are played to and fro"] = 60
        width: Annotated[int, "pixels"] = 640
        height: Annotated[int, "pixels"] = 480
        grey: Annotated[bool, "grey instead of RGB"] = True

    outputs = {"frame": Output(Frame)}

    def open(self, resources: Resources) -> None:
        """Decode the recording; all nodes of a process share it."""
        super().open(resources)
        p = self.params
        self._clip = load_clip(p.folder, p.clip, (p.width, p.height), p.grey)
        calibration = Path(p.folder) / "intrinsics.yaml"
        self._camera = (
            read_calibration(calibration).resized(p.width, p.height)
            if calibration.is_file()
            else Camera.assumed(p.width, p.height, 60.0)
        )

    def produce(self) -> Iterator[Frame]:
        """Yield the frames."""
        for seq in range(self.params.frames):
            yield Frame(
                stream=self.resources.node,
                seq=seq,
                stamp_ns=seq * 1_000_000_000 // 30,
                image=self._clip[there_and_back(seq, len(self._clip))],
                camera=self._camera,
            )

    def length(self) -> int:
        """Return the number of frames."""
        return int(self.params.frames)


class CameraLoop(Loop):
    """Plays a recording as a camera would: at its pace, whether anybody has time or not."""

    live = True

    def produce(self) -> Iterator[Frame]:
        """Yield the frames when they are due, stamped with that time (monotonic)."""
        started = time.monotonic()
        for frame in super().produce():
            time.sleep(max(0.0, started + frame.seq / FPS - time.monotonic()))
            yield replace(frame, stamp_ns=time.monotonic_ns())


class Count(Node):
    """Counts the matches of the frames of `CameraLoop`, stream by stream, and their age."""

    @dataclass(frozen=True)
    class Params:
        """What is counted."""

        warm_up: Annotated[int, "frames of each stream that are not counted"] = 0

    def open(self, resources: Resources) -> None:
        """Begin."""
        super().open(resources)
        self._ages_ms: dict[str, list[float]] = {name: [] for name in resources.streams}

    def process(self, matches: Matches) -> None:
        """Count."""
        if matches.seq >= self.params.warm_up:
            age_ms = (time.monotonic_ns() - matches.stamp_ns) / 1e6
            self._ages_ms[matches.stream].append(age_ms)

    def close(self) -> None:
        """Write the ages in milliseconds, by stream."""
        (self.resources.out / "ages.json").write_text(json.dumps(self._ages_ms))
