"""Reads what the recorder leaves in a run folder: poses, matches and trajectory of every stream."""

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.sources.files import missing
from nodes.sources.text_files import read_tum
from pipeline.errors import InputError

Row = Mapping[str, Any]
"""A line of `poses.jsonl`."""
MatchedPoints = Callable[[Row], npt.NDArray[np.float32] | None]
"""Finds the points (M, 4) that a pair has in common: x_prev, y_prev, x_cur, y_cur in pixels."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of a trajectory with a world and a scale of its own."""

    number: int
    stamps_ns: npt.NDArray[np.int64]
    """(N,), rising."""
    T_world_cam: npt.NDArray[np.float64]
    """(N, 4, 4)."""


@dataclass(frozen=True)
class RecordedStream:
    """What a run left of one stream."""

    name: str
    rows: Sequence[Row]
    matches: Path
    """`matches.npz`, which need not exist."""
    segments: Sequence[Segment] | None = None
    """In the order of their numbers; None where the run wrote no trajectory."""


def read_streams(run: Path) -> list[RecordedStream]:
    """Read the poses and trajectories of a run folder.

    Raises:
        InputError: it is no run folder, or its poses are damaged or absent.
    """
    if not run.is_dir():
        raise missing(run, "run folder")
    paths = sorted(run.glob("poses.jsonl")) or sorted(run.glob("poses_*.jsonl"))
    if not paths:
        raise InputError(f"{run} is not a run folder: it holds no poses.jsonl")
    streams = [
        _stream(run, path.stem[len("poses") :], rows) for path in paths if (rows := read_rows(path))
    ]
    if not streams:
        raise InputError(f"{paths[0]} is empty: there is no pair of frames to score")
    return streams


def _stream(run: Path, suffix: str, rows: Sequence[Row]) -> RecordedStream:
    name = rows[0]["stream"]
    segments = read_segments(run / f"trajectory{suffix}.tum", name)
    return RecordedStream(name, rows, run / f"matches{suffix}.npz", segments)


def read_rows(path: Path) -> list[Row]:
    """Read a `poses.jsonl`.

    Raises:
        InputError: a line is not a row of such a file.
    """
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            shape = np.shape(row["T_cur_prev"] or np.eye(4))
            times = int(row["stamp_ns_prev"] or 0), int(row["stamp_ns_cur"])
            is_row = shape == (4, 4) and len(times) == 2 and isinstance(row["stream"], str)
        except (ValueError, KeyError, TypeError):
            is_row = False
        if not is_row:
            raise InputError(f"{path}:{number}: not a row of poses.jsonl: {line[:60]!r}")
        rows.append(row)
    return rows


def read_segments(longest: Path, stream: str) -> list[Segment] | None:
    """Read `trajectory.tum` and the other segments, also those that a killed run left numbered.

    Raises:
        InputError: a line is not a pose.
    """
    pattern = re.compile(rf"trajectory_{re.escape(stream)}_(\d+)\.tum")
    numbered = {
        int(found[1]): path
        for path in longest.parent.iterdir()
        if (found := pattern.fullmatch(path.name))
    }
    if longest.is_file():
        numbered[_segment_number(longest)] = longest
    elif not numbered:
        return None
    segments = [_segment(number, path) for number, path in sorted(numbered.items())]
    return [segment for segment in segments if len(segment.stamps_ns)]


def _segment_number(path: Path) -> int:
    found = re.match(r"# T_world_cam of segment (\d+);", path.read_text("utf-8"))
    return int(found[1]) if found else -1


def _segment(number: int, path: Path) -> Segment:
    stamps_ns, T_world_cam = read_tum(path)
    order = np.argsort(stamps_ns, kind="stable")
    return Segment(number, stamps_ns[order], T_world_cam[order])


@contextmanager
def open_matches(path: Path) -> Iterator[MatchedPoints]:
    """Open a `matches.npz`; where it is absent or unfinished, no points are known."""
    if not zipfile.is_zipfile(path):
        yield lambda row: None
        return
    with np.load(path, allow_pickle=False) as archive:
        names = set(archive.files)

        def points(row: Row) -> npt.NDArray[np.float32] | None:
            name = f"{row['seq_prev']}-{row['seq_cur']}"
            return archive[name] if name in names else None

        yield points
