"""Damages recordings, and reads them in a process of its own, so that a native crash is seen."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

READER = """
import json, sys, time
from nodes.sources.base import EndedEarlyError, Selection
from nodes.sources.video import Video
from pipeline.errors import InputError

for line in sys.stdin:
    frames, holes, end, message = [], 0, "complete", ""
    start = time.monotonic()
    try:
        video = Video(Video.Options(line.strip()))
        video.open(lambda text: None)
        for picture in video.frames(Selection()):
            if picture.image is None:
                holes += 1
            else:
                frames.append(float(picture.image[:8].mean()))
    except EndedEarlyError as error:
        end, message = "truncated", str(error)
    except InputError as error:
        end, message = "refused", str(error)
    took = time.monotonic() - start
    print(json.dumps([end, len(frames), holes, message, took]), flush=True)
"""


@dataclass(frozen=True)
class Reading:
    """How a recording came to its end; a crash has the process's exit status as its message."""

    end: str
    num_frames: int = 0
    num_holes: int = 0
    message: str = ""
    took_s: float = 0.0


def read_apart(paths: list[Path], limit_s: float = 600) -> list[Reading]:
    """Read videos in other processes; one that dies takes nobody else with it."""
    readings: list[Reading] = []
    while len(readings) < len(paths):
        done = subprocess.run(
            [sys.executable, "-c", READER],
            input="".join(f"{path}\n" for path in paths[len(readings) :]),
            capture_output=True, text=True, timeout=limit_s, check=False,
        )  # fmt: skip
        readings += [Reading(*json.loads(line)) for line in done.stdout.splitlines()]
        if len(readings) < len(paths):
            readings.append(Reading("crash", message=f"{done.returncode}: {done.stderr[-300:]}"))
    return readings


def cuts(whole: Path, count: int, folder: Path) -> Iterator[Path]:
    """Write the file `count` times, cut at seeded places."""
    data = whole.read_bytes()
    rng = np.random.default_rng(len(data))
    for place in rng.integers(1, len(data), count).tolist():
        yield _written(folder, f"cut_{place}", whole, data[:place])


def flips(whole: Path, count: int, folder: Path) -> Iterator[Path]:
    """Write the file `count` times with one changed byte: half of them anywhere, half near an end.

    Near the ends, in 4 KiB, lie header and index.
    """
    data = whole.read_bytes()
    rng = np.random.default_rng([len(data), 1])
    ends = np.r_[0 : min(4096, len(data)), max(0, len(data) - 4096) : len(data)]
    for i in range(count):
        place = int(rng.integers(len(data)) if i % 2 else rng.choice(ends))
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        yield _written(folder, f"flip_{i}_{place}", whole, bytes(changed))


def _written(folder: Path, name: str, whole: Path, data: bytes) -> Path:
    path = folder / f"{name}{whole.suffix}"
    path.write_bytes(data)
    return path
