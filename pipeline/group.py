"""The nodes of one process: their loops, started together and watched by the main thread."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.changes import Change
from pipeline.errors import NodeError, PosestreamError
from pipeline.feed import SourceLoop
from pipeline.graph import Graph
from pipeline.hosts import outlet_endpoint
from pipeline.loop import Control, Loop
from pipeline.node import Resources, Source
from pipeline.node_loop import NodeLoop
from pipeline.shared_memory import is_supported
from pipeline.stats import NodeStats
from pipeline.transport import Wiring
from pipeline.work import WorkError

NO_SHARED_MEMORY = "no shared memory on this system: large arrays go by ipc, as carrier: ipc does"


@dataclass(frozen=True)
class Failure:
    """Why a run ended early: said to the user, with the exit code."""

    text: str
    exit_code: int
    trace: str = ""


class Group:
    """Runs some nodes of a graph in threads of this process.

    Args:
        names: the nodes that run here.
        run: the secret of the run.
        incarnation: how often this process was started again.
    """

    def __init__(
        self, graph: Graph, names: Iterable[str], run: str, *, incarnation: int = 0
    ) -> None:
        self.graph = graph
        self.names = [name for name in graph.nodes if name in set(names)]
        self.control = Control()
        shares_memory = graph.carrier == "shm" and is_supported()
        self._wiring = Wiring.of(
            graph, self.names, run, shares_memory=shares_memory, incarnation=incarnation
        )
        self.loops: dict[str, Loop] = {}
        try:
            for name in self.names:
                self.loops[name] = self._loop(name)
        except BaseException:
            self.discard()
            raise

    def _loop(self, name: str) -> Loop:
        spec = self.graph.nodes[name]
        loop = SourceLoop if issubclass(spec.node_class, Source) else NodeLoop
        return loop(spec, self.graph, self._wiring, self.control)

    def bind(self, folder: Path) -> dict[str, str]:
        """Bind the outputs that other processes need; return the endpoint of each node."""
        endpoints = {}
        for name, loop in self.loops.items():
            if any(edge.consumer not in self.loops for edge in loop.outlets.edges.values()):
                path = folder / f"{name}-{self._wiring.incarnation}"
                endpoints[name] = loop.outlets.bind(outlet_endpoint(self.graph, name, path))
                if self.graph.carrier == "shm" and not is_supported():
                    _add_once(loop.stats.warnings, NO_SHARED_MEMORY)
        return endpoints

    def start(self, endpoints: dict[str, str], out: Path) -> None:
        """Start every node; `endpoints` are those of the nodes of other processes."""
        self._wiring.endpoints.update(endpoints)
        streams = tuple(
            name for name, spec in self.graph.nodes.items() if issubclass(spec.node_class, Source)
        )
        for name, loop in self.loops.items():
            stats = loop.stats
            loop.start(
                Resources(
                    node=name,
                    streams=streams,
                    out=out,
                    seed=self.graph.seed,
                    batch=loop.spec.batch.size,
                    empty=loop.outlets.empty,
                    report=lambda name, value, stats=stats: _show(stats.gauges, name, value),  # type: ignore[misc]
                    state=lambda text, stats=stats: setattr(stats, "state", text),  # type: ignore[misc]
                    warn=lambda text, stats=stats: _add_once(stats.warnings, text),  # type: ignore[misc]
                )
            )

    def heed(self, change: Change) -> None:
        """Take note of what has changed among the other processes."""
        self._wiring.move(change.endpoints, change.incarnation)
        self._wiring.gone.update(change.gone)

    def failure(self) -> Failure | None:
        """Return what failed first, or a node that has worked on one thing for too long."""
        if self.control.failures:
            return describe_failure(*self.control.failures[0])
        for name, stats in self.snapshot().items():
            if stats.busy_s > self.graph.hang_s:
                self.control.halt()
                text = (
                    f"node {name!r} hangs: {stats.busy_with}, for more than {self.graph.hang_s:g} s"
                )
                return Failure(text, NodeError.exit_code)
        return None

    @property
    def is_running(self) -> bool:
        """Whether some node still runs."""
        return any(
            loop.thread is not None and loop.thread.is_alive() for loop in self.loops.values()
        )

    def snapshot(self) -> dict[str, NodeStats]:
        """Return the numbers of every node so far."""
        return {name: loop.snapshot() for name, loop in self.loops.items()}

    def join(self, timeout_s: float) -> list[str]:
        """Wait for all nodes to end; return the names of those that have not."""
        deadline = time.monotonic() + timeout_s
        for loop in self.loops.values():
            if loop.thread is not None:
                loop.thread.join(max(0.0, deadline - time.monotonic()))
        stuck = [name for name, loop in self.loops.items() if loop.is_alive]
        if not stuck:
            self._close()
        return stuck

    def discard(self) -> None:
        """Give back what a group holds that was never started."""
        for loop in self.loops.values():
            loop.discard()
        self._close()

    def _close(self) -> None:
        for loop in self.loops.values():
            loop.outlets.close()
        self._wiring.close()


def describe_failure(node: str, error: WorkError) -> Failure:
    """Say which node failed, where and why; a user's mistake keeps its own words and exit code."""
    cause = error.error
    if isinstance(cause, PosestreamError):
        return Failure(str(cause), cause.exit_code, "".join(traceback.format_exception(cause)))
    return Failure(
        f"node {node!r} failed at {error.place}: {type(cause).__name__}: {cause}",
        NodeError.exit_code,
        "".join(traceback.format_exception(cause)),
    )


def _show(gauges: dict[str, float], name: str, value: float) -> None:
    if math.isfinite(value):
        gauges[name] = float(value)  # numpy's numbers do not cross processes


def _add_once(warnings: list[str], text: str) -> None:
    if text not in warnings:
        warnings.append(text)
