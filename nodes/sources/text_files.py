"""Reads the text files that accompany a recording: timestamps and ground truth."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from nodes.sources.base import GroundTruth
from nodes.sources.files import missing
from nodes.vision.se3 import from_quaternion
from pipeline.errors import InputError

MAX_SECONDS = 9_000_000_000  # beyond this int64 nanoseconds overflow


def read_timestamps(path: Path) -> list[int]:
    """Read one time in seconds a line (the last column); return nanoseconds, strictly rising.

    Raises:
        InputError: a line is no time, or not later than the one before.
    """
    stamps: list[int] = []
    for number, words in read_lines(path):
        stamp = nanoseconds(words[-1])
        if stamp is None:
            raise InputError(f"{path}:{number}: {words[-1]!r} is not a time in seconds")
        check_rises(path, number, words[-1], stamp, stamps)
        stamps.append(stamp)
    return stamps


def check_rises(path: Path, number: int, word: str, stamp_ns: int, before: Sequence[int]) -> None:
    """Check that the time in a line is later than those of the lines before it.

    Raises:
        InputError: it is not; the message names the line.
    """
    if before and stamp_ns <= before[-1]:
        raise InputError(f"{path}:{number}: {word} is not later than the line before it")


def read_tum(path: Path) -> GroundTruth:
    """Read a TUM trajectory: timestamp tx ty tz qx qy qz qw, T_world_cam.

    Raises:
        InputError: a line does not hold eight numbers and a quaternion.
    """
    stamps, poses = [], []
    for number, words in read_lines(path):
        stamp = nanoseconds(words[0])
        try:
            values = np.array([float(word) for word in words[1:]])
        except ValueError:
            values = np.empty(0)
        if stamp is None or values.shape != (7,) or not 0.9 < np.linalg.norm(values[3:]) < 1.1:
            line = " ".join(words)
            raise InputError(
                f"{path}:{number}: expected 'timestamp tx ty tz qx qy qz qw', not {line!r}"
            )
        stamps.append(stamp)
        poses.append(from_quaternion(values[:3], values[3:]))
    return np.array(stamps, np.int64), np.array(poses, np.float64).reshape(-1, 4, 4)


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the words of each line that is neither empty nor a comment, with its number.

    Raises:
        InputError: the file is missing or no text.
    """
    if not path.is_file():
        raise missing(path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file") from error
    found = [
        (i, line.partition("#")[0].replace(",", " ").split()) for i, line in enumerate(lines, 1)
    ]
    return [(i, words) for i, words in found if words]


def nanoseconds(word: str) -> int | None:
    """Turn decimal seconds into nanoseconds exactly (a double loses them in this century)."""
    try:
        seconds = Decimal(word)
    except InvalidOperation:
        return None
    return round(seconds * 10**9) if seconds.is_finite() and abs(seconds) < MAX_SECONDS else None
