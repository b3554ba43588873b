"""A run as JSON lines: its numbers each second, what nodes say of themselves, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.graph import Graph
from pipeline.json_lines import emit
from pipeline.runner import RunResult
from pipeline.stats import Account, Balance, Histogram, NodeStats

PERIOD_S = 1.0


class RunEvents:
    """Prints the events of one run."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._states: dict[str, str] = {}
        self._warned: set[str] = set()
        self._next = PERIOD_S

    def update(self, nodes: Mapping[str, NodeStats], seconds: float) -> None:
        """Print what is new, and once a second all numbers."""
        for name, stats in nodes.items():
            if stats.state != self._states.get(name, ""):
                self._states[name] = stats.state
                emit("state", node=name, state=stats.state)
            self._warn(list(stats.warnings))
        if seconds >= self._next:
            self._next = PERIOD_S * (seconds // PERIOD_S + 1)
            emit("status", **numbers(self._graph, nodes, seconds))

    def finish(self, result: RunResult, exit_code: int) -> None:
        """Print how the run ended."""
        report = result.report
        self._warn(report.warnings)
        emit(
            "result",
            state=report.state,
            why=report.why,
            exit_code=exit_code,
            folder=result.out,
            files=sorted(path.name for path in result.out.iterdir()),
            seconds=round(report.seconds, 3),
            fps=round(report.fps, 3),
            balances=[_balance(balance) for balance in report.balances],
            dropped=report.dropped,
            reported=report.reported,
            failure=result.failure and result.failure.text,
        )

    def _warn(self, texts: list[str]) -> None:
        for text in texts:
            if text not in self._warned:
                self._warned.add(text)
                emit("warning", text=text)


def numbers(graph: Graph, nodes: Mapping[str, NodeStats], seconds: float) -> dict[str, Any]:
    """Return how a run is going, as the event `status`.

    Nodes count in other threads meanwhile: a dictionary is copied before it is walked, as in
    status.py.
    """
    captured = sum(sum(list(stats.captured.values())) for stats in nodes.values())
    expected = [stats.expected for stats in nodes.values() if stats.expected is not None]
    sinks = [nodes[n].accounts for n, spec in graph.nodes.items() if not spec.node_class.outputs]
    ports = [list(streams.values()) for sink in sinks for streams in list(sink.values())]
    done = max((sum(a.total - a.gaps for a in port) for port in ports), default=0)
    return {
        "seconds": round(seconds, 3),
        "captured": captured,
        "expected": sum(expected) if expected else None,
        "done": done,
        "in_fps": round(captured / seconds, 3),
        "out_fps": round(done / seconds, 3),
        "dropped": sum(sum(list(stats.dropped.values())) for stats in nodes.values()),
        "latency_ms": _latency([account for port in ports for account in port]),
        "reported": {k: v for stats in nodes.values() for k, v in stats.gauges.copy().items()},
        "queued": {name: stats.queued for name, stats in nodes.items() if stats.accounts},
    }


def _latency(accounts: list[Account]) -> dict[str, float] | None:
    total = Histogram()
    for account in accounts:
        for bucket, count in account.latency.buckets.copy().items():
            total.buckets[bucket] = total.buckets.get(bucket, 0) + count
    found = {f"p{percent}": total.percentile(percent) for percent in (50, 99)}
    return {name: round(value, 3) for name, value in found.items() if value is not None} or None


def _balance(balance: Balance) -> dict[str, Any]:
    account = balance.account
    return {
        "stream": balance.stream,
        "sink": balance.sink,
        "frames": balance.frames,
        "results": account.results,
        "skips": account.skips,
        "errors": account.errors,
        "gaps": account.gaps,
        "unfinished": balance.frames - account.total,
    }
