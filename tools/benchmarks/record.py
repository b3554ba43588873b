"""The record of all measurements: one line of JSON for each run of a suite, with what it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RECORD_FILE = ROOT / "benchmarks.jsonl"
PACKAGES = (
    "numpy", "opencv-python", "torch", "poselib", "pyzmq", "kornia", "onnxruntime", "imagezmq",
)  # fmt: skip
OURS = ("pipeline", "nodes", "configs", "tools")


@dataclass(frozen=True)
class Figure:
    """The median of `n` values, the smallest and the largest."""

    unit: str
    median: float
    min: float
    max: float
    n: int


@dataclass(frozen=True)
class Row:
    """One line of a table: figures by column, or why there are none."""

    name: str
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: str = ""
    table: str = ""
    """Title of the table that it stands in, where a suite has several."""


@dataclass(frozen=True)
class Findings:
    """What a suite found: its rows, and what a reader has to know of them."""

    rows: list[Row]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """One run of one suite."""

    suite: str
    date: str
    """UTC, to the minute."""
    command: str
    device: str
    """cpu, or the name of the GPU."""
    cpu: str
    cores: int
    versions: dict[str, str]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    quick: bool = False

    @property
    def is_cuda(self) -> bool:
        """Whether a GPU was measured."""
        return self.device != "cpu"


def make_record(
    suite: str, findings: Findings, command: str, device: str, *, quick: bool = False
) -> Record:
    """Put findings together with the machine and the versions that they were made with."""
    return Record(
        suite=suite,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        command=command,
        device=device,
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        versions=versions(),
        rows=findings.rows,
        notes=findings.notes,
        quick=quick,
    )


def append(record: Record, path: Path) -> None:
    """Add a record to the file as one line."""
    with path.open("a") as file:
        file.write(to_json(record) + "\n")


def to_json(record: Record) -> str:
    """Return a record as one line of JSON."""
    return json.dumps(asdict(record), allow_nan=False)


def from_json(line: str) -> Record:
    """Return the record of a line."""
    entries: dict[str, Any] = json.loads(line)
    return Record(**{**entries, "rows": [_row(row) for row in entries["rows"]]})


def _row(entries: dict[str, Any]) -> Row:
    figures = {column: Figure(**figure) for column, figure in entries["figures"].items()}
    return Row(**{**entries, "figures": figures})


def load(path: Path) -> list[Record]:
    """Return all records of a file, oldest first; none where there is no file."""
    if not path.exists():
        return []
    return [from_json(line) for line in path.read_text().splitlines() if line.strip()]


def latest(records: Iterable[Record], suite: str) -> list[Record]:
    """Return the last full record of a suite for each device, the CPU's first."""
    found = {r.device: r for r in records if r.suite == suite and not r.quick}
    return sorted(found.values(), key=lambda record: (record.is_cuda, record.device))


def cpu_model() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that matter here, and of this checkout."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # the rows that need it say so
    return {**found, "posestream": commit()}


def commit() -> str:
    """Return the commit of this checkout, marked where its code differs from it."""
    head = _git("rev-parse", "--short", "HEAD")
    if not head:
        return "unknown"
    return head + (" with changes" if _git("status", "--porcelain", "--", *OURS) else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
