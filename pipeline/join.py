"""How the inputs of a node become steps of work: alignment by (stream, seq), and batches.

A step is one call of `process` (`Work`), a key without a message (`Miss`), or the end of a stream
(`End`). The steps of one stream keep its order.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.links import FREE, LinkError
from pipeline.messages import Item, Kind, Message


@dataclass(frozen=True, slots=True)
class Work:
    """One call of `process`: the inputs, and the item whose key and times the results inherit."""

    inputs: Mapping[str, Message | None]
    key: Item


@dataclass(frozen=True, slots=True)
class Miss:
    """A key (or, for a GAP, several) that brings no message on a port."""

    port: str
    item: Item


@dataclass(frozen=True, slots=True)
class End:
    """All inputs of a stream have ended."""

    item: Item


Step = Work | Miss | End


class EachJoin:
    """Every message is a step of its own; a stream ends when it has ended on every link."""

    def __init__(self, links: Mapping[str, Iterable[str]]) -> None:
        """`links`: the streams of each link."""
        self.held: Counter[str] = Counter()  # nothing ever waits here
        self._open: dict[str, set[str]] = {}
        for link, streams in links.items():
            for stream in streams:
                self._open.setdefault(stream, set()).add(link)

    def add(self, link: str, port: str, item: Item) -> Iterable[Step]:
        """Take an item from a link and return the steps that it completes."""
        if item.kind is Kind.EOS:
            self._open[item.stream].discard(link)
            return [] if self._open[item.stream] else [End(item)]
        if item.kind is Kind.DATA:
            return [Work({port: item.message}, item)]
        return [Miss(port, item)]


class ExactJoin:
    """Steps are the sets of all ports with equal (stream, seq).

    A key that a port answers with SKIP or BREAK is delivered as None where the port is optional;
    any other key that is not complete becomes a `Miss`. Streams that some port does not carry are
    left out.
    """

    def __init__(self, ports: Mapping[str, Iterable[str]], optional: Iterable[str] = ()) -> None:
        """`ports`: the streams that each port carries; `optional`: ports that may be None."""
        carried = [set(streams) for streams in ports.values()]
        self.streams = set.intersection(*carried)
        self.held: Counter[str] = Counter()
        """How many items of each link wait here, still occupying its window."""
        self._links: dict[tuple[str, str], str] = {}
        self._optional = frozenset(optional)
        self._queues: dict[str, dict[str, deque[Item]]] = {
            stream: {port: deque() for port in ports} for stream in self.streams
        }

    def add(self, link: str, port: str, item: Item) -> Iterable[Step]:
        """Take an item from a link and return the steps that it completes."""
        if item.stream not in self.streams:
            return []
        queues = self._queues[item.stream]
        queues[port].append(item)
        self._links[port, item.stream] = link
        self.held[link] += item.kind not in FREE
        steps: list[Step] = []
        while all(queues.values()):
            steps.append(self._next_step(queues))
        return steps

    def _next_step(self, queues: dict[str, deque[Item]]) -> Step:
        heads = {port: queue[0] for port, queue in queues.items()}
        if all(head.kind is Kind.EOS for head in heads.values()):
            return End(_take_heads(queues)[next(iter(queues))])
        if any(head.kind is Kind.EOS for head in heads.values()):
            ended = [port for port, head in heads.items() if head.kind is Kind.EOS]
            raise LinkError(f"stream ended on {', '.join(ended)} before the other inputs")
        if all(head.kind is Kind.GAP for head in heads.values()):
            return self._drop_common(queues, heads)
        return self._next_set(queues, heads)

    def _next_set(self, queues: dict[str, deque[Item]], heads: dict[str, Item]) -> Step:
        """Take the lowest key that is known on some port."""
        seq = min(head.seq for head in heads.values() if head.kind is not Kind.GAP)
        for port, head in heads.items():
            if head.seq > seq or (head.kind is Kind.GAP and head.last < seq):
                raise LinkError(f"{port} did not answer for seq {seq} of stream {head.stream}")
            if head.kind is Kind.GAP:
                _shorten(queues[port], 1, seq)
            else:
                queues[port].popleft()
                self.held[self._links[port, head.stream]] -= 1
        return self._settle(heads)

    def _settle(self, heads: dict[str, Item]) -> Step:
        known = [head for head in heads.values() if head.kind is not Kind.GAP]
        key = next((head for head in known if head.kind is Kind.DATA), known[0])
        for port, head in heads.items():
            may_miss = port in self._optional and head.kind in (Kind.SKIP, Kind.BREAK)
            if head.kind is Kind.GAP:
                return Miss(port, key.as_gap(head.reason))
            if head.kind is not Kind.DATA and not may_miss:
                return Miss(port, head)
        if key.kind is not Kind.DATA:
            return Miss(next(iter(heads)), key)
        return Work({port: head.message for port, head in heads.items()}, key)

    def _drop_common(self, queues: dict[str, deque[Item]], heads: dict[str, Item]) -> Step:
        """Drop the keys that every port has lost: those of the gap that ends first."""
        port, first = min(heads.items(), key=lambda head: head[1].last)
        for queue in queues.values():
            _shorten(queue, first.count, first.last)
        return Miss(port, first)


def _take_heads(queues: dict[str, deque[Item]]) -> dict[str, Item]:
    return {port: queue.popleft() for port, queue in queues.items()}


def _shorten(queue: deque[Item], count: int, up_to: int) -> None:
    """Take `count` keys up to seq `up_to` off the gap at the head of a queue."""
    gap = queue.popleft()
    if gap.count > count:
        queue.appendleft(replace(gap, seq=up_to + 1, count=gap.count - count))


class Batcher:
    """Gathers steps of work into batches of at most `size`; any other step closes the batch."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._works: list[Work] = []

    def add(self, step: Step) -> list[list[Work] | Miss | End]:
        """Take a step and return what is now complete, in order."""
        if isinstance(step, Work):
            self._works.append(step)
            return self.close() if len(self._works) >= self.size else []
        return [*self.close(), step]

    def close(self) -> list[list[Work] | Miss | End]:
        """Return the batch gathered so far, if there is one."""
        works, self._works = self._works, []
        return [works] if works else []

    @property
    def is_open(self) -> bool:
        """Whether a batch has begun and waits for more."""
        return bool(self._works)
