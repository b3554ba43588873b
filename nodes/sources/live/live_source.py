"""What all live sources share: a device may block, repeat itself, vanish and return.

A frame that does not come in time means that the signal is lost: the device is opened again and
again, at growing intervals, until frames come; what was missed is a declared gap.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import cv2
import numpy as np

from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection
from nodes.sources.images import to_rgb
from nodes.sources.live.device import WAIT_S, Device, Reader, Waiting
from nodes.vision.images import Image
from pipeline.errors import InputError

MIN_OPEN_S = 10.0  # some cameras take seconds to open
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
MAX_STUCK = 4  # threads that may be stuck in a device that does not answer


@dataclass(frozen=True)
class LiveOptions:
    """How long to wait for what."""

    timeout_s: Annotated[float, "without a frame for so long the signal is lost, s"] = 5.0
    give_up_s: Annotated[float, "how long to wait for a lost signal, s; 0: for ever"] = 0.0
    frozen_s: Annotated[float, "the very same picture for so long is frozen, s; 0: never"] = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 3600:
            raise ValueError(
                f"timeout_s must be above 0 and at most 3600 seconds, not {self.timeout_s}"
            )
        for key in ("give_up_s", "frozen_s"):
            if not getattr(self, key) >= 0:
                raise ValueError(f"{key} must be 0 or more, not {getattr(self, key)}")


class LiveSource(FrameSource):
    """Base of the sources whose frames come by themselves, stamped when they arrive."""

    live = True

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._device: Device | None = None
        self._stuck: list[Device] = []
        self._warn: Callable[[str], None] = lambda text: None
        self._last_ns = 0
        # A clock that is set meanwhile changes nothing.
        self._to_epoch_ns = time.time_ns() - time.monotonic_ns()
        self._frozen = FrozenWatch(options.frozen_s)
        self._shown = ""

    def connect(self) -> Reader:
        """Open the device; called in a thread of its own, and again when the signal was lost.

        Raises:
            InputError: it cannot be opened.
        """
        raise NotImplementedError  # every live source overrides it

    def is_over(self, count: int) -> bool:
        """Say whether a stream that gives no frame after `count` is not lost but at its end."""
        return False

    def open(self, warn: Callable[[str], None]) -> None:
        """Open the device."""
        self._warn = warn
        self._device = Device(self.name, self.connect)
        capture = _finish(self._device.answer(self._open_s))
        if capture is None:
            self._device.leave()
            raise InputError(
                f"{self.name} does not answer within {self._open_s:g} s: see whether it is on, "
                "connected, and in nobody else's use"
            )
        self.size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        self._last_ns = time.monotonic_ns()

    def frames(self, selection: Selection) -> Iterator[Picture | None]:
        """Yield the selected frames as they come, None while none comes, a gap for what was missed.

        Raises:
            EndedEarlyError: the signal was lost and did not return.
        """
        index, shot = 0, None
        while not selection.ends_before(index):
            shot = shot or (yield from self._next(selection.takes(index)))
            if shot is None:
                if self.is_over(index):
                    return
                last_ns, stamp_ns = self._last_ns, self._stamp(time.monotonic_ns())
                shot = yield from self._regain(index)
                reason = f"signal lost for {(shot.stamp_ns - last_ns) / 1e9:.1f} s"
                yield Picture(index, stamp_ns, None, reason, is_gap=True)
            else:
                stamp_ns = self._stamp(shot.stamp_ns)
                if selection.takes(index):
                    yield self._picture(index, stamp_ns, shot.image)
                shot = None
            index += 1

    def close(self) -> None:
        """Give the device back."""
        if self._device is not None:
            self._device.leave(patience_s=1.0)

    @property
    def _open_s(self) -> float:
        return float(max(2 * self.options.timeout_s, MIN_OPEN_S))

    def _next(self, is_wanted: bool) -> Waiting:
        """Wait for the next frame; None: the signal is lost."""
        assert self._device is not None, "open comes first"
        self._device.order(is_wanted)
        return (yield from self._device.answer(self.options.timeout_s))

    def _regain(self, count: int) -> Waiting:
        """Open the device again until frames come, and return the first one.

        Raises:
            EndedEarlyError: it is time to give up.
        """
        self._show("signal lost")
        self._warn(f"{self.name}: signal lost; it is opened again until it is back")
        assert self._device is not None
        self._stuck.append(self._device)
        self._device.leave()
        give_up_at = time.monotonic() + (self.options.give_up_s or float("inf"))
        for attempt in itertools.count():
            pause_s = min(FIRST_PAUSE_S * 2 ** min(attempt, 9), LONGEST_PAUSE_S)
            yield from _pause(min(time.monotonic() + pause_s, give_up_at))
            if time.monotonic() >= give_up_at:
                break
            shot = yield from self._try_again(give_up_at)
            if shot:
                self._frozen = FrozenWatch(self.options.frozen_s)
                self._show("")
                return shot
        raise EndedEarlyError(
            f"{self.name}: signal lost after {count} frames and not back within "
            f"{self.options.give_up_s:g} s"
        )

    def _try_again(self, give_up_at: float) -> Waiting:
        """Open the device once; return its first frame, or None."""
        self._stuck = [device for device in self._stuck if device.is_alive]
        if len(self._stuck) >= MAX_STUCK:
            return None
        self._device = Device(self.name, self.connect)
        try:
            patience_s = min(self._open_s, give_up_at - time.monotonic())
            if (yield from self._device.answer(patience_s)):
                shot = yield from self._next(is_wanted=True)
                if shot:
                    return shot
        except (InputError, cv2.error):
            pass  # not yet
        self._device.leave()
        self._stuck.append(self._device)
        return None

    def _picture(self, index: int, stamp_ns: int, image: Image | None) -> Picture:
        if image is None:
            return Picture(index, stamp_ns, None, f"{self.name}: frame {index} cannot be decoded")
        is_frozen = self._frozen.sees(image, stamp_ns)
        if is_frozen:
            self._warn(f"{self.name}: the picture is frozen: it does not change by a single bit")
        self._show("picture frozen" if is_frozen else "")
        return Picture(index, stamp_ns, to_rgb(image, self.empty))

    def _stamp(self, monotonic_ns: int) -> int:
        """Return a time since 1970 that rises from each call to the next."""
        self._last_ns = max(monotonic_ns, self._last_ns + 1)
        return self._last_ns + self._to_epoch_ns

    def _show(self, state: str) -> None:
        if state != self._shown:
            self._shown = state
            self.state(state)


class FrozenWatch:
    """Notices that a device gives the same picture, bit for bit, for longer than `frozen_s`."""

    def __init__(self, frozen_s: float) -> None:
        self._frozen_ns = frozen_s * 1e9
        self._image: Image | None = None
        self._since_ns = 0

    def sees(self, image: Image, stamp_ns: int) -> bool:
        """Look at the next picture; say whether it is frozen."""
        if not self._frozen_ns:
            return False
        if self._image is None or not _are_equal(image, self._image):
            self._image, self._since_ns = image, stamp_ns
        return stamp_ns - self._since_ns > self._frozen_ns


def _are_equal(image0: Image, image1: Image) -> bool:
    """Compare two pictures; a few rows tell nearly all that differ."""
    return np.array_equal(image0[::37], image1[::37]) and np.array_equal(image0, image1)


def _pause(until: float) -> Waiting:
    while (left_s := until - time.monotonic()) > 0:
        time.sleep(min(WAIT_S, left_s))
        yield None


def _finish(waiting: Waiting) -> Any:
    """Wait to the end, and return what was waited for."""
    while True:
        try:
            next(waiting)
        except StopIteration as end:
            return end.value
