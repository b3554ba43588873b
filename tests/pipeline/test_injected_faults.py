"""Faults that are injected for real, and what the engine promises of each; see docs/faults.md."""

import ast
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from injection import ROOT, children_of, eat_memory, environment, stopped, wait_for
from test_run import CHAIN, lines
from toys import Number, Relay

from pipeline import config
from pipeline.runner import RunResult, run

MB_ROWS = 16_384  # rows of 64 bytes in a payload of 1 MiB


class Hungry(Relay):
    """Dies of hunger in one of several ways."""

    @dataclass(frozen=True)
    class Params:
        how: Annotated[str, "raise: as Python does; killed: as the kernel does"] = "raise"

    def process(self, number: Number) -> Iterator[Number]:
        if number.value == 3:
            if self.params.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            eat_memory(64 << 20)
        yield number


@contextmanager
def stopping(out: Path, index: int, seconds: float) -> Iterator[None]:
    """Stop a process of the run in this process for a while, once the run has begun."""

    def stop() -> None:
        wait_for(lambda: (out / "collect.txt").exists())
        time.sleep(0.3)
        with stopped(children_of(os.getpid())[index]):
            over.wait(seconds)

    over = threading.Event()
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_graph(text: str, out: Path, *sets: str) -> RunResult:
    return run(config.load_text(text, "test.yaml", sets), out)


# ------------------------------------------------------------------ slow and stalled consumers

MEMORY = """
import resource, sys
from pathlib import Path
from pipeline import config
from pipeline.runner import run
graph = config.load(Path(sys.argv[1]), sys.argv[3:])
result = run(graph, Path(sys.argv[2]))
assert result.report.state == "complete", result.report.why
peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
sys.stdout.write(" ".join(str(peak // 1024) for peak in peaks))
"""


def peaks_mb(tmp_path: Path, frames: int, delay_ms: int, *sets: str) -> list[int]:
    """Return the peak memory of a runner and of its largest group, behind a slow consumer."""
    (tmp_path / "chain.yaml").write_text(CHAIN)
    slow = [f"count.params.rows={MB_ROWS}", f"count.params.count={frames}"]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "chain.yaml"), str(tmp_path / "out"),
         *slow, f"collect.params.delay_ms={delay_ms}", *sets],
        env=environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert lines(tmp_path / "out") == [f"{i} {i}" for i in range(frames)]
    return [int(word) for word in done.stdout.split()]


@pytest.mark.parametrize("place", ["place={}", "place={count: a, collect: b}"])
@pytest.mark.parametrize(
    ("few", "many", "delay_ms"), [(40, 240, 5), pytest.param(40, 1000, 200, marks=pytest.mark.long)]
)
@pytest.mark.timeout(600)
def test_behind_a_slow_consumer_all_wait_nothing_is_lost_and_memory_does_not_grow(
    tmp_path: Path, place: str, few: int, many: int, delay_ms: int
) -> None:
    before = peaks_mb(tmp_path, few, delay_ms, place)
    after = peaks_mb(tmp_path, many, delay_ms, place)
    assert max(b - a for a, b in zip(before, after, strict=True)) < 20


STALLED = """
name: stalled
nodes:
  count:   {type: "toys:Count", params: {count: 300}}
  relay:   {type: "toys:Relay", inputs: {number: count.number}, params: {delay_ms: 4}}
  collect: {type: "toys:Collect", inputs: {number: relay.number}}
place: {relay: heavy}
"""


def test_a_consumer_that_is_stopped_for_a_while_delays_the_run_and_nothing_else(
    tmp_path: Path,
) -> None:
    with stopping(tmp_path, 0, 1.5):
        result = run_graph(STALLED, tmp_path, "limits.hang_s=5")
    assert result.report.state == "complete"
    assert result.report.seconds > 1.5
    assert lines(tmp_path) == [f"{i} {i}" for i in range(300)]


