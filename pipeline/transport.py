"""The ZeroMQ carrier of links: references within a process, multipart messages between processes.

Each node owns one ROUTER (`Outlets`), bound once for its own process and once for the others; each
link has a DEALER (`Inlet`) at its consumer, which connects and speaks first. The routing id of the
DEALER is the name of the link. A message on the socket is one byte that says what it is, and:

    H hello    msgpack of `Hello`: who asks, for which link of which run
    W welcome  nothing
    R refused  the reason
    C credit   a number
    D data     an item as wire parts (pipeline/wire.py)
    S shared   the same, large arrays by handles (pipeline/parcels.py)
    T token    nothing: items of the same process lie in `Loans`, where there were none before
    B bye      nothing: the consumer has all it wants
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from contextlib import suppress

import msgspec
import numpy as np
import numpy.typing as npt
import zmq

from pipeline.graph import Edge
from pipeline.links import LinkError, Receiver, Sender
from pipeline.messages import Item, Message
from pipeline.parcels import ZERO_COPY_BYTES, Packer, Parts, Unpacker
from pipeline.wire import WireError
from pipeline.wiring import Wiring, has_message

__all__ = ["Inlet", "Outlets", "Wiring"]


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer says first: the secret of the run (and so of its graph), and its credit."""

    run: str
    link: str
    credit: int


class Outlets:
    """All output links of one node, on one ROUTER."""

    def __init__(self, node: str, edges: Iterable[Edge], wiring: Wiring) -> None:
        self.edges = {edge.name: edge for edge in edges}
        self.senders = {name: Sender(edge.policy) for name, edge in self.edges.items()}
        self._wiring = wiring
        remote = [edge for edge in self.edges.values() if edge.consumer not in wiring.local]
        self._packer = Packer(remote, shares_memory=wiring.shares_memory)
        self._missing = set(self.edges)  # links whose consumer has not said hello
        self._leaving = set(self.edges)  # links whose consumer has not said bye
        self.socket = wiring.open_outlet()
        self.socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.socket.bind(wiring.local_endpoint(node))

    def bind(self, endpoint: str) -> str:
        """Bind for other processes too; return the endpoint with its port filled in."""
        self.socket.bind(endpoint)
        return str(self.socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def can_offer(self, link: str, item: Item) -> bool:
        """Say whether a link takes the item now."""
        return self.senders[link].can_offer(item)

    def offer(self, link: str, item: Item) -> None:
        """Send an item on a link, or put it into its mailbox."""
        self.senders[link].offer(item)
        self._send(link)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """Return a new array for a message; it may be called from any thread."""
        return self._packer.empty(shape, dtype)

    def receive(self) -> None:
        """Take everything that consumers have said."""
        while has_message(self.socket):
            peer, kind, *rest = self.socket.recv_multipart(zmq.NOBLOCK)
            self._hear(peer, kind, rest)

    def close(self) -> None:
        """Give shared memory back; the socket is the switchboard's to close."""
        self._packer.close()

    @property
    def is_connected(self) -> bool:
        """Whether every consumer has said hello."""
        return not self._missing

    @property
    def is_done(self) -> bool:
        """Whether every consumer has said bye and nothing waits."""
        return not self._leaving

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits for credit."""
        return all(sender.is_drained for sender in self.senders.values())

    def _hear(self, peer: bytes, kind: bytes, rest: list[bytes]) -> None:
        link = peer.decode(errors="replace")
        if kind == b"H" and rest:
            self._welcome(peer, link, rest[0])
        elif link not in self.senders or link in self._missing:
            return  # a stranger: whoever has not said a valid hello has no say
        elif kind == b"C" and rest:
            self.senders[link].grant(int.from_bytes(rest[0], "little"))
            self._send(link)
        elif kind == b"B":
            self._leaving.discard(link)

    def _welcome(self, peer: bytes, link: str, data: bytes) -> None:
        try:
            hello = msgspec.msgpack.decode(data, type=Hello)
        except msgspec.MsgspecError as error:
            self.socket.send_multipart([peer, b"R", f"hello: {error}".encode()])
            return
        known = hello.link == link and link in self._missing
        if not known or not hmac.compare_digest(hello.run, self._wiring.run):
            self.socket.send_multipart([peer, b"R", b"this endpoint belongs to another run"])
            return
        self._missing.discard(link)
        self.socket.send_multipart([peer, b"W"])
        self.senders[link].grant(hello.credit)
        self._send(link)

    def _send(self, link: str) -> None:
        local = self.edges[link].consumer in self._wiring.local
        for number, item in self.senders[link].outgoing():
            try:
                if local:
                    if self._wiring.loans.lend(link, number, item):
                        self.socket.send_multipart([link.encode(), b"T"])
                else:
                    self._send_parts(link, self._packer.pack(link, item, number))
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                return  # the consumer is gone; whoever watches it knows why and ends the run

    def _send_parts(self, link: str, parts: Parts) -> None:
        # Messages are read-only for their whole life, so that large arrays need no copy here.
        self.socket.send(link.encode(), zmq.SNDMORE)
        for index, part in enumerate(parts):
            more = zmq.SNDMORE if index < len(parts) - 1 else 0
            self.socket.send(part, more, copy=len(part) < ZERO_COPY_BYTES)


class Inlet:
    """The consumer's end of one link, on one DEALER."""

    def __init__(
        self, edge: Edge, messages: Mapping[str, type[Message]], wiring: Wiring, *, on_idle: bool
    ) -> None:
        self.edge = edge
        self.receiver = Receiver(1 if on_idle else edge.window, on_idle=on_idle)
        self._unpacker = Unpacker(messages, shares_memory=wiring.shares_memory)
        self._wiring = wiring
        self.socket = wiring.open_inlet(edge.producer)
        self.socket.setsockopt(zmq.ROUTING_ID, edge.name.encode())

    def connect(self) -> None:
        """Connect to the producer and say hello."""
        producer = self.edge.producer
        self.socket.connect(
            self._wiring.local_endpoint(producer)
            if producer in self._wiring.local
            else self._wiring.endpoints[producer]
        )
        credit = self.receiver.credit_due(idle=not self.receiver.on_idle)
        hello = Hello(self._wiring.run, self.edge.name, credit)
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
            self._say(b"C", credit.to_bytes(4, "little"))

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
        try:
            item, number = self._unpacker.unpack(kind, [part.buffer for part in parts])
        except WireError as error:
            raise LinkError(f"{self.edge.name}: {error}") from error
        self.receiver.accept(number, item)
