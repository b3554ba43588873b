"""Faults for tests to inject: full disks, killed and stopped processes, nodes that need too much."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
TOYS = Path(__file__).parent / "pipeline"
MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" || exit 77'
RUN_THERE = (
    f'{MOUNT}; kept=$3; disk=$2; shift 3; "$@"; code=$?; cp -r "$disk/." "$kept"; exit $code'
)


def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a run whose sockets are apart from those of all others."""
    sockets = tmp_path / "tmp"
    sockets.mkdir(exist_ok=True)
    path = os.pathsep.join([str(ROOT), str(TOYS), str(TOYS.parent), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(sockets)}


def command(*arguments: str) -> list[str]:
    """Return the words of a posestream command."""
    return [sys.executable, "-m", "pipeline", *arguments]


@contextmanager
def started(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a posestream command; end it if the test does not."""
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run_on_small_disk(
    size: str, tmp_path: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], Path, Path]:
    """Run a command with --out on a disk of its own; return its end, what it left, and the disk."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, to mount a small disk that nobody else sees")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", RUN_THERE, "sh", size, str(disk), str(kept),
         *command(*arguments, "--out", str(disk / "out"))],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("may not mount a small disk here")
    return done, kept / "out", disk / "out"


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Wait until a condition holds, and return its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it has not come to that"
        time.sleep(0.02)
    return value


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started, the oldest first."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sorted(map(int, words))
    return []


def is_alive(pid: int) -> bool:
    """Say whether a process runs: not one that only waits to be buried."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def num_lines(path: Path) -> int:
    """Return how many whole lines a file holds, which may not be there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, as a debugger or a laptop lid does, and let it go on."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def eat_memory(limit_bytes: int) -> None:
    """Want more memory than this process may have."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + limit_bytes, resource.RLIM_INFINITY))
    np.ones(2 * limit_bytes, np.uint8)
