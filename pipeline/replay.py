"""How a link goes on after one of its ends was started again, as pure code.

Each consumer knows the last keys that came by a link (`History`), and says so in its hello. A
producer that was started again goes on behind them. A producer that lives on sends again what it
has kept for a consumer that was started again (`Kept`): on a `lossless` link the items themselves,
so that nothing is lost and nothing comes twice; on a `latest` link their loss is declared.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, NamedTuple

import msgspec

from pipeline.messages import Item, Kind

RECENT = 32  # keys of each stream that a consumer remembers
MAX_MEMORY = 16  # messages that the nodes of one group may look back over, together

Keys = dict[str, list[int]]
"""Stream -> seqs of its last keys, oldest first."""


class ReplayError(Exception):
    """What a node needs to go on is not there any more."""


class Position(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer has, and what it wants next."""

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


class Kept:
    """The producer's record of the last items of each stream on a link.

    Args:
        count: how many; 0 keeps nothing.
        with_messages: whether the items are kept themselves, or only their keys.
    """

    def __init__(self, count: int, *, with_messages: bool) -> None:
        self._count = count
        self._with_messages = with_messages
        self._items: dict[str, deque[tuple[Item, int]]] = {}  # each with the keys up to its end
        self._totals: dict[str, int] = {}
        self._begun = Position()
        self._forgotten: dict[str, int] = {}  # stream -> last seq that is not kept any more

    def begin(self, position: Position) -> None:
        """Go on counting where a consumer wants its producer to go on."""
        self._begun = position

    def note(self, item: Item) -> None:
        """Keep an item that is sent."""
        if not self._count:
            return
        if item.kind is not Kind.EOS:
            before = self._totals.get(item.stream, self._begun.total_before(item))
            self._totals[item.stream] = before + item.count
            item = item if self._with_messages else item.as_gap(item.reason)
        items = self._items.setdefault(item.stream, deque())
        if item.kind is Kind.GAP and items and items[-1][0].kind is Kind.GAP:
            item = merge([items.pop()[0], item], item.reason)
        items.append((item, self._totals.get(item.stream, 0)))
        while sum(i.kind not in (Kind.GAP, Kind.EOS) for i, _ in items) > self._count:
            gone = items.popleft()[0]  # GAPs need no credit, so that no window bounds their number
            self._forgotten[item.stream] = gone.last if gone.kind is Kind.GAP else gone.seq

    @property
    def streams(self) -> list[str]:
        """Return the streams that have begun."""
        return list(self._items)

    def after(self, position: Position) -> dict[str, list[Item]]:
        """Return by stream what its consumer has not got; from now on only that is kept.

        Raises:
            ReplayError: some of it is not kept any more.
        """
        found: dict[str, list[Item]] = {}
        for stream, items in self._items.items():
            after = self._start(position, stream)
            wanted = (_after(item, total, after, position) for item, total in items)
            found[stream] = [item for item in wanted if item is not None]
            rest = sum(i.count for i in found[stream] if i.kind is not Kind.EOS)
            self._totals[stream] = self._totals.get(stream, 0) - rest
        self._items = {}
        return found

    def _start(self, position: Position, stream: str) -> int:
        have = position.have.get(stream, [])
        wanted = position.wants_after(stream) if self._with_messages else None
        if not self._with_messages and have:
            wanted = have[-1]
        after = -1 if wanted is None else wanted
        if self._forgotten.get(stream, -1) > after:
            raise ReplayError(
                f"stream {stream!r} cannot be replayed from seq {after + 1}: what is kept begins "
                f"after {self._forgotten[stream]}"
            )
        return after


def _after(item: Item, total: int, after: int, position: Position) -> Item | None:
    """Return what is wanted of an item, which ends with the key number `total` of its stream."""
    if item.kind is not Kind.GAP:
        return item if item.kind is Kind.EOS or item.seq > after else None
    had = position.have.get(item.stream, [-1])[-1]  # a GAP builds up no memory
    if item.last <= had:
        return None
    rest = replace(item, seq=had + 1, count=total - position.total(item.stream))
    return item if item.seq > had else rest


def lost(items: Iterable[Item], reason: str) -> Item | None:
    """Return the GAP that stands for items of one stream which were lost, if there are any."""
    gaps = [item.as_gap(reason) for item in items if item.kind is not Kind.EOS]
    return merge(gaps, reason) if gaps else None


def merge(items: list[Item], reason: str) -> Item:
    """Return one GAP that covers all keys of `items`, which follow each other in one stream."""
    first, last = items[0], items[-1].as_gap(reason)
    return Item(
        Kind.GAP, first.stream, first.seq, first.stamp_ns, first.born_ns,
        reason=reason, count=sum(item.count for item in items), last=last.last,
    )  # fmt: skip


def in_order(found: Mapping[str, list[Item]]) -> list[Item]:
    """Return the items of several streams, the one that was released first first."""
    items = [item for stream in found.values() for item in stream]
    return sorted(items, key=lambda item: (item.kind is Kind.EOS, item.born_ns))
