"""Batches are gathered over all streams, and no stream fills them by itself."""

from collections import Counter
from pathlib import Path

import pytest
from test_run import run_text

THREE = """
name: three
nodes:
  fast:    {type: "toys:Count", params: {count: 120}}
  faster:  {type: "toys:Count", params: {count: 120}}
  fastest: {type: "toys:Count", params: {count: 120}}
  batches:
    type: "toys:Batches"
    inputs: {number: [fastest.number, faster.number, fast.number]}
    batch: {size: 3}
  collect: {type: "toys:Collect", inputs: {number: batches.number}}
"""


def batches(out: Path) -> list[Counter[str]]:
    return [Counter(line.split()) for line in (out / "batches.txt").read_text().splitlines()]


def test_every_stream_has_its_place_in_every_batch_while_all_have_something(tmp_path: Path) -> None:
    result = run_text(THREE, tmp_path)
    assert (result.exit_code, result.report.reported["batch"]) == (0, 3)
    found = batches(tmp_path)
    assert sum(batch.total() for batch in found) == 360
    even = sum(batch == Counter(("fast", "faster", "fastest")) for batch in found)
    assert even > 0.9 * len(found)


def test_a_live_batch_closes_at_its_deadline(tmp_path: Path) -> None:
    live = [f"{name}.params.live=true" for name in ("fast", "faster", "fastest")]
    counts = [f"{name}.params.count=8" for name in ("fast", "faster", "fastest")]
    slow = ["fast.params.interval_ms=60", "faster.params.interval_ms=60"]
    result = run_text(
        THREE, tmp_path, *live, *counts, *slow, "batches.batch={size: 16, wait_ms: 5}"
    )
    assert result.exit_code == 0
    assert len(batches(tmp_path)) > 6  # 24 numbers would fit into two


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_of_all_sizes_bring_every_number(tmp_path: Path, workers: int) -> None:
    sets = ["batches.batch.size=7", f"batches.workers={workers}"]
    result = run_text(THREE, tmp_path, *sets)
    assert [b.account.results for b in result.report.balances] == [120, 120, 120]
    assert all(balance.holds for balance in result.report.balances)


def test_the_report_says_what_frames_cost_in_each_node(tmp_path: Path) -> None:
    report = run_text(THREE, tmp_path, "batches.params.work_ms=2").report
    assert set(report.cpu_s) == {"fast", "faster", "fastest", "batches", "collect"}
    assert 360 * 0.002 * 0.8 < report.cpu_s["batches"] < 360 * 0.02
    assert report.cpu_s["collect"] < report.cpu_s["batches"]
