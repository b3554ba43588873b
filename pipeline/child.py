"""A process that runs one group of nodes for a runner: `python -m pipeline.child REPORT_FD`.

It reads orders from standard input and reports to the given file descriptor, both as lines of JSON.
The end of standard input means that the runner is gone, and so the child goes too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipeline import config
from pipeline.errors import PosestreamError
from pipeline.group import Failure, Group
from pipeline.stats import NodeStats

REPORT_S = 0.1


class Setup(msgspec.Struct):
    """The first order: what to run."""

    resolved: dict[str, Any]
    names: list[str]
    run: str
    folder: str
    out: str


class Order(msgspec.Struct):
    """Any later order."""

    start: dict[str, str] | None = None
    drain: bool = False
    stop: bool = False


class Report(msgspec.Struct, omit_defaults=True):
    """What the child says of itself."""

    ready: dict[str, str] | None = None
    stats: dict[str, NodeStats] | None = None
    failure: Failure | None = None
    done: bool = False


class _Child:
    def __init__(self, reports: BinaryIO) -> None:
        self._reports = reports
        self._setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
        graph = config.parse(self._setup.resolved)
        self._group = Group(graph, self._setup.names, self._setup.run)
        self._has_failed = False

    def run(self) -> None:
        """Run the group to its end."""
        self._say(Report(ready=self._group.bind(Path(self._setup.folder))))
        order = self._next_order()
        if order.start is None:
            return
        self._group.start(order.start, Path(self._setup.out))
        threading.Thread(target=self._obey, daemon=True).start()
        while self._group.is_running:
            self._report()
            self._group.control.stop.wait(REPORT_S)
            self._group.join(REPORT_S if self._group.control.stop.is_set() else 0.0)
        self._report()
        self._group.join(0)
        self._say(Report(done=True))

    def _obey(self) -> None:
        while True:
            order = self._next_order()
            if order.drain:
                self._group.control.drain.set()
            if order.stop:
                self._group.control.halt()

    def _next_order(self) -> Order:
        line = sys.stdin.buffer.readline()
        if not line:
            os._exit(1)  # the runner is gone; nothing here is of use to anybody
        return msgspec.json.decode(line, type=Order)

    def _report(self) -> None:
        failure = None if self._has_failed else self._group.failure()
        self._has_failed |= failure is not None
        self._say(Report(stats=self._group.snapshot(), failure=failure))

    def _say(self, report: Report) -> None:
        self._reports.write(msgspec.json.encode(report) + b"\n")


def main() -> None:
    """Run the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner says when to stop
    with os.fdopen(int(sys.argv[1]), "wb", buffering=0) as reports:
        try:
            _Child(reports).run()
        except PosestreamError as error:
            _fail(reports, Failure(str(error), error.exit_code))
        except Exception as error:  # noqa: BLE001 (the runner shows it)
            _fail(reports, Failure(f"{type(error).__name__}: {error}", 1, traceback.format_exc()))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a node that hangs must not keep the process


def _fail(reports: BinaryIO, failure: Failure) -> None:
    reports.write(msgspec.json.encode(Report(failure=failure)) + b"\n")


if __name__ == "__main__":
    main()
