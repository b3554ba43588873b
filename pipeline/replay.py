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
from typing import Annotated

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
    totals: dict[str, int] = {}
    """Stream -> keys from its beginning to the end of `have`; the same on all links."""
    back: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Messages before the end of `have` that are wanted again, to build up a node's memory."""
    ended: list[str] = []
    """Streams of which nothing is wanted."""

    def wants_after(self, stream: str) -> int | None:
        """Return the last seq of a stream that is not wanted; None where all of it is."""
        have = self.have.get(stream, [])
        return have[-1 - self.back] if len(have) > self.back else None

    def rest_of(self, item: Item, base: Position) -> Item | None:
        """Return an item, or what is wanted of it: nothing if it is there, the end of a GAP.

        base: what the item's producer itself began after.
        """
        if item.stream in self.ended:
            return None
        if item.kind is Kind.GAP:
            return self._rest_of_gap(item, base)
        after = self.wants_after(item.stream)
        is_wanted = item.kind is Kind.EOS or after is None or item.seq > after
        return item if is_wanted else None

    def _rest_of_gap(self, item: Item, base: Position) -> Item | None:
        after = self.have.get(item.stream, [-1])[-1]  # a GAP builds up no memory
        if item.seq > after:
            return item
        if item.last <= after:
            return None
        ahead = self.totals.get(item.stream, 0) - base.totals.get(item.stream, 0)
        return replace(item, seq=after + 1, count=item.count - ahead)


class History:
    """The consumer's record of a link.

    base: keys of each stream that were settled before, by a process that died.
    """

    def __init__(self, base: Mapping[str, int]) -> None:
        self.keys: Counter[str] = Counter()
        self._base = base
        self._recent: dict[str, deque[int]] = {}
        self._ended: list[str] = []

    def note(self, item: Item) -> None:
        """Note an item that came."""
        if item.kind is Kind.EOS:
            self._ended.append(item.stream)
            return
        self.keys[item.stream] += item.count
        recent = self._recent.setdefault(item.stream, deque(maxlen=RECENT))
        recent.append(item.last if item.kind is Kind.GAP else item.seq)

    def position(self, number: int) -> Position:
        """Return what to tell a producer that was started again."""
        have = {stream: list(recent) for stream, recent in self._recent.items()}
        totals = {stream: self._base.get(stream, 0) + self.keys[stream] for stream in have}
        return Position(number, dict(self.keys), have, totals, 0, list(self._ended))


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
        self._items: dict[str, deque[Item]] = {}
        self._forgotten: dict[str, int] = {}  # stream -> last seq that is not kept any more

    def note(self, item: Item) -> None:
        """Keep an item that is sent."""
        if not self._count:
            return
        if not self._with_messages and item.kind is not Kind.EOS:
            item = item.as_gap(item.reason)
        items = self._items.setdefault(item.stream, deque())
        items.append(item)
        if len(items) > self._count:
            self._forgotten[item.stream] = items.popleft().seq

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
            found[stream] = [i for i in items if i.kind is Kind.EOS or i.seq > after]
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
