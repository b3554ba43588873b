"""Live input against consumers that are too slow: results stay fresh, and every drop is counted."""

from pathlib import Path

import numpy as np
import pytest
from test_run import CHAIN, DIAMOND, PLACEMENTS, lines, run_text

PERIOD_MS, SERVICE_MS = 33, 100


def live_sets(seconds: float) -> list[str]:
    count = int(seconds * 1e3 / PERIOD_MS)
    return [
        "count.params.live=true", f"count.params.interval_ms={PERIOD_MS}", f"count.params.count={count}",
        f"relay.params.delay_ms={SERVICE_MS}", "collect.params.ages=true", "count.params.rows=4800",
    ]  # fmt: skip


@pytest.mark.parametrize("seconds", [5, pytest.param(60, marks=pytest.mark.long)])
@PLACEMENTS
def test_results_stay_fresh_behind_a_consumer_three_times_too_slow(
    tmp_path: Path, seconds: float, placement: str
) -> None:
    result = run_text(CHAIN, tmp_path, *live_sets(seconds), placement=placement)
    rows = [line.split() for line in lines(tmp_path)]
    results = [(int(seq), float(age)) for seq, _, age in (row for row in rows if len(row) == 3)]
    ages = np.array([age for _, age in results])
    third = len(ages) // 3
    assert np.percentile(ages, 99) <= SERVICE_MS + PERIOD_MS + 50
    assert abs(np.median(ages[-third:]) - np.median(ages[:third])) < PERIOD_MS
    dropped = sum(int(row[2]) for row in rows if len(row) > 3 and row[1] == "gap")
    assert len(results) + dropped == int(seconds * 1e3 / PERIOD_MS)
    (balance,) = result.report.balances
    assert (balance.account.results, balance.account.gaps) == (len(results), dropped)
    assert result.report.dropped == {"count.number>relay.number": dropped}
    assert len(results) >= 0.8 * seconds * 1e3 / SERVICE_MS


@PLACEMENTS
def test_a_diamond_behind_a_live_source_delivers_complete_sets_only(
    tmp_path: Path, placement: str
) -> None:
    result = run_text(DIAMOND, tmp_path, *live_sets(4), placement=placement)
    both = [line.split()[0] for line in lines(tmp_path, "other") if len(line.split()) == 3]
    frames = [line.split()[0] for line in lines(tmp_path) if len(line.split()) == 3]
    assert set(both) <= set(frames)
    assert len(both) >= 20
    (balance,) = result.report.balances
    assert balance.holds
    assert balance.account.gaps > 40


def test_a_slow_viewer_does_not_slow_the_others(tmp_path: Path) -> None:
    text = (
        DIAMOND
        + '  slow: {type: "toys:Collect", join: latest, inputs: {number: count.number, other: again.number}, params: {delay_ms: 200}}\n'
    )
    sets = ["count.params.live=true", "count.params.interval_ms=20", "count.params.count=150"]
    result = run_text(text, tmp_path, *sets)
    accounts = {b.sink: b.account for b in result.report.balances}
    assert accounts["collect.number+other"].results >= 140
    assert accounts["slow.number+other"].results <= 20
    assert all(b.holds for b in result.report.balances)


def test_a_live_batch_is_closed_by_its_deadline(tmp_path: Path) -> None:
    sets = [
        "count.params.live=true", "count.params.interval_ms=50", "count.params.count=20",
        "relay.batch.size=8", "relay.batch.wait_ms=5", "collect.params.ages=true",
    ]  # fmt: skip
    result = run_text(CHAIN, tmp_path, *sets)
    ages = [float(line.split()[2]) for line in lines(tmp_path)]
    assert len(ages) == 20
    assert np.median(ages) < 40
    assert result.report.state == "complete"
