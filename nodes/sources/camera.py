"""A camera at this machine."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np

from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection
from nodes.sources.ffmpeg import quiet
from nodes.sources.images import to_rgb
from pipeline.errors import InputError

NUM_PROBED = 10


class LiveCamera(FrameSource):
    """A camera by its index; frames are stamped when they arrive, in time since 1970."""

    live = True

    @dataclass(frozen=True)
    class Options:
        """Which camera, and what to ask of it; it may answer with something near."""

        device: Annotated[int, "index of the camera"] = 0
        width: Annotated[int, "width asked for, pixels; 0 is the camera's own choice"] = 0
        height: Annotated[int, "height asked for, pixels; 0 is the camera's own choice"] = 0
        fps: Annotated[float, "rate asked for, Hz; 0 is the camera's own choice"] = 0.0

        def __post_init__(self) -> None:
            for key in ("device", "width", "height", "fps"):
                if getattr(self, key) < 0:
                    raise ValueError(f"{key} must be 0 or more, not {getattr(self, key)}")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._capture: cv2.VideoCapture | None = None

    @property
    def name(self) -> str:
        """Return "camera 0"."""
        return f"camera {self.options.device}"

    def open(self, warn: Callable[[str], None]) -> None:
        """Open the camera and ask for the wanted format."""
        with quiet():
            capture = cv2.VideoCapture(self.options.device)
            if not capture.isOpened():
                found = ", ".join(str(i) for i in _find_cameras()) or "none"
                raise InputError(f"{self.name} cannot be opened; cameras found: {found}")
            self._ask(capture)
        self._capture = capture
        self.size = (
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected frames as they come.

        Raises:
            EndedEarlyError: the camera stopped, for instance because it was unplugged.
        """
        assert self._capture is not None, "open comes first"
        to_epoch_ns = time.time_ns() - time.monotonic_ns()  # a clock set meanwhile changes nothing
        index, last_ns = 0, -1
        while not selection.ends_before(index):
            if not self._capture.grab():
                raise EndedEarlyError(f"{self.name} stopped after {index} frames")
            last_ns = max(time.monotonic_ns() + to_epoch_ns, last_ns + 1)
            if selection.takes(index):
                yield self._retrieve(index, last_ns)
            index += 1

    def close(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()

    def _ask(self, capture: cv2.VideoCapture) -> None:
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame is worth less than a missing one
        wanted = (("FRAME_WIDTH", "width"), ("FRAME_HEIGHT", "height"), ("FPS", "fps"))
        for name, key in wanted:
            if getattr(self.options, key):
                capture.set(getattr(cv2, f"CAP_PROP_{name}"), getattr(self.options, key))

    def _retrieve(self, index: int, stamp_ns: int) -> Picture:
        assert self._capture is not None
        ok, image = self._capture.retrieve()
        if not ok:
            return Picture(index, stamp_ns, None, f"{self.name}: frame {index} cannot be decoded")
        return Picture(index, stamp_ns, to_rgb(np.asarray(image, np.uint8), self.empty))


def _find_cameras() -> list[int]:
    found = []
    for device in range(NUM_PROBED):
        capture = cv2.VideoCapture(device)
        if capture.isOpened():
            found.append(device)
        capture.release()
    return found
