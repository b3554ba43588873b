"""The status line says what goes in and out, while other threads go on counting."""

import gc
import sys
import threading
from collections.abc import Iterator

import pytest
from test_run import TWO

from pipeline import config
from pipeline.stats import NodeStats
from pipeline.status import status_line

GRAPH = config.load_text(TWO, "two.yaml")


@pytest.fixture
def fast_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_the_rate_out_is_that_of_all_streams_without_what_was_dropped() -> None:
    nodes = {name: NodeStats() for name in GRAPH.nodes}
    nodes["left"].captured["left"] = nodes["right"].captured["right"] = 40
    for stream in ("left", "right"):
        account = nodes["collect"].account("number", stream)
        account.results, account.skips, account.gaps = 9, 1, 30
    assert "in 40.0 out 10.0 fps" in status_line(GRAPH, nodes, 2.0)


def test_the_status_line_can_be_made_while_nodes_count(fast_switching: None) -> None:
    nodes = {name: NodeStats() for name in GRAPH.nodes}
    done = threading.Event()

    def count() -> None:
        for number in range(20_000):
            if number % 50 == 0:
                nodes["collect"].gauges.clear()
                nodes["collect"].accounts.clear()
            nodes["collect"].gauges[f"gauge{number}"] = 1.0
            nodes["collect"].account(f"port{number % 7}", f"stream{number}")
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        while not done.is_set():
            status_line(GRAPH, nodes, 1.0)
    finally:
        thread.join()


def test_a_gauge_that_comes_at_the_worst_moment_does_no_harm() -> None:
    """Another thread can run wherever a garbage collection has callbacks."""
    nodes = {name: NodeStats() for name in GRAPH.nodes}
    gauges = nodes["collect"].gauges
    gauges.update({f"gauge{number}": 1.0 for number in range(10_000)})

    def add(phase: str, info: dict[str, int]) -> None:
        gauges[f"late{len(gauges)}"] = 1.0

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    gc.callbacks.append(add)
    try:
        line = status_line(GRAPH, nodes, 1.0)
    finally:
        gc.callbacks.remove(add)
        gc.set_threshold(*threshold)
    assert "gauge9999 1" in line
    assert len(gauges) > 10_000
