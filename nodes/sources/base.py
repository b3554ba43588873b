"""What a source of frames is: the interface that the capture node drives.

A source numbers the pictures of a recording from 0 and gives each its true time. Construction is
cheap and touches no file; `frames` can be called again and starts at the beginning each time.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.images import Allocate, Image

GroundTruth = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Stamps (P,) int64 in nanoseconds and T_world_cam (P, 4, 4) float64."""

DEFAULT_PERIOD_NS = 33_333_333


class EndedEarlyError(Exception):
    """A recording ends before its claimed end; the frames before are valid."""


@dataclass(frozen=True)
class Selection:
    """Which pictures of a recording are wanted: start, start + step, ... before stop."""

    start: int = 0
    stop: int | None = None
    step: int = 1

    def takes(self, index: int) -> bool:
        """Say whether picture `index` is wanted."""
        return index >= self.start and (index - self.start) % self.step == 0

    def ends_before(self, index: int) -> bool:
        """Say whether neither picture `index` nor any later one is wanted."""
        return self.stop is not None and index >= self.stop

    def indices(self, length: int) -> range:
        """Return what it takes of a recording of `length` pictures."""
        stop = length if self.stop is None else min(self.stop, length)
        return range(self.start, stop, self.step)


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture: grey (H, W) or RGB (H, W, 3) uint8; None with a reason if undecodable.

    A gap stands for what was missed while the signal was lost; it takes an index of its own.
    """

    index: int
    stamp_ns: int
    image: Image | None
    reason: str = ""
    is_gap: bool = False


class FrameSource:
    """Base of all sources."""

    Options: ClassVar[type]
    replays: bool = True
    """Whether a recording can be read again from its beginning, also by another process."""
    live: bool = False
    """Whether frames arrive by themselves; known before `open`."""
    size: tuple[int, int] | None = None
    """(width, height) of the first picture, where it is known after `open`."""

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options
        self.empty: Allocate = np.empty
        """Makes the arrays of colour pictures that are decoded; to be set before `open`."""
        self.state: Callable[[str], None] = lambda text: None
        """Shows what state a live source is in, such as "signal lost"; to be set before `open`."""

    @property
    def name(self) -> str:
        """Return what messages to the user call this input."""
        raise NotImplementedError  # every source overrides it

    @property
    def camera(self) -> Camera | None:
        """Return the calibration that belongs to the input, if there is one."""
        return None

    @property
    def mask(self) -> Image | None:
        """Return (H, W) uint8, nonzero where the pictures may be used, if the input has a mask."""
        return None

    def open(self, warn: Callable[[str], None]) -> None:
        """Check that the input can be read; `warn` tells the user about what is odd but usable.

        Raises:
            InputError: it cannot.
        """

    def frames(self, selection: Selection) -> Iterator[Picture | None]:
        """Yield the selected pictures in order; stamps rise strictly.

        A live source yields None, "nothing yet", at least every half second while it waits.

        Raises:
            EndedEarlyError: the recording holds fewer pictures than it claims.
        """
        raise NotImplementedError  # every source overrides it

    def length(self) -> int | None:
        """Return how many pictures the recording claims to hold, or None; after `open`."""
        return None

    def groundtruth(self) -> GroundTruth | None:
        """Return the true poses, if they are known; needs neither `open` nor the frames."""
        return None

    def close(self) -> None:
        """Release what `open` took."""


def laps(source: FrameSource, selection: Selection, loop: int) -> Iterator[Picture | None]:
    """Yield the selection `loop` times (0: without end); index and stamp go on rising."""
    index_shift, shift_ns = 0, 0
    for _ in itertools.repeat(None) if loop == 0 else range(loop):
        first, last, period_ns = None, None, DEFAULT_PERIOD_NS
        for picture in source.frames(selection):
            if picture is None:
                yield None
                continue
            if last is not None:
                period_ns = picture.stamp_ns - last.stamp_ns
            last = replace(picture, image=None)  # the image is its user's alone
            first = first or last
            yield replace(
                picture, index=picture.index + index_shift, stamp_ns=picture.stamp_ns + shift_ns
            )
        if first is None or last is None:
            return
        index_shift += last.index + selection.step - first.index
        shift_ns += last.stamp_ns + period_ns - first.stamp_ns
