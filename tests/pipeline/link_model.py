"""A model of a running graph: links with windows, joins, batches and workers, without any time.

Every step is chosen at random by the test, so that nodes may be as slow or as fast as they like.
Nothing else is shared with the engine than the links and their windows.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.graph import Edge, NodeSpec

Key = tuple[str, int]
END = -1  # stands for the number of the key that ends a stream; needs no room on a link


@dataclass
class Link:
    edge: Edge
    queue: deque[Key] = field(default_factory=deque)
    held: int = 0

    @property
    def has_room(self) -> bool:
        return sum(number != END for _, number in self.queue) + self.held < self.edge.window


@dataclass
class Runner:
    spec: NodeSpec
    into: list[Link]
    out: list[Link]
    left: dict[str, int]
    outbox: deque[tuple[Link, Key]] = field(default_factory=deque)
    waiting: dict[str, dict[str, deque[Key]]] = field(default_factory=dict)
    gathered: list[Key] = field(default_factory=list)
    steps: deque[list[Key]] = field(default_factory=deque)
    works: deque[list[Key]] = field(default_factory=deque)
    done: list[Key] = field(default_factory=list)

    def moves(self) -> Iterator[str]:
        if self.outbox and (self.outbox[0][1][1] == END or self.outbox[0][0].has_room):
            yield "send"
        if self.left and not self.outbox:
            yield "start stream"
        if not self.steps and any(link.queue for link in self.into):
            yield "take"
        if self.steps and len(self.works) < self.spec.workers and not self.outbox:
            yield "work"
        if self.works and not self.outbox:
            yield "finish"

    def move(self, name: str, random: random.Random) -> None:
        if name == "send":
            link, key = self.outbox.popleft()
            link.queue.append(key)
        elif name == "start stream":
            stream = self.spec.name
            count, self.left[stream] = self.left[stream], self.left[stream] - 1
            self.post([(stream, count if count else END)])
            if not count:
                self.left.clear()
        elif name == "take":
            self.take(random.choice([link for link in self.into if link.queue]))
        elif name == "work":
            self.works.append(self.steps.popleft())
        else:
            self.post(self.works.popleft())

    def take(self, link: Link) -> None:
        key = link.queue.popleft()
        for complete in self.join(link, key) if self.spec.is_joined else [key]:
            if complete[1] != END:
                self.gathered.append(complete)
            if len(self.gathered) == self.spec.batch.size or (complete[1] == END and self.gathered):
                self.steps.append(self.gathered)
                self.gathered = []
            if complete[1] == END:
                self.steps.append([complete])

    def join(self, link: Link, key: Key) -> Iterator[Key]:
        others = [e for e in self.into if key[0] in e.edge.streams]
        if {e.edge.input for e in others} != {e.edge.input for e in self.into}:
            return  # a stream that some input does not carry
        queues = self.waiting.setdefault(key[0], {e.edge.name: deque() for e in others})
        queues[link.edge.name].append(key)
        link.held += key[1] != END
        while all(queues.values()):
            heads = {name: queue.popleft() for name, queue in queues.items()}
            assert len(set(heads.values())) == 1, heads
            for other in others:
                other.held -= key[1] != END and heads[other.edge.name][1] != END
            yield next(iter(heads.values()))

    def post(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.done.append(key)
            self.outbox += [(link, key) for link in self.out if key[0] in link.edge.streams]


def run_model(
    specs: Mapping[str, NodeSpec], edges: Iterable[Edge], count: int, random: random.Random
) -> dict[str, list[Key]]:
    """Run until nothing can move any more, and return the keys that each node has finished."""
    links = [Link(edge) for edge in edges]
    runners = [
        Runner(
            spec,
            [link for link in links if link.edge.consumer == name],
            [link for link in links if link.edge.producer == name],
            {name: count} if spec.is_source else {},
        )
        for name, spec in specs.items()
    ]
    while True:
        if random.random() < 0.1:
            random.shuffle(runners)  # who comes first moves until it can move no more
        runner, moves = next(((r, m) for r in runners if (m := list(r.moves()))), (None, []))
        if runner is None:
            return {r.spec.name: r.done for r in runners}
        runner.move(random.choice(moves), random)
