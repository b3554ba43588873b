"""Small recordings that the tests of the sources write for themselves."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import pytest
from recordings import matroska, picture

from nodes.sources.ffmpeg import prepare_environment

Writer = Callable[..., Path]


@pytest.fixture
def write_video(tmp_path: Path) -> Writer:
    """Return a function that writes a video of numbered pictures."""

    def write(
        name: str = "video.avi", frames: int = 20, fps: float = 25, codec: str = "MJPG"
    ) -> Path:
        prepare_environment()  # FFmpeg takes its log level at its first use
        path = tmp_path / name
        codec = {".mp4": "mp4v", ".mov": "mp4v"}.get(path.suffix, codec)
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (64, 48))
        assert writer.isOpened()
        for i in range(frames):
            writer.write(picture(i))
        writer.release()
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path) -> Writer:
    """Return a function that writes a folder of numbered pictures."""

    def write(name: str = "shots", frames: int = 5, suffix: str = ".png") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(frames):
            cv2.imwrite(str(folder / f"{i}{suffix}"), picture(i))
        return folder

    return write


@pytest.fixture
def write_mkv(tmp_path: Path) -> Writer:
    """Return a function that writes a Matroska file of JPEG pictures at any times."""

    def write(stamps_ms: Sequence[int], name: str = "video.mkv") -> Path:
        path = tmp_path / name
        path.write_bytes(matroska(stamps_ms))
        return path

    return write
