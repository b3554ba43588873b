"""A process that runs one group of nodes for a runner: `python -m pipeline.child REPORT_FD`.

It reads orders from standard input and reports to the given file descriptor, both as lines of JSON.
The end of standard input means that the runner is gone, and so the child goes too. A group on
another machine is run by the same `Member`, with a channel of its own (pipeline/remote.py).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec

from pipeline import config
from pipeline.changes import Change
from pipeline.errors import PosestreamError
from pipeline.group import Failure, Group
from pipeline.stats import NodeStats

REPORT_S = 0.1
STOP_S = 2.0  # what nodes get to finish once the run is told to stop


class Setup(msgspec.Struct):
    """The first order: what to run."""

    resolved: dict[str, Any]
    names: list[str]
    run: str
    folder: str
    out: str
    incarnation: int = 0
    """How often this group was started again."""
    gone: list[str] = []


class Order(msgspec.Struct):
    """Any later order."""

    start: dict[str, str] | None = None
    change: Change | None = None
    drain: bool = False
    stop: bool = False


class Report(msgspec.Struct, omit_defaults=True):
    """What the child says of itself."""

    ready: dict[str, str] | None = None
    stats: dict[str, NodeStats] | None = None
    failure: Failure | None = None
    done: bool = False


class Channel(Protocol):
    """How a group hears its runner, and is heard."""

    def say(self, report: Report) -> None:
        """Report to the runner."""

    def next_order(self) -> Order | None:
        """Wait for the next order; None: the runner is gone."""


class Member:
    """Runs one group as its runner orders, to the end."""

    def __init__(self, group: Group, channel: Channel, out: Path) -> None:
        self._group = group
        self._channel = channel
        self._out = out
        self._has_failed = False

    def run(self, folder: Path) -> None:
        """Run the group to its end.

        Args:
            folder: for the sockets of this machine's processes.

        Raises:
            ConfigError: an endpoint cannot be bound.
        """
        endpoints = self._get_ready(folder)
        if endpoints is None:
            self._group.discard()
            return
        self._group.start(endpoints, self._out)
        threading.Thread(target=self._obey, daemon=True).start()
        self._watch()
        self._report()
        self._group.join(0)
        self._channel.say(Report(done=True))

    def _get_ready(self, folder: Path) -> dict[str, str] | None:
        """Bind the outputs; return where all other nodes are bound, as `_wait_for_start`."""
        try:
            self._channel.say(Report(ready=self._group.bind(folder)))
        except PosestreamError:
            self._group.discard()
            raise
        return self._wait_for_start()

    def _wait_for_start(self) -> dict[str, str] | None:
        """Return where all other nodes are bound, or None if the run ends before it begins."""
        while (order := self._channel.next_order()) is not None and not order.stop:
            if order.start is not None:
                return order.start
            if order.change:
                self._group.heed(order.change)
        return None

    def _watch(self) -> None:
        stopped_at: float | None = None
        while self._group.is_running:
            self._report()
            if not self._group.control.stop.wait(REPORT_S):
                continue
            stopped_at = stopped_at or time.monotonic()
            self._group.join(REPORT_S)
            if time.monotonic() - stopped_at > STOP_S:
                return  # a node hangs, and ends with the process

    def _obey(self) -> None:
        while (order := self._channel.next_order()) is not None:
            if order.change:
                self._group.heed(order.change)
            if order.drain:
                self._group.control.drain.set()
            if order.stop:
                self._group.control.halt()
        self._group.control.halt()  # the runner is gone

    def _report(self) -> None:
        failure = None if self._has_failed else self._group.failure()
        self._has_failed |= failure is not None
        self._channel.say(Report(stats=self._group.snapshot(), failure=failure))


class _Pipes:
    """The channel of a child of the runner."""

    def __init__(self, orders: BinaryIO, reports: BinaryIO) -> None:
        self._orders = orders
        self._reports = reports

    def say(self, report: Report) -> None:
        try:
            self._reports.write(msgspec.json.encode(report) + b"\n")
        except BrokenPipeError:
            os._exit(1)  # as in next_order

    def next_order(self) -> Order | None:
        line = self._orders.readline()
        if not line:
            os._exit(1)  # the runner is gone; nothing here is of use to anybody
        return msgspec.json.decode(line, type=Order)


def _run(orders: BinaryIO, channel: Channel) -> None:
    setup = msgspec.json.decode(orders.readline(), type=Setup)
    graph = config.parse(setup.resolved)
    group = Group(graph, setup.names, setup.run, incarnation=setup.incarnation)
    group.heed(Change(gone=setup.gone))
    Member(group, channel, Path(setup.out)).run(Path(setup.folder))


def describe(error: Exception) -> Failure:
    """Return what to report of an error that no node is to blame for."""
    if isinstance(error, PosestreamError):
        return Failure(str(error), error.exit_code)
    trace = "".join(traceback.format_exception(error))
    return Failure(f"{type(error).__name__}: {error}", 1, trace)


def main() -> None:
    """Run the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner says when to stop
    with os.fdopen(int(sys.argv[1]), "wb", buffering=0) as reports:
        orders, sys.stdin = sys.stdin.buffer, None  # no node may read what is meant for us
        channel = _Pipes(orders, reports)
        try:
            _run(orders, channel)
        except Exception as error:  # noqa: BLE001 (the runner shows it)
            channel.say(Report(failure=describe(error)))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a node that hangs must not keep the process


if __name__ == "__main__":
    main()
