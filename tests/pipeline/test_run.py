"""Whole graphs of toy nodes: delivery, order, ends of streams, the balance, in threads and processes."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import config
from pipeline.runner import RunResult, run

CHAIN = """
name: chain
nodes:
  count:   {type: "toys:Count", params: {count: 60}}
  relay:   {type: "toys:Relay", inputs: {number: count.number}}
  collect: {type: "toys:Collect", inputs: {number: relay.number}}
"""

DIAMOND = """
name: diamond
nodes:
  count:      {type: "toys:Count", params: {count: 60}}
  relay:      {type: "toys:Relay", inputs: {number: count.number}}
  difference: {type: "toys:Difference", inputs: {number: relay.number}}
  again:      {type: "toys:Relay", inputs: {number: difference.number}}
  collect:    {type: "toys:Collect", inputs: {number: count.number, other: again.number}}
"""

TWO = """
name: two
nodes:
  left:    {type: "toys:Count", params: {count: 40}}
  right:   {type: "toys:Count", params: {count: 25}}
  relay:   {type: "toys:Relay", inputs: {number: [left.number, right.number]}, batch: {size: 4}}
  sum:     {type: "toys:Sum", inputs: {number: relay.number}}
  collect: {type: "toys:Collect", join: none, inputs: {number: relay.number, total: sum.total}}
"""


def run_text(text: str, out: Path, *sets: str, placement: str | None = None) -> RunResult:
    return run(config.load_text(text, "test.yaml", sets, placement=placement), out)


def lines(out: Path, port: str = "number", stream: str = "count") -> list[str]:
    start = f"{port} {stream} "
    text = (out / "collect.txt").read_text()
    return [line.removeprefix(start) for line in text.splitlines() if line.startswith(start)]


CARRIERS = pytest.mark.parametrize("carrier", ["shm", "ipc", "tcp"])
PLACEMENTS = pytest.mark.parametrize("placement", ["threads", "processes"])


@PLACEMENTS
def test_a_chain_delivers_everything_in_order(tmp_path: Path, placement: str) -> None:
    result = run_text(CHAIN, tmp_path, placement=placement)
    assert (result.exit_code, result.report.state) == (0, "complete")
    assert lines(tmp_path) == [f"{i} {i}" for i in range(60)]
    (balance,) = result.report.balances
    assert (balance.stream, balance.frames, balance.account.results) == ("count", 60, 60)
    assert balance.holds


@pytest.mark.parametrize("carrier", ["inproc", "shm", "ipc", "tcp"])
def test_each_carrier_delivers_5000_messages_once_in_order(tmp_path: Path, carrier: str) -> None:
    placement = "threads" if carrier == "inproc" else "processes"
    sets = ["count.params.count=5000", "count.params.rows=20"]
    if carrier != "inproc":
        sets.append(f"carrier={carrier}")
    result = run_text(CHAIN, tmp_path, *sets, placement=placement)
    assert result.report.state == "complete"
    assert lines(tmp_path) == [f"{i} {i}" for i in range(5000)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 16])
def test_the_diamond_ends_with_every_batch_size(tmp_path: Path, size: int, workers: int) -> None:
    sets = [f"relay.batch.size={size}", f"again.batch.size={17 - size}", f"relay.workers={workers}"]
    result = run_text(DIAMOND, tmp_path, *sets)
    assert result.report.state == "complete"
    assert lines(tmp_path) == [f"{i} {i}" for i in range(60)]
    assert lines(tmp_path, "other") == [f"{i} {i}" for i in range(1, 60)]


@CARRIERS
def test_the_diamond_ends_in_processes(tmp_path: Path, carrier: str) -> None:
    sets = [f"carrier={carrier}", "relay.batch.size=16", "count.params.rows=2000"]
    assert run_text(DIAMOND, tmp_path, *sets, placement="processes").report.state == "complete"
    assert lines(tmp_path, "other") == [f"{i} {i}" for i in range(1, 60)]


def test_workers_and_random_delays_change_nothing(tmp_path: Path) -> None:
    texts = set()
    for index, sets in enumerate(
        [[], ["relay.params.jitter_ms=3", "relay.workers=4"], ["relay.params.jitter_ms=3", "relay.batch.size=3"]]
    ):  # fmt: skip
        out = tmp_path / str(index)
        run_text(DIAMOND, out, "again.params.skip_every=7", "count.params.step=5", *sets)
        texts.add((out / "collect.txt").read_text())
    assert len(texts) == 1


def test_two_streams_share_a_node_and_end_on_their_own(tmp_path: Path) -> None:
    result = run_text(TWO, tmp_path)
    assert lines(tmp_path, stream="left") == [f"{i} {i}" for i in range(40)]
    assert lines(tmp_path, stream="right") == [f"{i} {i}" for i in range(25)]
    assert lines(tmp_path, "total", "left") == [str(sum(range(40)))]
    assert lines(tmp_path, "total", "right") == [str(sum(range(25)))]
    assert [(b.stream, b.frames, b.account.results) for b in result.report.balances] == [
        ("left", 40, 40),
        ("right", 25, 25),
    ]


def test_every_key_is_in_the_balance_whatever_became_of_it(tmp_path: Path) -> None:
    result = run_text(
        CHAIN, tmp_path,
        "relay.params.skip_every=10", "relay.params.break_at=7", "count.params.unreadable=33",
    )  # fmt: skip
    (balance,) = result.report.balances
    account = balance.account
    assert (account.results, account.skips, account.errors, account.gaps) == (52, 6, 1, 1)
    assert balance.holds
    assert "33 error 1 damaged" in lines(tmp_path)
    assert "7 break 1 changed" in lines(tmp_path)
    assert "30 skip 1 every so often" in lines(tmp_path)


def test_a_truncated_recording_is_not_complete(tmp_path: Path) -> None:
    result = run_text(CHAIN, tmp_path, "count.params.truncated=20")
    assert (result.exit_code, result.report.state) == (3, "truncated")
    assert result.report.why == "20 of 60 numbers"
    assert len(lines(tmp_path)) == 20


def test_an_empty_stream_is_a_complete_run(tmp_path: Path) -> None:
    result = run_text(CHAIN, tmp_path, "count.params.count=0")
    assert (result.exit_code, result.report.state) == (0, "complete")
    assert [(b.frames, b.account.total) for b in result.report.balances] == [(0, 0)]


@CARRIERS
def test_large_messages_cross_processes_unharmed(tmp_path: Path, carrier: str) -> None:
    sets = [f"carrier={carrier}", "count.params.count=40", "count.params.rows=40000"]  # 2.5 MB each
    assert run_text(CHAIN, tmp_path, *sets, placement="processes").report.state == "complete"
    assert lines(tmp_path) == [f"{i} {i}" for i in range(40)]


def test_the_run_folder_can_be_run_again(tmp_path: Path) -> None:
    run_text(CHAIN, tmp_path / "a", "count.params.count=9")
    again = config.load(tmp_path / "a" / "config.yaml")
    run(again, tmp_path / "b")
    assert (tmp_path / "a/collect.txt").read_text() == (tmp_path / "b/collect.txt").read_text()


def test_a_join_takes_only_the_streams_that_all_its_inputs_carry(tmp_path: Path) -> None:
    text = """
