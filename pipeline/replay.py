"""What a producer keeps for a consumer that is started again, as pure code.

On a `lossless` link it keeps the items themselves and sends them again, so that nothing is lost and
nothing comes twice; on a `latest` link it keeps their keys, and declares their loss.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from pipeline.history import Position
from pipeline.messages import Item, Kind


class ReplayError(Exception):
    """What a node needs to go on is not there any more."""


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
