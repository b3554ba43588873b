"""The runner's side of process groups: starting a child, telling it, hearing it, seeing it die."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from pipeline.child import Order, Report, Setup
from pipeline.errors import NodeError
from pipeline.graph import Graph
from pipeline.group import Failure
from pipeline.party import Party
from pipeline.run_folder import try_lock
from pipeline.stats import NodeStats

MEMORY_SIGNALS = (signal.SIGKILL, signal.SIGBUS)  # how the system ends what finds no memory


class Child(Party):
    """A process group on this machine: a process that this one starts."""

    can_restart = True

    def __init__(
        self,
        name: str,
        graph: Graph,
        names: list[str],
        run: str,
        folder: Path,
        out: Path,
        *,
        incarnation: int = 0,
        gone: Iterable[str] = (),
        earlier: Mapping[str, NodeStats] | None = None,
    ) -> None:
        super().__init__(name, names)
        self.incarnation = incarnation
        self._earlier = dict(earlier or {})
        self._process, reports = _spawn()
        setup = Setup(
            dict(graph.resolved), names, run, str(folder), str(out), incarnation, list(gone)
        )
        self._tell(setup)
        self._reader = threading.Thread(target=self._hear, args=(reports,), daemon=True)
        self._reader.start()

    def numbers(self) -> dict[str, NodeStats]:
        """Return the numbers of the nodes, over all processes that have run them."""
        return {name: stats.after(self._earlier.get(name)) for name, stats in self.stats.items()}

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def end(self, timeout_s: float) -> None:
        """Wait for the process to end, and kill it if it does not."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(timeout_s)
        if self._process.stdin:
            with suppress(OSError):
                self._process.stdin.close()

    def _order(self, order: Order) -> None:
        self._tell(order)

    def _tell(self, order: Setup | Order) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # a dead child is noticed by its pipe's end
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()

    def _hear(self, reports: int) -> None:
        with os.fdopen(reports, "rb") as lines:
            for line in lines:
                self._take(msgspec.json.decode(line, type=Report))
        self._process.wait()
        if not self.is_done and self.failure is None:
            self.has_died = True
            self._take(Report(failure=Failure(self._death(), NodeError.exit_code)))

    def _death(self) -> str:
        code = self._process.returncode
        how = (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        if -code in MEMORY_SIGNALS:
            how += ": out of memory?"
        return f"node {', '.join(map(repr, self.names))}: its process {how}{self._busy()}"


def _spawn() -> tuple[subprocess.Popen[bytes], int]:
    """Start the interpreter with a pipe for its reports; return it and the reading end."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.child", str(write_end)],
        stdin=subprocess.PIPE,
        pass_fds=[write_end],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        start_new_session=True,  # Ctrl-C is the runner's to hear
    )
    os.close(write_end)
    return process, read_end


@contextmanager
def socket_folder() -> Iterator[Path]:
    """Make a private folder for the sockets of one run; remove it, and those of dead runs."""
    base = Path(tempfile.gettempdir()) / f"posestream-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    if base.stat().st_uid != os.getuid():
        raise NodeError(f"{base} belongs to somebody else: remove it, or set TMPDIR")
    with _locked(base):  # or the next start would take a folder away that is not locked yet
        for folder in base.iterdir():
            _remove_if_dead(folder)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))
        held = _open(folder)
        try_lock(held)  # until this process ends, however that may be
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_if_dead(folder: Path) -> None:
    """Remove a folder whose run is gone: its process id may be another program's by now."""
    with suppress(OSError):  # where folders cannot be locked, they stay
        fd = _open(folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(fd)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others out of a folder for a moment."""
    fd = _open(folder)
    try:
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
