"""OpenCV's video reader, kept quiet and kept at home.

OpenCV takes FFmpeg's settings from the environment when it opens an input. Ours are: no log noise;
the protocols that the input needs and no others, so that a playlist disguised as a video can open
no address and no address a file; containers only, no playlists and no picture sequences; no half
packets. What the user has set there wins.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import cv2

CONTAINERS = "mov,matroska,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,ivf,h264,hevc,m4v,mjpeg,gif,mxf"
FILE_SETTINGS = {
    "protocol_whitelist": "file",
    "format_whitelist": CONTAINERS,
    "fflags": "discardcorrupt",
}
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"


@contextmanager
def reading(path: str) -> Iterator[cv2.VideoCapture]:
    """Open a video file and release it at the end; ask `isOpened` first."""
    capture = open_capture(path, FILE_SETTINGS)
    try:
        yield capture
    finally:
        capture.release()


def open_capture(
    target: str, settings: Mapping[str, str], params: Sequence[int] = ()
) -> cv2.VideoCapture:
    """Open a file or an address with settings of FFmpeg and params of OpenCV (key, value, ...)."""
    with quiet(), environment(settings):
        return cv2.VideoCapture(target, cv2.CAP_FFMPEG, list(params))


def prepare_environment() -> None:
    """Keep FFmpeg from writing to the terminal; it asks at its first use."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET


class _Environment:
    """The variable of the process that FFmpeg's settings stand in, for one set of them at a time.

    Who wants the same settings shares them: a camera that does not answer holds up no other camera.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._settings: dict[str, str] = {}
        self._given: str | None = None

    @contextmanager
    def __call__(self, settings: Mapping[str, str]) -> Iterator[None]:
        """Let FFmpeg find these settings, below those of the user, until the block ends."""
        prepare_environment()
        with self._changed:
            self._changed.wait_for(lambda: not self._users or self._settings == settings)
            if not self._users:
                self._settings, self._given = dict(settings), os.environ.get(_OPTIONS)
                os.environ[_OPTIONS] = _merged(settings, self._given or "")
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if not self._users:
                    self._restore()
                    self._changed.notify_all()

    def _restore(self) -> None:
        if self._given is None:
            del os.environ[_OPTIONS]
        else:
            os.environ[_OPTIONS] = self._given


class _Quiet:
    """The level of OpenCV's log, which belongs to the process: the last one out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._level = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep OpenCV from writing warnings to the terminal; failures are told in our words."""
        logging = cv2.utils.logging
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    logging.setLogLevel(self._level)


environment = _Environment()
quiet = _Quiet()


def _merged(settings: Mapping[str, str], given: str) -> str:
    pairs = dict(pair.partition(";")[::2] for pair in given.split("|") if pair)
    return "|".join(f"{key};{value}" for key, value in {**settings, **pairs}.items())
