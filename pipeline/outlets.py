"""The producer's ends of all links of a node: one ROUTER, bound for its own and other processes."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import zmq

from pipeline.graph import Edge
from pipeline.history import Position, settle
from pipeline.links import LOST, Sender
from pipeline.messages import Item, Kind
from pipeline.parcels import ZERO_COPY_BYTES, Packer, Parts
from pipeline.wiring import Wiring, bind, has_message

HEARD_AT_ONCE = 100  # messages that a node hears before it looks for other things to do
HEARD_AHEAD = 1000  # messages of one peer that may wait; a good one never has so many under way
HELLO_BYTES = 64 * 1024  # a message to a producer has at most so many, and for each stream
STREAM_BYTES = 1024
HANDSHAKE_MS = 3000
CREDIT_BYTES = 4
MAX_REFUSALS = 100  # what a stranger is told, and may never read, is kept for it

Credit = Annotated[int, msgspec.Meta(ge=0, lt=256**CREDIT_BYTES)]


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer says first: the secret of the run (and so of its graph), and its credit."""

    run: str
    link: str
    credit: Credit
    position: Position = msgspec.field(default_factory=Position)
    """Where to go on, after either end was started again."""


class Outlets:
    """All output links of one node, on one ROUTER."""

    def __init__(self, node: str, edges: Iterable[Edge], wiring: Wiring) -> None:
        self.edges = {edge.name: edge for edge in edges}
        self.senders = {n: Sender(e.policy, e.keeps) for n, e in self.edges.items()}
        self._wiring = wiring
        others = [edge for edge in self.edges.values() if edge.consumer not in wiring.local]
        near = [edge for edge in others if wiring.shares_memory_with(edge.consumer)]
        self._packer = Packer(near, shares_memory=wiring.shares_memory)
        self._missing = set(self.edges)  # links whose consumer has not said hello
        self._leaving = set(self.edges)  # links whose consumer has not said bye
        self._peers: dict[str, bytes] = {}  # link -> routing id of its consumer
        self._positions: dict[str, Position] = {}  # link -> where its consumer asked to go on
        self._refusals = 0
        self.socket = self._open()
        self.socket.bind(wiring.local_endpoint(node))

    def bind(self, endpoint: str) -> str:
        """Bind for other processes too; return the endpoint with its port filled in."""
        if endpoint.startswith("tcp:"):
            self._wiring.ask_for_secret(self.socket)
        return bind(self.socket, endpoint)

    def can_offer(self, link: str, item: Item) -> bool:
        """Say whether a link takes the item now."""
        return not self._is_wanted(link) or self.senders[link].can_offer(item)

    def offer(self, link: str, item: Item) -> None:
        """Send an item on a link, or put it into its mailbox."""
        if self._is_wanted(link):
            self.senders[link].offer(item)
            self._send(link)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """Return a new array for a message; it may be called from any thread."""
        return self._packer.empty(shape, dtype)

    def receive(self) -> None:
        """Take what consumers have said, as much as a node has the time for."""
        for _ in range(HEARD_AT_ONCE):
            if not has_message(self.socket):
                return
            peer, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
            if parts:
                self._hear(peer, parts[0], parts[1:])

    def close(self) -> None:
        """Give shared memory back; the socket is the switchboard's to close."""
        self._packer.close()

    @property
    def is_connected(self) -> bool:
        """Whether every consumer has said hello."""
        return not self._remaining(self._missing)

    @property
    def is_done(self) -> bool:
        """Whether every consumer has said bye."""
        return not self._remaining(self._leaving)

    @property
    def is_abandoned(self) -> bool:
        """Whether all consumers have ended, and nothing is wanted any more."""
        return bool(self.edges) and not self._remaining(self.edges)

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits for credit."""
        return all(self.senders[link].is_drained for link in self._remaining(self.edges))

    def settle(self, memory: int) -> Position:
        """Return what the node wants of its own producers, given what its consumers have.

        memory: how many earlier messages the node's results depend on.
        """
        streams = {link: self.edges[link].streams for link in self._positions}
        base = settle(((p, streams[link]) for link, p in self._positions.items()), memory)
        for link, position in self._positions.items():
            if position.have or position.ended or position.back:
                self.senders[link].begin(position, base)
        return base

    def align(self, stream: str) -> tuple[int, int]:
        """Bring all links of a live stream to the same key, by declaring what some have not got.

        Returns:
            The seq of that key, -1 before the first one, and the number of keys up to it.
        """
        positions = [p for link, p in self._positions.items() if stream in self.edges[link].streams]
        last, total = max((_last(p, stream) for p in positions), default=(-1, 0))
        for link, position in self._positions.items():
            own, count = _last(position, stream)
            if stream in self.edges[link].streams and count < total:
                gap = Item(Kind.GAP, stream, own + 1, 0, 0, None, LOST, total - count, last)
                self.offer(link, gap)
        return last, total

    def _open(self) -> zmq.Socket[bytes]:
        """Return the ROUTER. Where it is bound to tcp, anybody on this machine may speak to it."""
        num_streams = sum(len(edge.streams) for edge in self.edges.values())
        socket = self._wiring.open_outlet()
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.RCVHWM, HEARD_AHEAD)
        socket.setsockopt(zmq.MAXMSGSIZE, HELLO_BYTES + STREAM_BYTES * num_streams)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        return socket

    def _remaining(self, links: Iterable[str]) -> list[str]:
        """Return those of some links whose consumer has not ended with its process."""
        return [link for link in links if self._is_wanted(link)]

    def _is_wanted(self, link: str) -> bool:
        return self.edges[link].consumer not in self._wiring.gone

    def _hear(self, peer: bytes, kind: bytes, rest: list[bytes]) -> None:
        link = peer.decode(errors="replace").rpartition("#")[0]
        if kind == b"H" and rest:
            self._welcome(peer, link, rest[0])
        elif self._peers.get(link) != peer:
            return  # a stranger: whoever has not said a valid hello has no say
        elif kind == b"C" and rest and len(rest[0]) == CREDIT_BYTES:
            self.senders[link].grant(int.from_bytes(rest[0], "little"))
            self._send(link)
        elif kind == b"B":
            self._leaving.discard(link)

    def _welcome(self, peer: bytes, link: str, data: bytes) -> None:
        # The cheap question first: hellos of strangers may come in any number.
        hello = read_hello(data) if self._expects(link, peer) else None
        if hello is None or hello.link != link or not self._knows(hello.run):
            self._refuse(peer)
            return
        returns = link not in self._missing
        self._missing.discard(link)
        self._peers[link] = peer
        self._positions[link] = hello.position
        self._reply(peer, b"W")
        if returns:
            self._packer.release(link)
            self.senders[link].send_again(hello.position)
        self.senders[link].grant(hello.credit)
        self._send(link)

    def _knows(self, run: str) -> bool:
        return hmac.compare_digest(run.encode(), self._wiring.run.encode())

    def _refuse(self, peer: bytes) -> None:
        if self._refusals < MAX_REFUSALS:
            self._refusals += 1
            self._reply(peer, b"R", b"this endpoint belongs to another run")

    def _reply(self, peer: bytes, *parts: bytes) -> None:
        """Answer whoever spoke, who may be gone."""
        with suppress(zmq.ZMQError):
            self.socket.send_multipart([peer, *parts], zmq.NOBLOCK)

    def _expects(self, link: str, peer: bytes) -> bool:
        """Say whether the consumer of a link has yet to come, or may have been started again."""
        if link not in self.edges:
            return False
        return link in self._missing or (self.edges[link].keeps > 0 and self._peers[link] != peer)

    def _send(self, link: str) -> None:
        local = self.edges[link].consumer in self._wiring.local
        for number, item in self.senders[link].outgoing():
            try:
                if local:
                    if self._wiring.loans.lend(link, number, item):
                        self.socket.send_multipart([self._peers[link], b"T"])
                else:
                    self._send_parts(link, self._packer.pack(link, item, number))
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                return  # the consumer is gone; whoever watches it knows why and ends the run

    def _send_parts(self, link: str, parts: Parts) -> None:
        # Messages are read-only for their whole life, so that large arrays need no copy here.
        self.socket.send(self._peers[link], zmq.SNDMORE)
        for index, part in enumerate(parts):
            more = zmq.SNDMORE if index < len(parts) - 1 else 0
            self.socket.send(part, more, copy=len(part) < ZERO_COPY_BYTES)


def read_hello(data: bytes) -> Hello | None:
    """Return what a consumer says first; None if it is anything else."""
    try:
        return msgspec.msgpack.decode(data, type=Hello)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _last(position: Position, stream: str) -> tuple[int, int]:
    """Return the last key of a stream that a consumer has, and how many there were up to it."""
    return position.have.get(stream, [-1])[-1], position.total(stream)
