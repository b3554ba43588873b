"""What the loops of all nodes share: opening, sending as far as credit goes, closing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.graph import Graph, NodeSpec
from pipeline.messages import Item, Kind
from pipeline.node import Node, Resources
from pipeline.polling import Switchboard, Wake
from pipeline.publishing import Publisher
from pipeline.stats import NodeStats
from pipeline.transport import Outlets, Wiring
from pipeline.work import Place, Watch, WorkError, run_watched

POLL_MS = 200  # how often an idle thread looks whether it should stop
HELPERS_S = 2.0  # what the helpers of a thread get to finish what they are at


class StoppedError(Exception):
    """The run was told to stop."""


@dataclass
class Control:
    """What the threads of one process share with whoever watches them."""

    stop: threading.Event = field(default_factory=threading.Event)
    """Everybody stops at once."""
    drain: threading.Event = field(default_factory=threading.Event)
    """Sources end their streams; the rest runs dry."""
    failures: list[tuple[str, WorkError]] = field(default_factory=list)
    """What failed first comes first."""

    def fail(self, node: str, error: WorkError) -> None:
        """Report a failure and stop."""
        self.failures.append((node, error))
        self.halt()

    def halt(self) -> None:
        """Stop everybody at once, also a source that waits for the time of its next frame."""
        self.stop.set()
        self.drain.set()


class Loop:
    """What the loops of sources and of all other nodes share: opening, sending, closing."""

    def __init__(self, spec: NodeSpec, graph: Graph, wiring: Wiring, control: Control) -> None:
        self.spec = spec
        self.graph = graph
        self.node: Node = spec.node_class(spec.params)
        published = {
            output: endpoint
            for output in spec.node_class.outputs
            if (endpoint := graph.publish.get(f"{spec.name}.{output}"))
        }
        self._publisher = Publisher(spec.name, published, wiring)
        self.stats = NodeStats()
        self.watch = Watch()
        self.wake = Wake(wiring.context, f"{wiring.run}/wake/{spec.name}")
        self.outlets = Outlets(
            spec.name, (e for e in graph.edges if e.producer == spec.name), wiring
        )
        self.thread: threading.Thread | None = None
        self.helpers: list[threading.Thread] = []
        """Threads that run the node's code beside its own."""
        self._control = control
        self._outbox: deque[tuple[str, Item]] = deque()  # (link, item), in order
        self._switchboard = Switchboard()
        self._switchboard.listen(self.outlets.socket, self.outlets.receive)
        self._switchboard.listen(self.wake.socket, self.wake.clear)

    def start(self, resources: Resources) -> None:
        """Begin to run in a thread of its own."""
        self.thread = threading.Thread(
            target=self._run, args=(resources,), name=self.spec.name, daemon=True
        )
        self.thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether a thread of this loop still runs."""
        own = [] if self.thread is None else [self.thread]
        return any(thread.is_alive() for thread in [*own, *self.helpers])

    def snapshot(self) -> NodeStats:
        """Return the numbers so far."""
        longest = self.watch.longest()
        self.stats.busy_s, self.stats.busy_with = (
            (longest[0], str(longest[1])) if longest else (0.0, "")
        )
        self.stats.cpu_s = self.watch.cpu_s
        self.stats.dropped = {
            name: sender.dropped.total() for name, sender in self.outlets.senders.copy().items()
        }
        return self.stats

    def _run(self, resources: Resources) -> None:
        try:
            self._watched("opening", lambda: self.node.open(resources))
            self._wait_until(lambda: self.outlets.is_connected)
            if not self.outlets.is_abandoned:  # else its process died when all was done here
                self._work()
                self._wait_until(lambda: self.outlets.is_drained and self.outlets.is_done)
                self._leave()
            self.stats.is_finished = True
        except StoppedError:
            pass
        except WorkError as error:
            self._control.fail(self.spec.name, error)
        except Exception as error:  # noqa: BLE001 (whatever it is ends the run)
            self._control.fail(self.spec.name, WorkError(Place("the engine"), error))
        finally:
            self._finish()

    def _work(self) -> None:
        raise NotImplementedError  # SourceLoop and NodeLoop differ in this

    def _leave(self) -> None:
        """Say bye to the producers: whoever takes from this node has all it wants."""

    def _finish(self) -> None:
        self._end_work()
        deadline = time.monotonic() + HELPERS_S
        for helper in self.helpers:
            helper.join(max(0.0, deadline - time.monotonic()))
        try:
            if not any(helper.is_alive() for helper in self.helpers):  # it would close under them
                self._watched("closing", self.node.close)
        except WorkError as error:
            self._control.fail(self.spec.name, error)
        self.discard()

    def discard(self) -> None:
        """Close all sockets."""
        self._switchboard.close()
        self._publisher.close()

    def _end_work(self) -> None:
        """Let the helpers end."""

    def _watched(self, doing: str, call: Callable[[], Any]) -> None:
        run_watched(self.watch, Place(doing), lambda: call() or ())

    def _poll(self, timeout_ms: int) -> None:
        """Hear what the sockets have to say, waiting at most `timeout_ms` for it."""
        self._heed_stop()
        self._switchboard.poll(timeout_ms)

    def _heed_stop(self) -> None:
        if self._control.stop.is_set():
            raise StoppedError

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._poll(POLL_MS)

    def _post(self, port: str, item: Item) -> None:
        """Put an item into the outbox, once for each link of the port that carries its stream."""
        self._publisher.publish(port, item)
        for link, edge in self.outlets.edges.items():
            if edge.output == port and item.stream in edge.streams:
                self._outbox.append((link, item))

    def _post_end(self, stream: str, reason: str) -> None:
        for port in self.spec.node_class.outputs:
            self._post(port, Item(Kind.EOS, stream, 0, 0, reason=reason))
        self.stats.ended[stream] = reason

    def _send_outbox(self) -> bool:
        """Send as far as credit goes; say whether anything was sent."""
        sent = False
        while self._outbox and self.outlets.can_offer(*self._outbox[0]):
            self.outlets.offer(*self._outbox.popleft())
            sent = True
        return sent
