"""A video file, with the times that its container gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np

from nodes.sources.base import EndedEarlyError, Picture, Selection
from nodes.sources.containers.claim import Claim, read_claim
from nodes.sources.containers.timeline import RollCall
from nodes.sources.ffmpeg import reading
from nodes.sources.files import require_file
from nodes.sources.images import MAX_PIXELS, to_rgb
from nodes.sources.recorded import Recorded
from nodes.sources.sidecars import Sidecars
from pipeline.errors import InputError

MIN_TRIES, MAX_TRIES = 10, 2000
"""Damaged frames in a row that are passed over: at least, and at most where more are missing."""
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

    A frame whose size differs from the first one's is scaled to that size by OpenCV. Of MP4, AVI
    and Matroska files it is known how many frames they hold: where one is missing, a picture
    without an image takes its place if its time tells which one it is, and the end is early.
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
        self._info = VideoInfo(0, 0, None, None)
        self._claim = Claim()
        self._warn: Callable[[str], None] = lambda text: None

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder of the file."""
        return Sidecars.beside(self._path.parent)

    def open(self, warn: Callable[[str], None]) -> None:
        """Check that the file is a video, and read what it claims."""
        self._warn = warn
        self._info = probe(self._path)
        self._claim = read_claim(self._path)
        self.size = (self._info.width, self._info.height)

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected frames; the others are decoded, as codecs need, but not converted."""
        index, last_ns, roll = 0, -1, RollCall(self._claim.timeline)
        with reading(self.name) as capture:
            while not selection.ends_before(index) and _grab(capture, roll.num_missing):
                stamp_ns = _stamp(capture)
                for missing_ns in roll.tick_off(stamp_ns):
                    last_ns = self._risen(missing_ns, last_ns)
                    if selection.takes(index) and not selection.ends_before(index):
                        yield Picture(
                            index, last_ns, None, f"frame {index} is missing: the file is damaged"
                        )
                    index += 1
                last_ns = self._risen(stamp_ns, last_ns)
                if selection.takes(index) and not selection.ends_before(index):
                    yield self._retrieve(capture, index, last_ns)
                index += 1
        if selection.ends_before(index):
            self._check_passed(roll)
        else:
            self._check_end(roll, last_ns)

    def length(self) -> int | None:
        """Return the number of frames that the container claims."""
        timeline = self._claim.timeline
        return timeline.num_required if timeline else self._info.num_frames

    def _risen(self, stamp_ns: int, last_ns: int) -> int:
        """Return a time of the container, made to rise strictly."""
        if stamp_ns > last_ns:
            return stamp_ns
        self._warn(f"{self.name}: the container's times do not rise from frame to frame")
        return last_ns + 1

    def _check_passed(self, roll: RollCall) -> None:
        if roll.num_passed_over:
            raise EndedEarlyError(
                f"{self.name} is damaged: {roll.num_passed_over} of "
                f"{roll.num_passed_over + roll.num_decoded} frames are missing{_since(roll)}"
            )

    def _check_end(self, roll: RollCall, last_ns: int) -> None:
        """Tell a true end from a cut or a damage.

        A cut: the container's size says more bytes than there are. Where only the index at the end
        is cut off, all frames are there. Where nobody knows how many frames there should be, the
        number that FFmpeg claims proves nothing: it may be a guess from the duration.
        """
        roll.finish()
        num_decoded, claim = roll.num_decoded, self._claim
        num_claimed = max(self._info.num_frames or 0, roll.num_required)
        of = f"{num_decoded} of {num_claimed}" if num_claimed > num_decoded else f"{num_decoded}"
        num_bytes = self._path.stat().st_size
        is_cut = claim.num_bytes is not None and claim.num_bytes > num_bytes
        if is_cut and (num_decoded != num_claimed or roll.num_missing):
            raise EndedEarlyError(
                f"{self.name} is cut off after {of} frames: "
                f"{num_bytes} of {claim.num_bytes} bytes are there"
            )
        if num_decoded == 0:
            raise InputError(f"{self.name} holds no frame that can be decoded")
        if claim.fault:
            raise EndedEarlyError(
                f"{self.name} is damaged: {claim.fault}; {of} frames could be decoded"
            )
        if roll.num_missing:
            raise EndedEarlyError(
                f"{self.name} is damaged: {roll.num_missing} of {roll.num_required} frames "
                f"are missing{_since(roll)}"
            )
        self._check_duration(last_ns / 1e9)

    def _check_duration(self, last_s: float) -> None:
        duration_s = self._info.duration_s or 0
        if duration_s - last_s > max(MAX_MISSING_S, MAX_MISSING * duration_s):
            self._warn(
                f"{self.name}: its last frame is at {last_s:.1f} s, but its container claims "
                f"{duration_s:.1f} s: it may be damaged or trimmed"
            )

    def _retrieve(self, capture: cv2.VideoCapture, index: int, stamp_ns: int) -> Picture:
        try:
            ok, image = capture.retrieve()
        except cv2.error:  # what a damaged frame claims can be more than OpenCV takes
            ok = False
        if not ok:
            return Picture(index, stamp_ns, None, f"frame {index} cannot be decoded")
        return Picture(index, stamp_ns, to_rgb(np.asarray(image, np.uint8), self.empty))


def _grab(capture: cv2.VideoCapture, num_missing: int) -> bool:
    """Decode the next frame: OpenCV fails once for each damaged one, and at the end for ever."""
    for _ in range(1 + min(max(num_missing, MIN_TRIES), MAX_TRIES)):
        try:
            if capture.grab():
                return True
        except cv2.error:  # of what a damaged frame claims
            continue
    return False


def _stamp(capture: cv2.VideoCapture) -> int:
    """Return the container's time of the frame just grabbed, nanoseconds."""
    return round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)


def _since(roll: RollCall) -> str:
    first_ns = roll.first_missing_ns
    return "" if first_ns is None else f", the first one at {first_ns / 1e9:.3f} s"


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
