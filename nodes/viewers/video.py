"""The viewer that writes annotated videos: `tracks.mp4`, or `tracks_<stream>.mp4` of each stream.

Every frame shown is one frame of the video; its rate is the usual one of the stream's first frames.
"""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.viewers import View, Viewer
from nodes.vision.drawing import (
    GREY,
    ORANGE,
    SKY_BLUE,
    annotated,
    letterboxed,
    marks_scale,
    text_bar,
)
from pipeline.errors import ConfigError, NodeError

Image = npt.NDArray[np.uint8]

MOOD_COLOURS = {"good": SKY_BLUE, "bad": ORANGE, "neutral": GREY}
NUM_FRAMES_TO_TIME = 9
CLOSING_BYTES, INDEX_BYTES = 1 << 20, 64  # room that finishing a video takes; more for each frame
MIN_FPS, MAX_FPS, DEFAULT_FPS = 0.1, 240.0, 10.0


class Video(Viewer):
    """Writes one video for each stream that shows a frame."""

    @dataclass(frozen=True)
    class Options:
        """Settings of the video."""

        scale: Annotated[float, "size of the video's picture over that of the frames"] = 1.0
        codec: Annotated[
            str, "four letters: mp4v, or vp09 (slow, plays in browsers), as far as OpenCV has it"
        ] = "mp4v"

        def __post_init__(self) -> None:
            if not 0.05 <= self.scale <= 4:
                raise ValueError(f"scale must be 0.05 to 4, not {self.scale}")
            if len(self.codec) != 4 or not self.codec.isascii():
                raise ValueError(f"codec must be four letters, not {self.codec!r}")

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._folder = Path()
        self._is_only = True
        self._recordings: dict[str, _Recording] = {}
        self._closing = ExitStack()

    def open(self, folder: Path, streams: tuple[str, ...]) -> None:
        """Check that the folder can be written."""
        self._folder, self._is_only = folder, len(streams) <= 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".tracks.probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error

    def show(self, view: View) -> None:
        """Add a frame to the video of its stream."""
        self._recording(view.stream).write(_picture(view, self.options.scale), view.stamp_ns)

    def close(self) -> None:
        """Finish all videos.

        Raises:
            NodeError: a video could not be written whole.
        """
        self._closing.close()

    def _recording(self, stream: str) -> "_Recording":
        if stream not in self._recordings:
            name = "tracks.mp4" if self._is_only else f"tracks_{stream}.mp4"
            recording = _Recording(self._folder / name, self.options.codec)
            self._closing.callback(recording.close)
            self._recordings[stream] = recording
        return self._recordings[stream]


class _Recording:
    """One video file; the first frames wait until they tell the rate."""

    def __init__(self, path: Path, codec: str) -> None:
        self._path = path
        self._codec = codec
        self._waiting: list[Image] = []
        self._stamps_ns: list[int] = []
        self._num_frames = 0
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def write(self, picture: Image, stamp_ns: int) -> None:
        """Add a picture (H, W, 3), RGB; all are fitted to the size of the first.

        Raises:
            NodeError: the disk is full, but for what finishing the video takes.
        """
        self._check_room()
        if self._num_frames == 0:
            self._size = picture.shape[1], picture.shape[0]
        elif picture.shape[1::-1] != self._size:
            picture = letterboxed(picture, *self._size)
        self._num_frames += 1
        if self._writer is not None:
            self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            return
        self._waiting.append(picture)
        self._stamps_ns.append(stamp_ns)
        if len(self._waiting) >= NUM_FRAMES_TO_TIME:
            self._start()

    def close(self) -> None:
        """Finish the file, and see whether all of it was written: cv2 does not tell."""
        if self._waiting:
            self._start()
        if self._writer is None:
            return
        self._writer.release()
        capture = cv2.VideoCapture(str(self._path))
        num_written = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if num_written < self._num_frames:
            raise NodeError(
                f"{self._path}: only {num_written} of {self._num_frames} frames were written; "
                f"is the disk full?"
            )

    def _check_room(self) -> None:
        """End in time: cv2 does not tell that it cannot write, and what it then leaves is lost."""
        disk = shutil.disk_usage(self._path.parent)
        needed = CLOSING_BYTES + INDEX_BYTES * self._num_frames
        if disk.total and disk.free < needed:  # some file systems tell neither
            raise NodeError(
                f"cannot write {self._path}: No space left on device: make room, or choose another "
                "--out; what was written before is whole"
            )

    def _start(self) -> None:
        """Open the file and write the frames that waited."""
        waiting, self._waiting = self._waiting, []
        fourcc = cv2.VideoWriter.fourcc(*self._codec)
        fps = usual_fps(self._stamps_ns)
        writer = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, fourcc, fps, self._size)
        if not writer.isOpened():
            raise ConfigError(
                f"{self._path}: OpenCV cannot write codec {self._codec!r}, {self._size[0]} x "
                f"{self._size[1]}; the codec that it always has is 'mp4v'"
            )
        self._writer = writer
        for picture in waiting:
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def usual_fps(stamps_ns: list[int]) -> float:
    """Return the rate of the usual step between stamps, within what a video can have."""
    steps_ns = np.diff(stamps_ns)
    steps_ns = steps_ns[steps_ns > 0]
    fps = 1e9 / float(np.median(steps_ns)) if len(steps_ns) else DEFAULT_FPS
    return min(max(fps, MIN_FPS), MAX_FPS)


def _picture(view: View, scale: float) -> Image:
    """Draw a view: the frame with its marks, and below it two lines of text."""
    image, keypoints, trails = view.image, view.keypoints, view.trails
    if scale != 1:
        height, width = image.shape[:2]
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)
        keypoints, trails = (
            ((points + 0.5) * scale - 0.5).astype(np.float32) for points in (keypoints, trails)
        )
    picture = annotated(image, keypoints, trails, view.inliers)
    height, width = picture.shape[:2]
    rows = [(view.title, "", GREY), (view.state, view.facts, MOOD_COLOURS[view.mood])]
    return _even(np.vstack([picture, text_bar(width, marks_scale(width, height), rows)]))


def _even(picture: Image) -> Image:
    """Return a picture with even sides, as codecs want them, repeating the last row or column."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