def test_a_process_that_is_stopped_for_too_long_is_named_and_killed(tmp_path: Path) -> None:
    with stopping(tmp_path, 0, 60):
        began = time.monotonic()
        result = run_graph(STALLED, tmp_path, "limits.hang_s=1", "count.params.count=100000")
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text == "node 'relay' hangs: its process has not answered for 1 s"
    assert time.monotonic() - began < 10
    assert not children_of(os.getpid())
    done = lines(tmp_path)
    assert done == [f"{i} {i}" for i in range(len(done))]


LIVE = """
name: live
nodes:
  count:   {type: "toys:Count", params: {count: 300, live: true}}
  relay:   {type: "toys:Relay", inputs: {number: count.number}}
  collect: {type: "toys:Collect", inputs: {number: relay.number}, params: {ages: true}}
  view:    {type: "toys:Collect", inputs: {number: count.number}}
place: {view: apart}
"""


def test_a_stalled_viewer_of_a_live_stream_makes_nobody_else_late(tmp_path: Path) -> None:
    with stopping(tmp_path, 0, 1.5):
        result = run_graph(LIVE, tmp_path)
    assert result.report.state == "complete"
    rows = [line.split() for line in (tmp_path / "collect.txt").read_text().splitlines()]
    ages_ms = [float(row[4]) for row in rows if len(row) == 5]
    assert len(ages_ms) > 200
    assert sorted(ages_ms)[len(ages_ms) * 95 // 100] < 100
    balances = {b.sink: b for b in result.report.balances}
    assert balances["view.number"].account.gaps > 80  # of 150 while it was stopped
    assert all(balance.holds for balance in balances.values())


# ------------------------------------------------------------------ memory


def test_memory_that_a_node_does_not_get_is_named(tmp_path: Path) -> None:
    text = CHAIN.replace("toys:Relay", "test_injected_faults:Hungry")
    result = run_graph(text, tmp_path, "place={relay: heavy}")
    assert result.exit_code == 6
    assert result.failure is not None
    assert re.fullmatch(
        r"node 'relay' failed at stream 'count', frame 3: _?\w*MemoryError: Unable to allocate .*",
        result.failure.text,
    )
    assert lines(tmp_path) == ["0 0", "1 1", "2 2"]


def test_a_process_that_the_kernel_kills_is_named_with_the_usual_reason(tmp_path: Path) -> None:
    text = CHAIN.replace("toys:Relay", "test_injected_faults:Hungry")
    result = run_graph(text, tmp_path, "place={relay: heavy}", "relay.params.how=killed")
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text.startswith(
        "node 'relay': its process was killed by SIGKILL: out of memory?"
    )


# ------------------------------------------------------------------ clocks


def test_a_wall_clock_that_is_set_back_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 10**9)
    result = run_graph(LIVE, tmp_path, "place={}", "count.params.count=50")
    assert result.report.state == "complete"
    assert 0.4 < result.report.seconds < 30
    assert [balance.account.total for balance in result.report.balances] == [50, 50]


def calls_of_the_wall_clock(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("time.time", "time.time_ns"):
            yield str(path.relative_to(ROOT))


def test_the_wall_clock_is_asked_for_stamps_of_live_streams_only() -> None:
    files = [p for folder in ("pipeline", "nodes") for p in (ROOT / folder).rglob("*.py")]
    found = sorted(call for path in files for call in calls_of_the_wall_clock(path))
    assert found == ["nodes/sources/live/live_source.py", "pipeline/feed.py"]


# ------------------------------------------------------------------ the table of promises


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    table = (ROOT / "docs" / "faults.md").read_text()
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", table)
    assert len(named) > 20
    files: dict[str, str] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        files[path.name] = files.get(path.name, "") + path.read_text()
    missing = [
        f"{file}::{name}" for file, name in named if f"def {name}(" not in files.get(file, "")
    ]
    assert missing == []
