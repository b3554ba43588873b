"""Tells data sets and bags by their layout; opening them is the business of their sources."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from nodes.sources.sidecars import Sidecars
from pipeline.errors import InputError

BAG_MAGIC = {b"#ROSBAG V": "rosbag", b"\x89MCAP0\r\n": "mcap"}
BAG_SUFFIXES = {".bag": "rosbag", ".db3": "rosbag", ".mcap": "mcap"}


class SeveralTopicsError(InputError):
    """A bag has several topics of images: the user has to say which is meant."""


class DescribedSource(Protocol):
    """A source that can say what it has found."""

    @property
    def camera(self) -> object:
        """Its calibration, None where there is none."""

    @property
    def groundtruth_file(self) -> Path | None:
        """Where its true poses stand."""

    @property
    def sidecars(self) -> Sidecars:
        """What stands beside it."""

    def open(self, warn: Callable[[str], None]) -> None:
        """Check that it can be read."""

    def describe(self) -> str:
        """Say what it is, such as "EuRoC sequence of 3682 images"."""


def find_layout(path: Path) -> tuple[str, Path] | None:
    """Return the source that reads a file or folder, and what it is to be given; None: another.

    Raises:
        InputError: the folder holds several sequences.
    """
    if path.is_file():
        source = _bag(path)
        return (source, path) if source else None
    if not path.is_dir() or (path / "frames").is_dir():
        return None
    if _is_ros2(path):
        return "rosbag", path
    if (path / "mav0").is_dir() or (path / "cam0" / "data.csv").is_file():
        return "euroc", path
    if (path / "rgb.txt").is_file():
        return "tum", path
    if (path / "times.txt").is_file() and any(path.glob("image_[0-3]")):
        return "kitti", path
    return _only_sequence(path)


def _bag(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    found = (source for magic, source in BAG_MAGIC.items() if start.startswith(magic))
    return next(found, None) or BAG_SUFFIXES.get(path.suffix)


def _is_ros2(path: Path) -> bool:
    metadata = path / "metadata.yaml"
    if not metadata.is_file():
        return any(path.glob("*.db3"))
    with metadata.open("rb") as file:
        return b"rosbag2_bagfile_information" in file.read(1000)


def _only_sequence(path: Path) -> tuple[str, Path] | None:
    """Return the sequence of a KITTI root that has but one."""
    sequences = sorted(p.parent for p in path.glob("sequences/*/times.txt"))
    if len(sequences) > 1:
        raise InputError(
            f"{path} holds {len(sequences)} KITTI sequences: name one, such as {sequences[0]}"
        )
    return ("kitti", sequences[0]) if sequences else None