nodes:
  left:    {type: "toys:Count", params: {count: 10}}
  right:   {type: "toys:Count", params: {count: 200}}
  relay:   {type: "toys:Relay", inputs: {number: [left.number, right.number]}}
  collect: {type: "toys:Collect", inputs: {number: left.number, other: relay.number}}
"""
    assert run_text(text, tmp_path).report.state == "complete"
    assert lines(tmp_path, "other", "left") == [f"{i} {i}" for i in range(10)]


def test_the_balance_is_kept_of_dense_streams_only(tmp_path: Path) -> None:
    text = """
nodes:
  count:   {type: "toys:Count"}
  sum:     {type: "toys:Sum", inputs: {number: count.number}}
  last:    {type: "toys:Last", inputs: {total: sum.total}}
  collect: {type: "toys:Collect", inputs: {number: last.number}}
"""
    result = run_text(text, tmp_path)
    assert (result.report.state, result.report.balances) == ("complete", [])
    assert lines(tmp_path) == ["0 45"]


@PLACEMENTS
def test_any_number_may_be_reported(tmp_path: Path, placement: str) -> None:
    text = CHAIN.replace("toys:Collect", "toys:Gauge")
    seen: dict[str, float] = {}
    graph = config.load_text(text, "test.yaml", placement=placement)
    result = run(graph, tmp_path, lambda nodes, _: seen.update(nodes["collect"].gauges))
    assert result.report.state == "complete"
    assert set(seen) <= {"value"}
    assert result.report.balances[0].account.results == 60


def test_a_run_that_does_not_balance_ends_with_exit_code_1(tmp_path: Path) -> None:
    result = run_text(CHAIN, tmp_path)
    assert replace(result, report=replace(result.report, state="failed")).exit_code == 1
