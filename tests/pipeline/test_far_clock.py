"""Ages of what comes from another machine."""

from pipeline.far_clock import WINDOW_NS, FarClock

AHEAD_NS = 5_000_000_000_000
MS = 10**6


def test_the_quickest_message_tells_the_difference_of_two_clocks() -> None:
    clock = FarClock()
    for way_ns in (9 * MS, 1 * MS, 30 * MS):
        sent_ns, now_ns = AHEAD_NS + 50 * MS, 50 * MS + way_ns
        found = clock.to_local(AHEAD_NS + 20 * MS, sent_ns, now_ns)
    assert found == 21 * MS  # 20 ms, and the way of the quickest


def test_a_clock_that_drifts_is_followed() -> None:
    clock, drift = FarClock(), 0
    for second in range(600):
        drift = second * 50_000  # 50 parts in a million
        now_ns = second * 10**9
        found = clock.to_local(now_ns - drift - 5 * MS, now_ns - drift, now_ns)
    assert abs(found - (now_ns - 5 * MS)) <= 2 * 50_000 * WINDOW_NS // 10**9


def test_no_time_remains_no_time() -> None:
    assert FarClock().to_local(0, AHEAD_NS, MS) == 0
