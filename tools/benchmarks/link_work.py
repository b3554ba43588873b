"""The work that every link has to do: frames with every byte written come, every byte is read.

A part of the frames is paced, which shows the latency; the rest goes as fast as it can, which shows
the rate and the CPU time. Producers write into a ring of frames, so that no time goes to the
allocation of memory.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

RING = 24  # frames; more than any link here has under way, or the reader would notice
SHAPE = (1080, 1920, 3)
NUM_BYTES = SHAPE[0] * SHAPE[1] * SHAPE[2]
MODULUS = 251


@dataclass(frozen=True)
class Schedule:
    """How many frames are paced, and how many come after them as fast as they can."""

    paced: int = 60
    saturated: int = 300
    fps: float = 30.0

    @property
    def total(self) -> int:
        """Return the number of all frames."""
        return self.paced + self.saturated


def frames(count: int) -> list[Image]:
    """Return frames whose memory is there: the first write into fresh memory is far slower."""
    return [np.full(SHAPE, 255, np.uint8) for _ in range(count)]


def produce(
    schedule: Schedule, empty: Callable[[], Image] | None = None
) -> Iterator[tuple[int, int, Image]]:
    """Yield number, time of completion (monotonic, nanoseconds) and frame (H, W, 3).

    empty: makes the memory of each frame; None for a ring of frames.
    """
    ring = [] if empty else frames(RING)
    started = time.monotonic()
    for seq in range(schedule.total):
        frame = empty() if empty else ring[seq % RING]
        frame.fill(seq % MODULUS)
        if seq < schedule.paced:
            time.sleep(max(0.0, started + seq / schedule.fps - time.monotonic()))
        yield seq, time.monotonic_ns(), frame[:]


def read(image: Image, seq: int) -> None:
    """Read every byte, and see that it is of this frame.

    Raises:
        ValueError: it is not.
    """
    top, first, last = int(image.max()), int(image[0, 0, 0]), int(image[-1, -1, -1])
    if not top == first == last == seq % MODULUS:
        raise ValueError(f"frame {seq} arrived torn: {first}, {last}, at most {top}")


@dataclass
class Clock:
    """Notes what one end of a link needed: of the clock and of CPU, from the saturated part on."""

    schedule: Schedule
    latencies_ms: list[float] = field(default_factory=list)
    pid: int = field(default_factory=os.getpid)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    _begun: tuple[float, float] | None = None

    def passed(self, seq: int, done_ns: int) -> None:
        """Note that a frame that was completed at `done_ns` has been dealt with."""
        if seq < self.schedule.paced:
            self.latencies_ms.append((time.monotonic_ns() - done_ns) / 1e6)
        self.begin_after(seq)
        self.end()

    def begin_after(self, seq: int) -> None:
        """Begin to count once the paced part is over."""
        if self._begun is None and seq >= self.schedule.paced - 1:
            self._begun = time.monotonic(), time.process_time()

    def end(self) -> None:
        """Count up to now."""
        if self._begun is not None:
            self.wall_s = time.monotonic() - self._begun[0]
            self.cpu_s = time.process_time() - self._begun[1]

    def as_dict(self) -> dict[str, object]:
        """Return what was noted, as plain data."""
        return {k: v for k, v in asdict(self).items() if k not in ("schedule", "_begun")}


def values(source: dict[str, object], sink: dict[str, object], schedule: Schedule) -> dict:
    """Return rate, CPU time and latency from what the two ends noted; one process counts once."""
    cpu_s = float(source["cpu_s"])  # type: ignore[arg-type]
    if source["pid"] != sink["pid"]:
        cpu_s += float(sink["cpu_s"])  # type: ignore[arg-type]
    rate = schedule.saturated * NUM_BYTES / float(sink["wall_s"]) / 1e9  # type: ignore[arg-type]
    return {
        "rate": rate,
        "CPU": 1e3 * cpu_s / schedule.saturated,
        "latency": float(np.median(sink["latencies_ms"])),  # type: ignore[arg-type]
    }
