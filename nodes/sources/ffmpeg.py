"""OpenCV's video reader, kept quiet and kept at home.

OpenCV takes FFmpeg's settings from the environment when it opens a file. Ours are: no log noise;
local files only, so that a playlist disguised as a video can open no address; containers only, no
playlists and no picture sequences; no half packets. What the user has set there wins.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

CONTAINERS = "mov,matroska,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,ivf,h264,hevc,m4v,mjpeg,gif,mxf"
SETTINGS = {
    "protocol_whitelist": "file",
    "format_whitelist": CONTAINERS,
    "fflags": "discardcorrupt",
}
_level_lock = threading.Lock()


@contextmanager
def reading(path: str) -> Iterator[cv2.VideoCapture]:
    """Open a video file and release it at the end; ask `isOpened` first."""
    with quiet():
        prepare_environment()
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        yield capture
    finally:
        capture.release()


def prepare_environment() -> None:
    """Add our settings to those in the environment."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    given = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS", "")
    pairs = dict(pair.partition(";")[::2] for pair in given.split("|") if pair)
    merged = {**SETTINGS, **pairs}
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "|".join(f"{k};{v}" for k, v in merged.items())


@contextmanager
def quiet() -> Iterator[None]:
    """Keep OpenCV from writing its warnings to the terminal; failures are told in our words."""
    logging = cv2.utils.logging
    with _level_lock:  # the level belongs to the process: two streams must not restore each other's
        level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            logging.setLogLevel(level)
