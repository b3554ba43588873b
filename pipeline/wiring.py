"""What the links of one process share: the context of their sockets, the run, the endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import zmq

from pipeline.loans import Loans
from pipeline.polling import Context

MAX_MESSAGE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Wiring:
    """What the sockets of one process share: context, run, and the endpoints of every node."""

    context: Context
    run: str
    """A secret that peers must know."""
    local: frozenset[str]
    """Nodes of this process."""
    shares_memory: bool = False
    """Whether large arrays reach other processes by shared memory."""
    loans: Loans = field(default_factory=Loans)
    endpoints: dict[str, str] = field(default_factory=dict)
    """Where each node's outputs are bound for other processes."""

    @classmethod
    def create(cls, run: str, local: Iterable[str], *, shares_memory: bool = False) -> Wiring:
        """Return the wiring of a process that runs the nodes `local`."""
        context: Context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 16384)
        return cls(context, run, frozenset(local), shares_memory)

    def open_outlet(self) -> zmq.Socket[bytes]:
        """Return a ROUTER for the producer's end of links."""
        return open_socket(self.context, zmq.ROUTER)

    def open_inlet(self, producer: str) -> zmq.Socket[bytes]:
        """Return a DEALER for the consumer's end of a link from a node."""
        return open_socket(self.context, zmq.DEALER)

    def close(self) -> None:
        """End the context; every socket must be closed."""
        self.context.term()

    def local_endpoint(self, node: str) -> str:
        """Return where a node's outputs are bound within this process."""
        return f"inproc://{self.run}/{node}"


def open_socket(context: Context, kind: int) -> zmq.Socket[bytes]:
    """Return a socket for one end of links, as all of them are."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.setsockopt(zmq.SNDHWM, 0)  # credit bounds what is on the way
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    return socket


def has_message(socket: zmq.Socket[bytes]) -> bool:
    """Say whether a message can be received now, which is cheaper than to try and to catch."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
