"""A process group as the runner sees it, wherever it runs: what it is told, what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from pipeline.changes import Change
from pipeline.child import Order, Report
from pipeline.errors import ConfigError, NodeError
from pipeline.group import Failure
from pipeline.stats import NodeStats

START_S = 60.0  # a group that has not answered by then will not
WAIT_S = 0.1


class Party:
    """One process group."""

    can_restart = False
    """Whether the runner can start it again."""

    def __init__(self, name: str, names: list[str]) -> None:
        self.name = name
        self.names = names
        self.incarnation = 0
        self.stats: dict[str, NodeStats] = {}
        self.failure: Failure | None = None
        self.is_done = False
        self.has_died = False
        self.is_started = False
        self.heard_at = time.monotonic()
        self.endpoints: dict[str, str] | None = None
        """Where its outputs are bound, once they are."""
        self._changed = threading.Condition()

    def wait_ready(self, on_wait: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Wait until the group has bound its outputs, and return their endpoints.

        Args:
            on_wait: called about ten times a second meanwhile.

        Raises:
            ConfigError: the two sides do not fit together.
            NodeError: it died, failed, or did not answer.
        """
        deadline = time.monotonic() + START_S
        while self.endpoints is None and self.failure is None:
            if time.monotonic() > deadline:
                raise NodeError(self._describe_silence())
            on_wait()
            with self._changed:
                self._changed.wait_for(lambda: self.endpoints is not None or self.failure, WAIT_S)
        if self.endpoints is None and self.failure is not None:
            if self.failure.exit_code == ConfigError.exit_code:
                raise ConfigError(self.failure.text)
            raise NodeError(self._describe_start(self.failure.text))
        return self.endpoints or {}

    def numbers(self) -> dict[str, NodeStats]:
        """Return the numbers of its nodes."""
        return self.stats

    def heed(self, change: Change) -> None:
        """Tell what has changed among the other processes."""
        self._order(Order(change=change))

    def start(self, endpoints: Mapping[str, str]) -> None:
        """Let the nodes begin."""
        self.is_started = True
        self.heard_at = time.monotonic()  # it had nothing to say while others got ready
        self._order(Order(start=dict(endpoints)))

    def drain(self) -> None:
        """Let the sources end their streams."""
        self._order(Order(drain=True))

    def stop(self) -> None:
        """Let every node stop at once."""
        self._order(Order(stop=True))

    @property
    def is_running(self) -> bool:
        """Whether it still runs, as far as the runner can tell."""
        raise NotImplementedError  # the kinds differ in this

    def end(self, timeout_s: float) -> None:
        """Wait for it to end."""
        raise NotImplementedError  # the kinds differ in this

    def write_off(self) -> None:
        """Do without a process that died when nobody wanted anything of it any more."""
        self.failure, self.is_done, self.has_died = None, True, False

    def conclude(self, exit_code: int, text: str) -> None:
        """Tell how the run ended."""

    def _describe_silence(self) -> str:
        """Say that it did not answer in time."""
        return self._describe_start("no answer")

    def _describe_start(self, text: str) -> str:
        """Say what went wrong before it was ready."""
        return f"process {self.name!r} did not start: {text}"

    def _order(self, order: Order) -> None:
        raise NotImplementedError  # the channels differ in this

    def _take(self, report: Report) -> None:
        """Note a report."""
        with self._changed:
            self.heard_at = time.monotonic()
            self.endpoints = self.endpoints if report.ready is None else report.ready
            self.stats = self.stats if report.stats is None else report.stats
            self.failure = self.failure or report.failure
            self.is_done |= report.done
            self._changed.notify_all()

    def _busy(self) -> str:
        """Return what its nodes were last seen at, to be added to the news of its death."""
        busy = [f"{name} at {s.busy_with}" for name, s in self.stats.items() if s.busy_with]
        return f" ({'; '.join(busy)})" if busy else ""
