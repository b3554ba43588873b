"""The producer's ends of all links of a node: one ROUTER, bound for its own and other processes."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import suppress

import msgspec
import numpy as np
import numpy.typing as npt
import zmq

from pipeline.graph import Edge
from pipeline.links import LOST, Sender
from pipeline.messages import Item, Kind
from pipeline.parcels import ZERO_COPY_BYTES, Packer, Parts
from pipeline.replay import Position, settle
from pipeline.wiring import Wiring, has_message


class Hello(msgspec.Struct, forbid_unknown_fields=True):
    """What a consumer says first: the secret of the run (and so of its graph), and its credit."""

    run: str
    link: str
    credit: int
    position: Position = msgspec.field(default_factory=Position)
    """Where to go on, after either end was started again."""


class Outlets:
    """All output links of one node, on one ROUTER."""

    def __init__(self, node: str, edges: Iterable[Edge], wiring: Wiring) -> None:
        self.edges = {edge.name: edge for edge in edges}
        self.senders = {n: Sender(e.policy, e.keeps) for n, e in self.edges.items()}
        self._wiring = wiring
        remote = [edge for edge in self.edges.values() if edge.consumer not in wiring.local]
        self._packer = Packer(remote, shares_memory=wiring.shares_memory)
        self._missing = set(self.edges)  # links whose consumer has not said hello
        self._leaving = set(self.edges)  # links whose consumer has not said bye
        self._peers: dict[str, bytes] = {}  # link -> routing id of its consumer
        self._positions: dict[str, Position] = {}  # link -> where its consumer asked to go on
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
        return not self._remaining(self._missing)

    @property
    def is_done(self) -> bool:
        """Whether every consumer has said bye."""
        return not self._remaining(self._leaving)

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
            if position.have or position.ended:
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

    def _remaining(self, links: Iterable[str]) -> list[str]:
        """Return those of some links whose consumer has not ended with its process."""
        return [link for link in links if self.edges[link].consumer not in self._wiring.gone]

    def _hear(self, peer: bytes, kind: bytes, rest: list[bytes]) -> None:
        link = peer.decode(errors="replace").rpartition("#")[0]
        if kind == b"H" and rest:
            self._welcome(peer, link, rest[0])
        elif self._peers.get(link) != peer:
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
            self._reply(peer, b"R", f"hello: {error}".encode())
            return
        known = hello.link == link and self._expects(link, peer)
        if not known or not hmac.compare_digest(hello.run, self._wiring.run):
            self._reply(peer, b"R", b"this endpoint belongs to another run")
            return
        returns = link not in self._missing
        self._missing.discard(link)
        self._peers[link] = peer
        self._positions[link] = hello.position
        self._reply(peer, b"W")
        if returns:
            self.senders[link].send_again(hello.position)
        self.senders[link].grant(hello.credit)
        self._send(link)

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


def _last(position: Position, stream: str) -> tuple[int, int]:
    """Return the last key of a stream that a consumer has, and how many there were up to it."""
    return position.have.get(stream, [-1])[-1], position.totals.get(stream, 0)
