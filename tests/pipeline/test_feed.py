"""Sources are paced by the engine: as recorded, at a rate, or not at all."""

import threading
import time

import pytest

from pipeline.feed import Pacer
from pipeline.messages import Item, Kind


def seconds(pace: str | float, stamps_ms: list[int]) -> float:
    pacer = Pacer(pace, threading.Event())
    started = time.monotonic()
    for seq, stamp in enumerate(stamps_ms):
        pacer.release(Item(Kind.DATA, "a", seq, stamp * 1_000_000))
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("pace", "stamps_ms", "expected"),
    [
        ("fastest", [0, 1000, 2000], 0.0),
        ("recorded", [500, 520, 600], 0.1),
        (50.0, [0, 0, 0, 0], 0.06),
    ],
)
def test_items_are_released_when_they_are_due(
    pace: str | float, stamps_ms: list[int], expected: float
) -> None:
    assert expected <= seconds(pace, stamps_ms) + 1e-3 < expected + 0.05


def test_hurry_ends_all_waiting() -> None:
    hurry = threading.Event()
    hurry.set()
    pacer = Pacer(0.01, hurry)
    started = time.monotonic()
    for seq in range(3):
        pacer.release(Item(Kind.DATA, "a", seq, 0))
    assert time.monotonic() - started < 0.5


def test_a_released_item_carries_the_time_of_its_release() -> None:
    before = time.monotonic_ns()
    item = Pacer("fastest", threading.Event()).release(
        Item(Kind.ERROR, "a", 3, 7, reason="damaged")
    )
    assert before <= item.born_ns <= time.monotonic_ns()
    assert (item.kind, item.seq, item.stamp_ns, item.reason) == (Kind.ERROR, 3, 7, "damaged")
