"""The ledger counts every key once, and its histogram is true to 2 %."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import Item, Kind
from pipeline.stats import Account, Balance, Histogram, NodeStats


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_percentiles_are_true_to_2_percent(values: list[float], percent: int) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    truth = np.percentile(values, percent, method="inverted_cdf")
    assert histogram.percentile(percent) == pytest.approx(truth, rel=0.021)


def test_an_empty_histogram_has_no_percentile() -> None:
    assert Histogram().percentile(50) is None


def test_an_account_counts_each_kind_where_it_belongs() -> None:
    account = Account(results=4)
    account.miss(Item(Kind.SKIP, "a", 0, 0))
    account.miss(Item(Kind.ERROR, "a", 1, 0))
    account.miss(Item(Kind.BREAK, "a", 2, 0))
    account.miss(Item(Kind.GAP, "a", 3, 0, count=5, last=7))
    assert (account.results, account.skips, account.errors, account.gaps) == (4, 1, 1, 6)
    assert account.total == 12


def test_a_balance_holds_only_if_every_frame_is_accounted_for() -> None:
    assert Balance("a", "sink.pose", 3, Account(results=2, skips=1)).holds
    assert not Balance("a", "sink.pose", 4, Account(results=2, skips=1)).holds


def test_the_numbers_of_a_node_survive_the_way_between_processes() -> None:
    stats = NodeStats(captured={"a": 3}, expected=9)
    stats.account("pose", "a").results = 2
    stats.account("pose", "a").latency.add(12.0)
    again = msgspec.json.decode(msgspec.json.encode(stats), type=NodeStats)
    assert again == stats
    assert again.account("pose", "a").latency.percentile(50) == pytest.approx(12.0, rel=0.02)
