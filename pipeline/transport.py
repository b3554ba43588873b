"""The ZeroMQ carrier of links: references within a process, multipart messages between processes.

Each node owns one ROUTER (`Outlets`), bound once for its own process and once for the others; each
link has a DEALER (`Inlet`) at its consumer, which connects and speaks first. The routing id of the
DEALER is the name of the link, "#", and how often its process was started again. A message on the
socket is one byte that says what it is, and:

    H hello    msgpack of `Hello`: who asks, for which link of which run, and what it has
    W welcome  nothing
    R refused  the reason
    C credit   a number
    D data     an item as wire parts (pipeline/wire.py)
    S shared   the same, large arrays by handles (pipeline/parcels.py)
    T token    nothing: items of the same process lie in `Loans`, where there were none before
    B bye      nothing: the consumer has all it wants

A port of tcp is open to strangers: there ZeroMQ itself asks for the secret of the run (PLAIN, RFC
24) or for keys (CURVE), before it takes any message.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import zmq

from pipeline.graph import Edge
from pipeline.history import Position
from pipeline.links import LinkError, Receiver
from pipeline.messages import Message
from pipeline.outlets import CREDIT_BYTES, Hello, Outlets
from pipeline.parcels import Unpacker
from pipeline.shared_memory import UnreadableError
from pipeline.wire import WireError
from pipeline.wiring import Wiring, has_message

__all__ = ["Inlet", "Outlets", "Wiring"]

CUT_S = 10.0  # what the watch over a process gets to name the death of a producer


class Inlet:
    """The consumer's end of one link, on one DEALER."""

    def __init__(
        self, edge: Edge, messages: Mapping[str, type[Message]], wiring: Wiring, *, on_idle: bool
    ) -> None:
        self.edge = edge
        self.receiver = Receiver(1 if on_idle else edge.window, on_idle=on_idle)
        self._messages = messages
        self._wiring = wiring
        self._open()

    def connect(self, position: Position | None = None) -> None:
        """Connect to the producer and say hello.

        position: where to go on, for a consumer that was started again.
        """
        if position is not None:
            self.receiver.begin(position)
        self._connect(position or Position())

    def reconnect(self) -> None:
        """Connect to a producer that was started again; what it sends goes on where it ended."""
        self._unpacker.close()
        self._open()
        self._connect(self.receiver.lose_producer())

    @property
    def is_stale(self) -> bool:
        """Whether the producer was started again since `connect`.

        Raises:
            LinkError: its memory cannot be read, though it lives.
        """
        if self._cut and time.monotonic() - self._cut[0] > CUT_S:
            raise LinkError(self._cut[1])
        if self._producer_number is None:  # not connected yet
            return False
        return self._producer_number != self._wiring.incarnations.get(self.edge.producer, 0)

    def _open(self) -> None:
        self._producer_number: int | None = None
        self._cut: tuple[float, str] | None = None  # since when, and why, nothing can be read
        producer = self.edge.producer
        self._unpacker = Unpacker(
            self._messages,
            shares_memory=self._wiring.shares_memory_with(producer),
            is_far=self._wiring.is_far(producer),
        )
        self.socket = self._wiring.open_inlet(producer)
        routing_id = f"{self.edge.name}#{self._wiring.incarnation}"
        self.socket.setsockopt(zmq.ROUTING_ID, routing_id.encode())

    def _connect(self, position: Position) -> None:
        endpoint, self._producer_number = self._wiring.find(self.edge.producer)
        if endpoint.startswith("tcp:"):
            self._wiring.show_secret(self.socket)
        self.socket.connect(endpoint)
        credit = self.receiver.credit_due(idle=not self.receiver.on_idle)
        hello = Hello(self._wiring.run, self.edge.name, credit, position)
        self.socket.send_multipart([b"H", msgspec.msgpack.encode(hello)])

    def receive(self) -> None:
        """Take everything that the producer has sent into the receiver's queue.

        Raises:
            LinkError: the producer refused, or broke the protocol.
        """
        while has_message(self.socket):
            kind, *parts = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            self._hear(kind.bytes, parts)

    def grant(self, *, idle: bool, held: int) -> None:
        """Send the credit that is due; `held` items of this link wait in a join."""
        credit = self.receiver.credit_due(idle=idle, held=held)
        if credit:
            self._say(b"C", credit.to_bytes(CREDIT_BYTES, "little"))

    def leave(self) -> None:
        """Say bye: all streams have ended."""
        self._say(b"B")
        self._unpacker.close()

    def _say(self, *parts: bytes) -> None:
        with suppress(zmq.Again):  # the producer is gone; whoever watches it ends the run
            self.socket.send_multipart(parts, zmq.NOBLOCK)

    def _hear(self, kind: bytes, parts: list[zmq.Frame]) -> None:
        if kind == b"W":
            return
        if kind == b"T":
            for number, item in self._wiring.loans.redeem(self.edge.name):
                self.receiver.accept(number, item)
        elif kind in (b"D", b"S"):
            self._accept_parts(kind, parts)
        elif kind == b"R":
            raise LinkError(f"{self.edge.name} was refused: {parts[0].bytes.decode()}")
        else:
            raise LinkError(f"{self.edge.name}: unknown message {kind!r}")

    def _accept_parts(self, kind: bytes, parts: list[zmq.Frame]) -> None:
        if self._cut:
            return
        try:
            item, number = self._unpacker.unpack(kind, [part.buffer for part in parts])
        except UnreadableError as error:
            if not self.edge.may_resume:
                raise LinkError(f"{self.edge.name}: {error}") from error
            self._cut = time.monotonic(), f"{self.edge.name}: {error}"
        except WireError as error:
            raise LinkError(f"{self.edge.name}: {error}") from error
        else:
            self.receiver.accept(number, item)
