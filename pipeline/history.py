"""What the consumer of a link has of it, and so where a link goes on after a restart; pure code.

Each consumer notes the last keys that came by a link (`History`), and says so in its hello
(`Position`). A producer that was started again goes on behind them. What a node in the middle wants
of its own producers follows from what its consumers have (`settle`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, NamedTuple

import msgspec

from pipeline.messages import Item, Kind

RECENT = 32  # keys of each stream that a consumer remembers
MAX_MEMORY = 16  # messages that the nodes of one group may look back over, together

Keys = dict[str, list[int]]
"""Stream -> seqs of its last keys, oldest first."""


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer has, and what it wants next.

    A recorder that has the keys 0 to 9 of stream `a` says `have = {a: [..., 8, 9]}`, `totals = {a:
    [..., 9, 10]}`. A matcher before it, started again, needs one message more: with `back = 1` it
    wants key 9 again, and lets nothing of it pass to the recorder.
    """

    number: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Number on the link of the next item."""
    keys: dict[str, int] = {}
    """Stream -> keys that came by the link."""
    have: Keys = {}
    """The last keys for which nothing more is to be done."""
    totals: Keys = {}
    """Stream -> keys from its beginning to each of `have`; the same on all links."""
    messages: dict[str, list[bool]] = {}
    """Stream -> whether each of `have` surely was a message; all were, where nothing is said."""
    back: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Messages before the end of `have` that are wanted again, to build up a node's memory."""
    ended: list[str] = []
    """Streams of which nothing is wanted."""

    def wants_after(self, stream: str) -> int | None:
        """Return the last seq of a stream that is not wanted; None where all of it is."""
        count = self.settled(stream)
        return self.have[stream][count - 1] if count else None

    def settled(self, stream: str) -> int:
        """Return how many of `have` are not wanted again, from its beginning on."""
        count, back = len(self.have.get(stream, [])), self.back
        is_message = self.messages.get(stream) or [True] * count
        while back and count:
            count -= 1
            back -= is_message[count]
        return count

    def total(self, stream: str) -> int:
        """Return the keys of a stream from its beginning to the end of `have`."""
        return self.totals.get(stream, [0])[-1]

    def total_before(self, item: Item) -> int:
        """Return the keys of a stream before the first item that is sent from here on."""
        pairs = zip(self.have.get(item.stream, []), self.totals.get(item.stream, []), strict=True)
        return max((total for seq, total in pairs if seq < item.seq), default=0)

    def rest_of(self, item: Item, before: int) -> Item | None:
        """Return an item, or what is wanted of it: nothing if it is there, the end of a GAP.

        before: keys of its stream before the item.
        """
        if item.stream in self.ended:
            return None
        if item.kind is Kind.GAP:
            return self._rest_of_gap(item, before)
        after = self.wants_after(item.stream)
        is_wanted = item.kind is Kind.EOS or after is None or item.seq > after
        return item if is_wanted else None

    def _rest_of_gap(self, item: Item, before: int) -> Item | None:
        after = self.have.get(item.stream, [-1])[-1]  # a GAP builds up no memory
        if item.seq > after:
            return item
        if item.last <= after:
            return None
        there = self.total(item.stream) - before
        return replace(item, seq=after + 1, count=item.count - there)


class _Key(NamedTuple):
    """A key that came: keys of its stream up to it, and whether it brought a message."""

    seq: int
    total: int
    is_message: bool


class History:
    """The consumer's record of a link.

    base: what was settled before, by a process that died, and what this one wanted of it again.
    """

    def __init__(self, base: Position) -> None:
        self.keys: Counter[str] = Counter()
        self._recent: dict[str, deque[_Key]] = {}
        self._again: dict[str, deque[_Key]] = {}  # wanted again, not come yet
        self._ended: list[str] = []
        for stream, have in base.have.items():
            is_message = base.messages.get(stream) or [True] * len(have)
            keys = list(map(_Key, have, base.totals[stream], is_message))
            self._recent[stream] = deque(keys[: base.settled(stream)], RECENT)
            self._again[stream] = deque(keys[base.settled(stream) :])

    def note(self, item: Item) -> None:
        """Note an item that came."""
        if item.kind is Kind.EOS:
            self._ended.append(item.stream)
            return
        self.keys[item.stream] += item.count
        recent = self._recent.setdefault(item.stream, deque(maxlen=RECENT))
        last = item.last if item.kind is Kind.GAP else item.seq
        again = self._again.get(item.stream)
        while again and again[0].seq <= last:
            key = again.popleft()
            if key.seq < item.seq:  # nobody could send it again
                recent.append(key)
        total = (recent[-1].total if recent else 0) + item.count
        recent.append(_Key(last, total, item.kind is Kind.DATA))

    def position(self, number: int) -> Position:
        """Return what to tell a producer that was started again."""
        recent = {stream: keys for stream, keys in self._recent.items() if keys}
        return Position(
            number,
            dict(self.keys),
            have={stream: [key.seq for key in keys] for stream, keys in recent.items()},
            totals={stream: [key.total for key in keys] for stream, keys in recent.items()},
            messages={stream: [key.is_message for key in keys] for stream, keys in recent.items()},
            ended=list(self._ended),
        )


def settle(positions: Iterable[tuple[Position, Iterable[str]]], memory: int) -> Position:
    """Return what a node wants of its producers, given what its consumers have.

    Args:
        positions: of each outgoing link, with the streams that it carries.
        memory: how many earlier messages the node's results depend on.
    """
    wanting: dict[str, list[Position]] = {}
    done: dict[str, list[Position]] = {}
    back = 0
    for position, streams in positions:
        back = max(back, position.back)
        for stream in streams:
            found = done if stream in position.ended else wanting
            found.setdefault(stream, []).append(position)
    last = {
        stream: min(found, key=lambda p: p.have.get(stream, [])[-1:])
        for stream, found in (done | wanting).items()
    }
    return Position(
        have={stream: p.have[stream] for stream, p in last.items() if stream in p.have},
        totals={stream: p.totals[stream] for stream, p in last.items() if stream in p.totals},
        messages={s: p.messages[s] for s, p in last.items() if s in p.messages},
        back=back + memory,
    )
