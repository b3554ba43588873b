"""A camera at this machine."""

from dataclasses import dataclass
from typing import Annotated

import cv2

from nodes.sources.live.live_source import LiveOptions, LiveSource
from pipeline.errors import InputError

NUM_PROBED = 10


class LiveCamera(LiveSource):
    """A camera by its index; frames are stamped when they arrive, in time since 1970."""

    @dataclass(frozen=True)
    class Options(LiveOptions):
        """Which camera, and what to ask of it; it may answer with something near."""

        device: Annotated[int, "index of the camera"] = 0
        width: Annotated[int, "width asked for, pixels; 0 is the camera's own choice"] = 0
        height: Annotated[int, "height asked for, pixels; 0 is the camera's own choice"] = 0
        fps: Annotated[float, "rate asked for, Hz; 0 is the camera's own choice"] = 0.0

        def __post_init__(self) -> None:
            super().__post_init__()
            for key in ("device", "width", "height", "fps"):
                if getattr(self, key) < 0:
                    raise ValueError(f"{key} must be 0 or more, not {getattr(self, key)}")

    @property
    def name(self) -> str:
        """Return "camera 0"."""
        return f"camera {self.options.device}"

    def connect(self) -> cv2.VideoCapture:
        """Open the camera and ask for the wanted format."""
        capture = cv2.VideoCapture(self.options.device)
        if not capture.isOpened():
            capture.release()
            raise InputError(f"{self.name} cannot be opened" + self._cure())
        self._ask(capture)
        return capture

    def _cure(self) -> str:
        if self.size is not None:  # it was there
            return ""
        return f"; cameras found: {', '.join(map(str, _find_cameras())) or 'none'}"

    def _ask(self, capture: cv2.VideoCapture) -> None:
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # an old frame is worth less than a missing one
        wanted = (("FRAME_WIDTH", "width"), ("FRAME_HEIGHT", "height"), ("FPS", "fps"))
        for name, key in wanted:
            if getattr(self.options, key):
                capture.set(getattr(cv2, f"CAP_PROP_{name}"), getattr(self.options, key))


def _find_cameras() -> list[int]:
    found = []
    for device in range(NUM_PROBED):
        capture = cv2.VideoCapture(device)
        if capture.isOpened():
            found.append(device)
        capture.release()
    return found
