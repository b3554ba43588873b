"""A producer and its good consumer in one process, over a carrier that strangers reach as well."""

import time

import numpy as np
import zmq
from toys import Number

from pipeline.graph import Edge, Policy
from pipeline.messages import Item
from pipeline.transport import Inlet, Outlets, Wiring

EDGE = Edge("a", "number", "b", "number", Policy.LOSSLESS, 4, ("a",))


def number(value: int) -> Item:
    payload = np.full((2, 64), value, np.uint8)
    message = Number(stream="a", seq=value, stamp_ns=0, value=value, payload=payload)
    return Item.data(message, 0)


class Scene:
    """A producer that strangers reach, and its good consumer."""

    def __init__(self, endpoint: str) -> None:
        self.here, self.there = Wiring.create("run", ["a"]), Wiring.create("run", ["b"])
        self.outlets = Outlets("a", [EDGE], self.here)
        self.endpoint = self.there.endpoints["a"] = self.outlets.bind(endpoint)
        self.inlet = Inlet(EDGE, {"Number": Number}, self.there, on_idle=False)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.strangers: list[zmq.Socket[bytes]] = []

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    def meet(self) -> None:
        """Let the good consumer connect."""
        self.inlet.connect()
        deadline = time.monotonic() + 5
        while not self.outlets.is_connected and time.monotonic() < deadline:
            self.outlets.socket.poll(100)
            self.outlets.receive()
        assert self.outlets.is_connected

    def deliver(self, value: int) -> None:
        """Let an item pass."""
        self.hear(0, 0)
        self.outlets.offer(EDGE.name, number(value))
        while not self.inlet.receiver.queue:
            assert self.inlet.socket.poll(2000)
            self.inlet.receive()
        assert self.inlet.receiver.take().seq == value

    def stranger(self, identity: str = "", **options: object) -> zmq.Socket[bytes]:
        """Return a DEALER that is nobody's."""
        socket = self.context.socket(zmq.DEALER)
        self.strangers.append(socket)
        socket.linger = 0
        socket.routing_id = identity.encode() or b"stranger"
        for name, value in options.items():
            setattr(socket, name, value)
        socket.connect(self.endpoint)
        return socket

    def hear(self, first_ms: int = 2000, next_ms: int = 100) -> None:
        """Let the producer hear what strangers have said, waiting for the first and next of it."""
        self.outlets.socket.poll(first_ms)
        while self.outlets.socket.poll(next_ms):
            self.outlets.receive()

    def close(self) -> None:
        for socket in (*self.strangers, self.outlets.socket, self.inlet.socket):
            socket.close()
        self.context.term()
        self.here.close()
        self.there.close()
