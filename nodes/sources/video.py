"""A video file, with the times that its container gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from nodes.sources.base import EndedEarlyError, Picture, Selection
from nodes.sources.beside import Sidecars
from nodes.sources.containers import read_claim
from nodes.sources.ffmpeg import reading
from nodes.sources.files import require_file
from nodes.sources.images import MAX_PIXELS, to_rgb
from nodes.sources.recorded import Recorded
from pipeline.errors import InputError

MAX_MISSING_S, MAX_MISSING = 1.0, 0.05
"""A last frame so much before the claimed end, in seconds and as a share, is worth a warning."""


@dataclass(frozen=True)
class VideoInfo:
    """What the container says: upright size in pixels; frames and duration where known."""

    width: int
    height: int
    num_frames: int | None
    duration_s: float | None


def probe(path: Path) -> VideoInfo:
    """Open a video file and return what its container says.

    Raises:
        InputError: the file is missing, empty, cut before its index, or not a video.
    """
    require_file(path, "video file")
    with reading(str(path)) as capture:
        if not capture.isOpened():
            raise InputError(_why_not(path))
        width, height = _property(capture, "WIDTH"), _property(capture, "HEIGHT")
        num_frames, fps = _property(capture, "COUNT"), capture.get(cv2.CAP_PROP_FPS)
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} claims {width}x{height} pixels, more than the limit of {MAX_PIXELS} pixels"
        )
    if num_frames <= 0 or fps <= 0:
        return VideoInfo(width, height, None, None)
    # Of a Matroska file without a frame rate FFmpeg counts the milliseconds.
    return VideoInfo(width, height, num_frames if fps < 1000 else None, num_frames / fps)


class Video(Recorded):
    """A video file. The container's rotation is applied; colour becomes RGB.

    A frame whose size differs from the first one's is scaled to that size by OpenCV.
    """

    @dataclass(frozen=True)
    class Options:
        """Which file."""

        path: Annotated[str, "video file"] = ""

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a video file, not ''")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._path = Path(options.path)
        self._info: VideoInfo | None = None
        self._warn: Callable[[str], None] = lambda text: None

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder of the file."""
        return Sidecars.beside(self._path.parent)

    def open(self, warn: Callable[[str], None]) -> None:
        """Check that the file is a video, and read what it claims."""
        self._warn = warn
        self._info = probe(self._path)
        self.size = (self._info.width, self._info.height)

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected frames; the others are decoded, as codecs need, but not converted."""
        index, last_ns = 0, -1
        with reading(self.name) as capture:
            while not selection.ends_before(index) and capture.grab():
                last_ns = self._stamp(capture, last_ns)
                if selection.takes(index):
                    yield self._retrieve(capture, index, last_ns)
                index += 1
        if not selection.ends_before(index):
            self._check_end(index, last_ns)

    def length(self) -> int | None:
        """Return the number of frames that the container claims."""
        return self._info.num_frames if self._info else None

    def _stamp(self, capture: cv2.VideoCapture, last_ns: int) -> int:
        """Return the container's time of the frame just grabbed, made to rise strictly."""
        stamp_ns = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if stamp_ns > last_ns:
            return stamp_ns
        self._warn(f"{self.name}: the container's times do not rise from frame to frame")
        return last_ns + 1

    def _check_end(self, num_decoded: int, last_ns: int) -> None:
        """Tell a true end from a cut: the container's size says more bytes than there are.

        The number of frames alone proves nothing: for Matroska it is a guess from the duration,
        and for a trimmed MP4 it counts what the edit list hides. Where only the index at the end
        is cut off, all frames are there.
        """
        claimed, num_claimed_bytes = self.length(), read_claim(self._path).num_bytes
        num_bytes = self._path.stat().st_size
        if (
            num_decoded != claimed
            and num_claimed_bytes is not None
            and num_claimed_bytes > num_bytes
        ):
            raise EndedEarlyError(
                f"{self.name} is cut off after {num_decoded}{f' of {claimed}' if claimed else ''} "
                f"frames: {num_bytes} of {num_claimed_bytes} bytes are there"
            )
        if num_decoded == 0:
            raise InputError(f"{self.name} holds no frame that can be decoded")
        self._check_duration(last_ns / 1e9)

    def _check_duration(self, last_s: float) -> None:
        duration_s = (self._info.duration_s if self._info else None) or 0
        if duration_s - last_s > max(MAX_MISSING_S, MAX_MISSING * duration_s):
            self._warn(
                f"{self.name}: its last frame is at {last_s:.1f} s, but its container claims "
                f"{duration_s:.1f} s: it may be damaged or trimmed"
            )

    def _retrieve(self, capture: cv2.VideoCapture, index: int, stamp_ns: int) -> Picture:
        ok, image = capture.retrieve()
        if not ok:
            return Picture(index, stamp_ns, None, f"frame {index} cannot be decoded")
        return Picture(index, stamp_ns, to_rgb(np.asarray(image, np.uint8), self.empty))


def _property(capture: cv2.VideoCapture, name: str) -> int:
    return int(capture.get(getattr(cv2, f"CAP_PROP_FRAME_{name}")))


def _why_not(path: Path) -> str:
    claim = read_claim(path)
    if not claim.has_index:
        return (
            f"{path} is cut off: the index of the video (its moov box, usually at the end) is "
            "missing, so nothing can be decoded; copy or record the file again"
        )
    return f"{path} is not a video that can be decoded"
