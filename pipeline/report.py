"""What a run leaves about itself: config.yaml, stats.json, and the balance of every stream."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import config
from pipeline.config.flow import Flow
from pipeline.errors import NodeError
from pipeline.graph import Graph, InputRef, JoinRule
from pipeline.group import Failure
from pipeline.run_folder import LOCK_FILE, unwritable
from pipeline.stats import Account, Balance, NodeStats

STATS_FILE = "stats.json"
CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class Report:
    """How a run ended."""

    state: str
    """complete, truncated, interrupted or failed."""
    why: str
    """For a state other than complete: the reason."""
    seconds: float
    balances: list[Balance]
    warnings: list[str]
    dropped: dict[str, int]
    """Keys dropped, by link."""
    reported: dict[str, float]
    """The last of every number that a node reported, by name."""
    cpu_s: dict[str, float]
    """CPU time that frames have taken in each node's own code, by node."""
    restarts: dict[str, int]
    """How often each process group was started again."""

    @property
    def fps(self) -> float:
        """Return how many frames all streams brought to their ends in a second."""
        frames = sum(b.account.total - b.account.gaps for b in primary(self.balances).values())
        return frames / self.seconds if self.seconds > 0 else 0.0


def begin_folder(graph: Graph, out: Path) -> None:
    """Remove what an earlier run left, and write the configuration of this one.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        forget_earlier_run(out)
        write_resolved(graph, out)
    except OSError as error:
        raise unwritable(out, error) from error


def write_resolved(graph: Graph, out: Path) -> None:
    """Write the whole configuration with its defaults into the run folder, for the user alone.

    It may hold an address with a password.
    """
    path = out / CONFIG_FILE
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(config.resolved_yaml(graph))


def settle(
    graph: Graph,
    nodes: Mapping[str, NodeStats],
    seconds: float,
    failure: Failure | None,
    interrupted: bool,
    restarts: Mapping[str, int],
) -> Report:
    """Settle the ledger."""
    lines = list(_balances(graph, nodes))
    state, why = _state(nodes, lines, failure, interrupted)
    return Report(
        state,
        why,
        seconds,
        lines,
        [
            *(text for stats in nodes.values() for text in stats.warnings),
            *_unreadable(lines),
            *(f"process {n!r} died and was started again: {c} times" for n, c in restarts.items()),
        ],
        {link: n for stats in nodes.values() for link, n in stats.dropped.items() if n},
        {name: value for stats in nodes.values() for name, value in stats.gauges.items()},
        {name: round(stats.cpu_s, 3) for name, stats in nodes.items()},
        dict(restarts),
    )


def write_stats(report: Report, out: Path) -> Failure | None:
    """Write stats.json, or return why it could not be; then there is none."""
    try:
        (out / STATS_FILE).write_text(json.dumps(_document(report, out), indent=2) + "\n")
    except OSError as error:
        with suppress(OSError):
            (out / STATS_FILE).unlink(missing_ok=True)
        text = f"cannot write {out / STATS_FILE}: {error.strerror}"
        return Failure(text, NodeError.exit_code)
    return None


def forget_earlier_run(out: Path) -> None:
    """Remove what an earlier run left in its folder, so that no file of it passes for a new one."""
    try:
        names = json.loads((out / STATS_FILE).read_text())["hashes"]
    except (OSError, ValueError, KeyError):
        return  # no run has ended here
    for name in [*names, STATS_FILE]:
        if Path(name).name == name:
            (out / name).unlink(missing_ok=True)


def primary(balances: Iterable[Balance]) -> dict[str, Balance]:
    """Return for each stream its balance at the sink that the graph names first."""
    found: dict[str, Balance] = {}
    for balance in balances:
        found.setdefault(balance.stream, balance)
    return found


def _sinks(graph: Graph) -> Iterable[tuple[str, str, set[str]]]:
    """Yield (node, port, streams) of every dense input of the sinks, main results first."""
    flow = Flow(graph.nodes)
    for name, spec in sorted(graph.nodes.items(), key=lambda n: n[1].join is JoinRule.LATEST):
        edges = [edge for edge in graph.edges if edge.consumer == name]
        if spec.node_class.outputs or not edges:
            continue
        streams: dict[str, set[str]] = {}
        for edge in edges:
            if flow.sparse_origin(InputRef(edge.producer, edge.output)) is None:
                streams.setdefault(edge.input, set()).update(edge.streams)
        if len(spec.inputs) > 1 and spec.join is not JoinRule.NONE:
            yield name, "+".join(spec.inputs), set.intersection(*streams.values())
        else:
            yield from ((name, port, found) for port, found in streams.items())


def _balances(graph: Graph, nodes: Mapping[str, NodeStats]) -> Iterable[Balance]:
    for node, port, streams in _sinks(graph):
        for stream in sorted(streams):
            account = nodes[node].accounts.get(port, {}).get(stream, Account())
            yield Balance(stream, f"{node}.{port}", nodes[stream].captured.get(stream, 0), account)


def _state(
    nodes: Mapping[str, NodeStats], lines: list[Balance], failure: Failure | None, interrupted: bool
) -> tuple[str, str]:
    if failure:
        return "failed", failure.text
    if interrupted:
        return "interrupted", "stopped by the user"
    wrong = [line for line in lines if not line.holds]
    if wrong:
        return "failed", f"the ledger of {wrong[0].stream} does not balance at {wrong[0].sink}"
    reasons = [reason for stats in nodes.values() for reason in stats.ended.values() if reason]
    return ("truncated", reasons[0]) if reasons else ("complete", "")


def _unreadable(lines: list[Balance]) -> Iterable[str]:
    for line in primary(lines).values():
        if line.account.errors:
            yield f"{line.stream}: frames that could not be decoded: {line.account.errors}"


def _document(report: Report, out: Path) -> dict[str, Any]:
    return {
        "versions": _versions(),
        "hashes": {path.name: _sha256(path) for path in sorted(out.iterdir()) if _is_output(path)},
        "state": report.state,
        "why": report.why,
        "fps": round(report.fps, 3),
        "seconds": round(report.seconds, 3),
        "streams": {s: _stream(b, report.seconds) for s, b in primary(report.balances).items()},
        "sinks": [{"sink": b.sink, **_stream(b, report.seconds)} for b in report.balances],
        "dropped": report.dropped,
        "reported": report.reported,
        "cpu_s": report.cpu_s,
        "restarts": report.restarts,
        "warnings": report.warnings,
    }


def _stream(balance: Balance, seconds: float) -> dict[str, Any]:
    account = balance.account
    percentiles = {f"p{p}": account.latency.percentile(p) for p in (50, 95, 99)}
    return {
        "stream": balance.stream,
        "frames_captured": balance.frames,
        "results": account.results,
        "skips": account.skips,
        "errors": account.errors,
        "gaps": account.gaps,
        "fps": round(account.results / seconds, 3) if seconds else None,
        "latency_ms": {k: v if v is None else round(v, 3) for k, v in percentiles.items()},
    }


def _is_output(path: Path) -> bool:
    return path.is_file() and path.name not in (STATS_FILE, LOCK_FILE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    """Return the versions of Python, of this distribution, and of what it is built on."""
    found = {"python": platform.python_version()}
    try:
        needs = metadata.requires("posestream") or []
    except metadata.PackageNotFoundError:
        return found
    core = [re.split(r"[^\w.-]", need)[0] for need in needs if "extra ==" not in need]
    for name in ["posestream", *core]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # a need that is met by another build of the same package
    return found
