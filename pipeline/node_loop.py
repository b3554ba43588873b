"""The loop of a node with inputs: it moves items between sockets, join and work.

poll sockets -> inlets -> join -> steps -> executor (the node's code) -> outbox -> outlets
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable

from pipeline.calls import Calls, Settled
from pipeline.graph import Edge, Graph, JoinRule, NodeSpec, Policy
from pipeline.join import Batcher, EachJoin, End, ExactJoin, Miss, Step, Work
from pipeline.loop import POLL_MS, Control, Loop
from pipeline.messages import Item, Kind, Message
from pipeline.node import memory_of
from pipeline.ports import input_ports
from pipeline.stats import age_ms
from pipeline.transport import Inlet, Wiring
from pipeline.work import InlineExecutor, PoolExecutor


class NodeLoop(Loop):
    """The loop of a node with inputs."""

    def __init__(self, spec: NodeSpec, graph: Graph, wiring: Wiring, control: Control) -> None:
        super().__init__(spec, graph, wiring, control)
        edges = [edge for edge in graph.edges if edge.consumer == spec.name]
        ports = input_ports(spec.node_class)
        self._is_joined = len(spec.inputs) > 1 and spec.join is not JoinRule.NONE
        self._port = "+".join(spec.inputs) if self._is_joined else ""
        self._keeps_newest = self._is_joined and spec.join is JoinRule.LATEST
        self._join = self._make_join(edges, [p for p, port in ports.items() if port.optional])
        self._batcher = Batcher(spec.batch.size)
        self._batch_closes_at: float | None = None
        self._waits_for_batch = not any(edge.policy is Policy.LATEST for edge in graph.edges)
        self._steps: deque[list[Work] | Miss | End] = deque()
        self._open_streams = {stream for edge in edges for stream in edge.streams}
        if isinstance(self._join, ExactJoin):
            self._open_streams = set(self._join.streams)
        answers_all = self._is_joined or len(spec.inputs) == 1
        self._calls = Calls(spec, self.node, port=self._port, passes_misses=answers_all)
        self._inlets = [self._make_inlet(edge, ports[edge.input].message, wiring) for edge in edges]
        self._turns = deque(self._inlets)
        pooled = spec.workers > 1 or self._keeps_newest
        self._executor: InlineExecutor | PoolExecutor = (
            PoolExecutor(spec.name, spec.workers, self.watch, self.wake)
            if pooled
            else InlineExecutor(self.watch)
        )
        self.helpers = self._executor.threads

    def _make_join(self, edges: list[Edge], optional: Iterable[str]) -> EachJoin | ExactJoin:
        if not self._is_joined:
            return EachJoin({edge.name: edge.streams for edge in edges})
        return ExactJoin(self._streams_of_ports(edges), optional)

    @staticmethod
    def _streams_of_ports(edges: list[Edge]) -> dict[str, set[str]]:
        streams: dict[str, set[str]] = {}
        for edge in edges:
            streams.setdefault(edge.input, set()).update(edge.streams)
        return streams

    def _make_inlet(self, edge: Edge, message: type[Message], wiring: Wiring) -> Inlet:
        on_idle = edge.policy is Policy.LATEST and not self._is_joined
        inlet = Inlet(edge, {message.__name__: message}, wiring, on_idle=on_idle)
        self._switchboard.listen(inlet.socket, inlet.receive)
        return inlet

    def _work(self) -> None:
        wanted = self.outlets.settle(memory_of(self.spec.node_class) or 0)
        for inlet in self._inlets:
            inlet.connect(wanted)
        while self._open_streams or not self._is_quiet():
            self._advance()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._follow_producers()  # they may wait for this node's hello until its bye
            self._poll(POLL_MS)

    def _leave(self) -> None:
        for inlet in self._inlets:
            inlet.leave()

    def _end_work(self) -> None:
        self._executor.close()

    def _is_quiet(self) -> bool:
        return self._executor.is_idle and not self._steps and not self._outbox

    def _advance(self) -> None:
        """Do what can be done without waiting; if nothing can, grant credit and wait."""
        self._heed_stop()
        self._follow_producers()
        moved = self._send_outbox()
        for where, item in self._executor.results() if not self._outbox else ():
            self._deliver(where, item)
            moved = True
        moved |= self._take_items()
        moved |= self._start_work()
        self._grant_credit()
        self.stats.queued = sum(len(inlet.receiver.queue) for inlet in self._inlets)
        if not moved:
            self._poll(self._patience_ms())

    def _follow_producers(self) -> None:
        """Connect again to producers whose process was started again."""
        for inlet in self._inlets:
            if inlet.is_stale:
                self._switchboard.forget(inlet.socket)
                inlet.reconnect()
                self._switchboard.listen(inlet.socket, inlet.receive)

    def _grant_credit(self) -> None:
        idle = self._executor.has_room and not self._steps and not self._outbox
        for inlet in self._inlets:
            inlet.grant(idle=idle, held=self._join.held[inlet.edge.name])

    def _patience_ms(self) -> int:
        if self._batch_closes_at is None:
            return POLL_MS
        left_ms = math.ceil((self._batch_closes_at - time.monotonic()) * 1e3)
        return min(POLL_MS, max(0, left_ms))

    # ------------------------------------------------------------------ items in

    def _take_items(self) -> bool:
        """Turn received items into steps: as many as there is room for, all if the newest wins."""
        taken = False
        while (self._keeps_newest or not self._steps) and (inlet := self._next_inlet()):
            item = inlet.receiver.take()
            for step in self._join.add(inlet.edge.name, inlet.edge.input, item):
                self._add_step(step)
            taken = True
        return taken | self._close_late_batch()

    def _next_inlet(self) -> Inlet | None:
        """Return the next inlet with items, in turn: a busy stream fills no batch by itself."""
        for _ in self._inlets:
            inlet = self._turns[0]
            self._turns.rotate(-1)
            if inlet.receiver.queue:
                return inlet
        return None

    def _add_step(self, step: Step) -> None:
        if self._keeps_newest and isinstance(step, Work):
            self._supersede(step.key.stream)
        was_open = self._batcher.is_open
        self._steps += self._batcher.add(step)
        if not self._batcher.is_open:
            self._batch_closes_at = None
        elif not was_open and not self._waits_for_batch:
            self._batch_closes_at = time.monotonic() + self.spec.batch.wait_ms / 1e3

    def _supersede(self, stream: str) -> None:
        """Drop the set of this stream that nobody has begun to process."""
        for index, step in enumerate(self._steps):
            if isinstance(step, list) and step[0].key.stream == stream:
                gap = step[0].key.as_gap(f"dropped: {self.spec.name} was busy")
                self._steps[index] = Miss(self._port, gap)

    def _close_late_batch(self) -> bool:
        if self._batch_closes_at is None or time.monotonic() < self._batch_closes_at:
            return False
        self._batch_closes_at = None
        self._steps += self._batcher.close()
        return True

    # ------------------------------------------------------------------ work

    def _start_work(self) -> bool:
        started = False
        while self._steps and self._executor.has_room and not self._outbox:
            step = self._steps.popleft()
            self._executor.submit(*self._calls.job(step))
            started = True
        return started

    # ------------------------------------------------------------------ items out

    def _deliver(self, where: str | Settled, item: Item) -> None:
        """Send an item to an output, or note in the ledger that its key is settled."""
        if isinstance(where, str):
            self._post(where, item)
            self._send_outbox()
        elif item.kind is Kind.EOS:
            self._post_end(item.stream, item.reason)
            self._open_streams.discard(item.stream)
        elif item.kind is Kind.DATA:
            account = self.stats.account(where.port, item.stream)
            account.results += 1
            account.latency.add(age_ms(item))
        else:
            self.stats.account(where.port, item.stream).miss(item)
