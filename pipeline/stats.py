"""The ledger: what every node took, made and dropped, and how long it took, as plain numbers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

import msgspec

from pipeline.messages import Item, Kind

_BUCKETS_PER_E = 50  # a bucket of the histogram is 2 % wide


class Histogram(msgspec.Struct):
    """Latencies in buckets of 2 %: bounded memory, mergeable."""

    buckets: dict[int, int] = {}

    def add(self, value_ms: float) -> None:
        """Count a value."""
        bucket = math.floor(math.log(max(value_ms, 1e-3)) * _BUCKETS_PER_E)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def percentile(self, percent: float) -> float | None:
        """Return a percentile in milliseconds, to 2 %; None without values."""
        remaining = sum(self.buckets.values()) * percent / 100
        for bucket in sorted(self.buckets):
            remaining -= self.buckets[bucket]
            if remaining <= 0:
                return math.exp((bucket + 0.5) / _BUCKETS_PER_E)
        return None


class Account(msgspec.Struct):
    """What became of the keys of one stream at one place."""

    results: int = 0
    skips: int = 0
    errors: int = 0
    gaps: int = 0
    latency: Histogram = msgspec.field(default_factory=Histogram)

    @property
    def total(self) -> int:
        """Return the number of keys."""
        return self.results + self.skips + self.errors + self.gaps

    def miss(self, item: Item) -> None:
        """Count keys that brought no message."""
        if item.kind is Kind.SKIP:
            self.skips += 1
        elif item.kind is Kind.ERROR:
            self.errors += 1
        else:
            self.gaps += item.count


class NodeStats(msgspec.Struct):
    """The numbers of one node, in a form that crosses processes."""

    is_finished: bool = False
    """Whether the node has done all it had to do."""
    captured: dict[str, int] = {}
    """Sources: keys released, by stream."""
    ended: dict[str, str] = {}
    """Streams that have ended here, and why ("" for their natural end)."""
    expected: int | None = None
    """Sources: keys to come in all, if known."""
    accounts: dict[str, dict[str, Account]] = {}
    """By input port (ports that are joined: "a+b") and stream."""
    dropped: dict[str, int] = {}
    """Keys dropped by each outgoing link."""
    queued: int = 0
    state: str = ""
    """What the node says of its own state, such as "signal lost"."""
    gauges: dict[str, float] = {}
    warnings: list[str] = []
    cpu_s: float = 0.0
    """CPU time that frames have taken in the node's own code, not in threads of libraries."""
    busy_s: float = 0.0
    busy_with: str = ""

    def after(self, earlier: NodeStats | None) -> NodeStats:
        """Return these numbers with those of an earlier process that ran the same node."""
        if earlier is None:
            return self
        links = self.dropped.keys() | earlier.dropped.keys()
        return msgspec.structs.replace(
            self,
            captured=self.captured or earlier.captured,
            expected=earlier.expected if self.expected is None else self.expected,
            ended=earlier.ended | self.ended,
            dropped={n: self.dropped.get(n, 0) + earlier.dropped.get(n, 0) for n in links},
            warnings=list(dict.fromkeys([*earlier.warnings, *self.warnings])),
            cpu_s=self.cpu_s + earlier.cpu_s,
        )

    def account(self, port: str, stream: str) -> Account:
        """Return the account of a stream at a port."""
        streams = self.accounts.setdefault(port, {})
        if stream not in streams:
            streams[stream] = Account()
        return streams[stream]


@dataclass
class Balance:
    """One line of the final table: every key that a source released, and what a sink made of it."""

    stream: str
    sink: str
    frames: int
    account: Account = field(default_factory=Account)

    @property
    def holds(self) -> bool:
        """Whether frames in = results + skips + errors + gaps."""
        return self.frames == self.account.total


def age_ms(item: Item) -> float:
    """Return how long ago the source released an item's key."""
    return (time.monotonic_ns() - item.born_ns) / 1e6
