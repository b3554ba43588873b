"""A device in a thread of its own, as no call of OpenCV can be ended from outside."""

import queue
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from nodes.sources.ffmpeg import quiet
from nodes.vision.images import Image

WAIT_S = 0.25  # how often who waits says so

Waiting = Generator[None, None, Any]
"""Yields None while it waits, and returns what it waited for."""


class Reader(Protocol):
    """What a device must be able to do: as OpenCV's VideoCapture does it."""

    def grab(self) -> bool:
        """Wait for the next frame; say whether it came."""

    def retrieve(self) -> tuple[bool, Any]:
        """Return whether the frame can be decoded, and the image, grey or BGR."""

    def get(self, key: int, /) -> float:
        """Return a property."""

    def release(self) -> None:
        """Give the device back."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame: when it came by the monotonic clock, and its image (grey or BGR) where wanted."""

    stamp_ns: int
    image: Image | None


class Device:
    """A device that is opened, read and released in a thread of its own."""

    def __init__(self, name: str, connect: Callable[[], Reader]) -> None:
        self._connect = connect
        self._orders: queue.SimpleQueue[bool | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Reader | Shot | Exception | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"{name}#device", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread still runs."""
        return self._thread.is_alive()

    def order(self, is_wanted: bool) -> None:
        """Ask for the next frame, with its image if that is wanted."""
        self._orders.put(is_wanted)

    def answer(self, patience_s: float) -> Waiting:
        """Wait for what it has to say: the open device, a frame, or None if there is none.

        Raises:
            InputError: it cannot be opened.
        """
        deadline = time.monotonic() + patience_s
        while (left_s := deadline - time.monotonic()) > 0:
            try:
                answer = self._answers.get(timeout=min(WAIT_S, left_s))
            except queue.Empty:
                yield None
                continue
            if isinstance(answer, Exception):
                raise answer
            return answer
        return None

    def leave(self, patience_s: float = 0.0) -> None:
        """Have it released as soon as it answers; wait a little for that."""
        self._orders.put(None)
        self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            with quiet():
                capture = self._connect()
                try:
                    self._answers.put(capture)
                    while (is_wanted := self._orders.get()) is not None:
                        self._answers.put(_read(capture, is_wanted))
                finally:
                    capture.release()
        except Exception as error:  # noqa: BLE001 (raised again by who waits for the answer)
            self._answers.put(error)


def _read(capture: Reader, is_wanted: bool) -> Shot | None:
    try:
        if not capture.grab():
            return None
        stamp_ns = time.monotonic_ns()
        ok, image = capture.retrieve() if is_wanted else (False, None)
    except cv2.error:
        return None
    return Shot(stamp_ns, np.asarray(image, np.uint8) if ok else None)
