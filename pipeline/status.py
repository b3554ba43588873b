"""The one line that tells how a run is going.

Nodes count in other threads meanwhile. A dictionary is therefore copied before it is walked:
`copy()` and `list(values())` are one step of the interpreter, `list(items())` is not, as each
of its tuples may start a garbage collection, and that the callbacks of others.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.graph import Graph
from pipeline.stats import Account, Histogram, NodeStats


def status_line(graph: Graph, nodes: Mapping[str, NodeStats], seconds: float) -> str:
    """Return how a run is going: rates, queues, drops, latency, what nodes report, time left."""
    captured = sum(sum(stats.captured.values()) for stats in nodes.values())
    sinks = [nodes[n].accounts for n, spec in graph.nodes.items() if not spec.node_class.outputs]
    ports = [list(streams.values()) for sink in sinks for streams in list(sink.values())]
    accounts = [account for streams in ports for account in streams]
    done = max((sum(a.total - a.gaps for a in streams) for streams in ports), default=0)
    latency = _latency(accounts)
    parts = [
        f"{captured} frames",
        f"in {captured / seconds:.1f} out {done / seconds:.1f} fps" if seconds > 0 else "",
        f"drops {sum(sum(stats.dropped.values()) for stats in nodes.values())}",
        f"p50 {latency[0]:.0f} p99 {latency[1]:.0f} ms" if latency else "",
        *(f"{k} {v:g}" for stats in nodes.values() for k, v in stats.gauges.copy().items()),
        *(f"{name}: {stats.state}" for name, stats in nodes.items() if stats.state),
        _time_left(nodes, captured, seconds),
        "queues " + " ".join(f"{n}:{s.queued}" for n, s in nodes.items() if s.accounts),
    ]
    return "  ".join(part for part in parts if part)


def _latency(accounts: list[Account]) -> tuple[float, float] | None:
    total = Histogram()
    for account in accounts:
        for bucket, count in account.latency.buckets.copy().items():
            total.buckets[bucket] = total.buckets.get(bucket, 0) + count
    p50, p99 = total.percentile(50), total.percentile(99)
    return None if p50 is None or p99 is None else (p50, p99)


def _time_left(nodes: Mapping[str, NodeStats], captured: int, seconds: float) -> str:
    expected = [stats.expected for stats in nodes.values() if stats.expected is not None]
    if not expected or not captured:
        return ""
    left = max(0.0, (sum(expected) - captured) * seconds / captured)
    return f"ETA {int(left) // 60}:{int(left) % 60:02d}"
