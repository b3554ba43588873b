"""Reads what the recorder leaves in a run folder: the poses and matches of every stream."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.sources.files import missing
from pipeline.errors import InputError

Row = Mapping[str, Any]
"""A line of `poses.jsonl`."""
MatchedPoints = Callable[[Row], npt.NDArray[np.float32] | None]
"""Finds the points (M, 4) that a pair has in common: x_prev, y_prev, x_cur, y_cur in pixels."""


@dataclass(frozen=True)
class RecordedStream:
    """What a run left of one stream."""

    name: str
    rows: Sequence[Row]
    matches: Path
    """`matches.npz`, which need not exist."""


def read_streams(run: Path) -> list[RecordedStream]:
    """Read the poses of a run folder.

    Raises:
        InputError: it is no run folder, or its poses are damaged or absent.
    """
    if not run.is_dir():
        raise missing(run, "run folder")
    paths = sorted(run.glob("poses.jsonl")) or sorted(run.glob("poses_*.jsonl"))
    if not paths:
        raise InputError(f"{run} is not a run folder: it holds no poses.jsonl")
    streams = [
        RecordedStream(rows[0]["stream"], rows, run / f"matches{path.stem[len('poses') :]}.npz")
        for path in paths
        if (rows := read_rows(path))
    ]
    if not streams:
        raise InputError(f"{paths[0]} is empty: there is no pair of frames to score")
    return streams


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
