"""Runs a graph: threads in this process, one process for each group, watched until the end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.children import Child, socket_folder
from pipeline.errors import NodeError
from pipeline.graph import Graph
from pipeline.group import Failure, Group
from pipeline.hosts import is_remote
from pipeline.mending import Mender, Spawn
from pipeline.messages import Message
from pipeline.node import Node, Resources
from pipeline.party import Party
from pipeline.remote_child import RemoteChild
from pipeline.report import Report, begin_folder, settle, write_stats
from pipeline.run_folder import Claim, claimed
from pipeline.stats import NodeStats

WATCH_S = 0.05
STOP_S = 2.0  # what nodes get to finish once the run is told to stop
DRAIN_S = 10.0  # what a run gets to run dry after an interruption

Status = Callable[[Mapping[str, NodeStats], float], None]


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `state` is complete, truncated, interrupted or failed."""

    out: Path
    report: Report
    failure: Failure | None

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command line."""
        if self.failure:
            return self.failure.exit_code
        return {"complete": 0, "truncated": 3, "interrupted": 130, "failed": 1}[self.report.state]


@dataclass
class _Run:
    """A graph under way."""

    graph: Graph
    out: Path
    local: Group
    children: list[Party]
    spawn: Spawn
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.mender = Mender(self.graph, self.children, self.spawn, self.local.heed, self.snapshot)

    @property
    def is_running(self) -> bool:
        return self.local.is_running or any(child.is_running for child in self.children)

    def snapshot(self) -> dict[str, NodeStats]:
        stats = self.local.snapshot()
        for child in self.children:
            stats.update(child.numbers())
        return {name: stats.get(name, NodeStats()) for name in self.graph.nodes}

    def failure(self) -> Failure | None:
        """Return what failed first, as far as this process can tell."""
        failures = [f for f in map(self.mender.failure, self.children) if f is not None]
        failures += [f for f in [self.local.failure(), *map(self._silence, self.children)] if f]
        return failures[0] if failures else None

    def _silence(self, child: Party) -> Failure | None:
        if child.is_done or not child.is_started or child.has_died:
            return None
        if time.monotonic() - child.heard_at < self.graph.hang_s + 1:
            return None
        names, limit_s = ", ".join(map(repr, child.names)), self.graph.hang_s
        text = f"node {names} hangs: its process has not answered for {limit_s:g} s"
        return Failure(text, NodeError.exit_code)

    def drain(self) -> None:
        self.mender.is_draining = True
        self.local.control.drain.set()
        for child in self.children:
            child.drain()

    def stop(self) -> None:
        self.local.control.halt()
        for child in self.children:
            child.stop()

    def end(self) -> list[str]:
        """Stop what still runs; return the names of local nodes that cannot be stopped."""
        deadline = time.monotonic() + STOP_S
        stuck = self.local.join(STOP_S)
        for child in self.children:
            child.end(max(0.1, deadline - time.monotonic()))
        return stuck


def run(graph: Graph, out: Path, on_status: Status | None = None) -> RunResult:
    """Run a graph to its end and write its run folder.

    The first Ctrl-C lets the sources end, so that all outputs are finished; the second stops.

    Args:
        out: the run folder, made if need be.
        on_status: called about every 50 ms with the numbers of all nodes and the seconds so far.

    Raises:
        ConfigError: the run folder cannot be written, or another run writes into it.
        NodeError: a process group did not start.
    """
    with claimed(out) as claim:
        begin_folder(graph, out)
        return _run_in(graph, out, claim, on_status)


def _run_in(graph: Graph, out: Path, claim: Claim, on_status: Status | None) -> RunResult:
    """Run a graph whose run folder is this run's."""
    secret = secrets.token_hex(16)
    with socket_folder() as folder:
        children: list[Party] = []
        try:

            def spawn(dead: Party, incarnation: int, gone: Iterable[str]) -> Party:
                return Child(
                    dead.name, graph, dead.names, secret, folder, out,
                    incarnation=incarnation, gone=gone, earlier=dead.numbers(),
                )  # fmt: skip

            for name, names in _groups(graph):
                children.append(
                    RemoteChild(name, graph, names, secret)
                    if is_remote(graph, name)
                    else Child(name, graph, names, secret, folder, out)
                )
            local = Group(graph, [n for n in graph.nodes if n not in graph.place], secret)
            this = _Run(graph, out, local, children, spawn)
            try:
                _start(this, folder, on_status)
            except BaseException:
                local.discard()
                raise
            failure, interrupted = _watch(this, on_status)
        except BaseException as error:
            for child in children:
                child.conclude(getattr(error, "exit_code", 1), f"the run did not begin: {error}")
            raise
        finally:
            for child in children:
                child.end(0.1)
    seconds = time.monotonic() - this.started
    report = settle(graph, this.snapshot(), seconds, failure, interrupted, this.mender.restarts)
    claim.give_room()
    unwritten = write_stats(report, out)
    result = RunResult(out, report, failure or unwritten)
    for child in children:
        child.conclude(result.exit_code, report.why or report.state)
    return result


def _groups(graph: Graph) -> list[tuple[str, list[str]]]:
    names = dict.fromkeys(graph.place.values())
    return [(group, [n for n in graph.nodes if graph.place.get(n) == group]) for group in names]


def _start(this: _Run, folder: Path, on_status: Status | None) -> None:
    endpoints = this.local.bind(folder)

    def show() -> None:
        if on_status:
            on_status(this.snapshot(), 0.0)

    for child in this.children:
        endpoints |= child.wait_ready(show)
    this.mender.endpoints = dict(endpoints)
    this.started = time.monotonic()
    for child in this.children:
        child.start(endpoints)
    this.local.start(endpoints, this.out)


def _watch(this: _Run, on_status: Status | None) -> tuple[Failure | None, bool]:
    """Watch the run until it ends; return what failed, and whether the user interrupted it."""
    failure, drain_until = None, None
    while True:
        try:
            if not this.is_running:
                break
            this.mender.tend()
            failure = this.failure()
            if failure or (drain_until and time.monotonic() > drain_until):
                break
            if on_status:
                on_status(this.snapshot(), time.monotonic() - this.started)
            this.local.control.stop.wait(WATCH_S)
        except KeyboardInterrupt:
            if drain_until:
                break
            drain_until = time.monotonic() + DRAIN_S
            this.drain()
        except BaseException:  # whoever shows the status has failed; the nodes must not run on
            this.stop()
            this.end()
            raise
    failure = failure or this.failure()
    if failure or drain_until:
        this.stop()
    this.end()
    return failure or this.failure(), drain_until is not None


def run_node(
    node: Node,
    messages: Iterable[Message | Mapping[str, Message]],
    out: Path = Path(),
    **resources: Any,
) -> Iterator[Any]:
    """Run one node over a list of inputs, without an engine: for tests and for scripts.

    Args:
        messages: for each call of `process` its only input, or a mapping of port -> message.
        resources: fields of `Resources`.

    Yields:
        What the node yields: messages, `Skip`, `Break`.
    """
    node.open(Resources(out=out, **resources))
    try:
        streams: dict[str, None] = {}
        for message in messages:
            if isinstance(message, Message):
                streams[message.stream] = None
                yield from node.process(message) or ()
            else:
                streams.update({m.stream: None for m in message.values()})
                yield from node.process(**message) or ()
        for stream in streams:
            yield from node.flush(stream)
    finally:
        node.close()
