"""The links of a graph, and how many messages each may hold so that no join can deadlock.

A producer waits as soon as one of its links is full. A link into a join is full once its window is
taken up by messages that wait for their counterparts on the other inputs. If these counterparts
were behind the waiting producer (in a batch that is not yet full, say) nothing would ever move.

The rule: **the window of a link into a join is greater than the number of keys that can be under
way to any other input.** Then waiting messages never fill it, so a join never makes a producer wait
for good; what else waits, waits for a node further on; and the last node on the way never waits.

Keys that have arrived by a link have passed the producer of that link and every node before it, for
outputs that meet in a join answer every key in order. On the way to another input a key can be, at
most:
- in the hands of the last of these nodes, from which the ways part, or of a node after it. A node
  holds one batch that is gathered, one batch for each worker (their results, if sent in part, are
  still that batch), and one key more that closed a batch;
- on a link between them: its window.
Of several ways to the same input the longest counts. Several streams may share a link, and one of
them can run ahead of the others as far as it likes, in a batch across streams for example; so the
sum over all streams of the link is taken.

A `latest` link or join on the way drops keys without bound instead of holding them. It makes no
producer wait, and announces the loss as soon as its consumer is free, which frees the join. (Two
streams that share their links into a join, each `latest` on the way on which the other is lossless,
could still wait for each other. Only policies written out for each link can say so.)
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.config.flow import Flow
from pipeline.graph import DEFAULT_WINDOW, Edge, InputRef, NodeSpec, Policy
from pipeline.node import Source


def link_nodes(flow: Flow) -> tuple[Edge, ...]:
    """Return the links of a checked graph, in the order in which data passes them."""
    return _Linker(flow).link()


class _Linker:
    """Links one node after the other, each after all that it takes from."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._into: dict[str, list[Edge]] = {}
        """Node -> the links into it."""
        self._passed: dict[tuple[str, str], set[str]] = {}
        """(node, stream) -> the nodes that a key has passed when it leaves the node."""

    def link(self) -> tuple[Edge, ...]:
        for name in self._flow.order:
            edges = self._links_into(self._flow.specs[name])
            for stream in self._flow.streams[name]:
                before = [self._passed[e.producer, stream] for e in edges if stream in e.streams]
                self._passed[name, stream] = {name}.union(*before)
            self._into[name] = edges
        return tuple(edge for edges in self._into.values() for edge in edges)

    def _links_into(self, spec: NodeSpec) -> list[Edge]:
        edges = [self._edge(spec, port, ref) for port, _, ref in spec.refs]
        if not spec.is_joined:
            return edges
        return [replace(edge, window=max(edge.window, self._lead(edge, edges))) for edge in edges]

    def _edge(self, spec: NodeSpec, port: str, ref: InputRef) -> Edge:
        policy = ref.policy or default_policy(self._flow.specs[ref.node])
        window = max(DEFAULT_WINDOW, spec.batch.size + spec.workers)
        if policy is Policy.LATEST and not spec.is_joined:
            window = spec.batch.size  # what waits in a window grows old
        wanted = self._flow.streams[spec.name]  # a join leaves out what some input does not carry
        streams = tuple(s for s in self._flow.streams[ref.node] if s in wanted)
        return Edge(ref.node, ref.output, spec.name, port, policy, window, streams)

    def _lead(self, edge: Edge, into: list[Edge]) -> int:
        """Return 1 more than the keys by which a link can be ahead of the others into its join."""
        lead = 1
        for stream in set(edge.streams) & set(self._flow.streams[edge.consumer]):
            keys = self._under_way(stream, self._passed[edge.producer, stream])
            lead += max(
                other.window + keys[other.producer]
                for other in into
                if other.input != edge.input and stream in other.streams
            )
        return lead

    def _under_way(self, stream: str, passed: set[str]) -> dict[str, int]:
        """Return for each node how many keys it and its way from the nodes passed can hold."""
        keys: dict[str, int] = {}
        for name, edges in self._into.items():
            spec = self._flow.specs[name]
            carrying = [e for e in edges if stream in e.streams and name not in passed]
            longest = max((e.window + keys[e.producer] for e in carrying), default=0)
            keys[name] = longest + spec.batch.size * (spec.workers + 1) + 1
        return keys


def default_policy(producer: NodeSpec) -> Policy:
    """Return the policy of a link that asks for none: a live source waits for nobody."""
    return Policy.LATEST if is_live(producer) else Policy.LOSSLESS


def is_live(spec: NodeSpec) -> bool:
    """Say whether a node is a source whose messages come by themselves, at a pace of their own."""
    if not issubclass(spec.node_class, Source):
        return False
    return spec.pace != "fastest" or spec.node_class(spec.params).live
