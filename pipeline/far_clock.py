"""The monotonic clock of another machine, in terms of this one's."""

from __future__ import annotations

WINDOW_NS = 60 * 10**9  # crystals drift apart by some ms in a minute


class FarClock:
    """Learns from messages how far another machine's clock is ahead.

    The quickest message of the last one to two minutes tells the difference, too large by the time
    that it took: ages of what comes from there are too small by that.
    """

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._offsets_ns: list[int] = []  # the smallest of the window before, and of this one

    def to_local(self, then_ns: int, sent_ns: int, now_ns: int) -> int:
        """Return a time of that clock by this one; 0, which stands for none, remains.

        sent_ns: when the message that names the time was sent, by that clock.
        now_ns: when it came, by this one.
        """
        if self._since_ns is None or now_ns - self._since_ns > WINDOW_NS:
            self._since_ns = now_ns
            self._offsets_ns = [*self._offsets_ns[-1:], now_ns - sent_ns]
        self._offsets_ns[-1] = min(self._offsets_ns[-1], now_ns - sent_ns)
        return then_ns + min(self._offsets_ns) if then_ns else 0
