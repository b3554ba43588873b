"""How the thread of a node waits: for its sockets, and for its own worker threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import zmq

Context = zmq.Context[zmq.Socket[bytes]]


class Switchboard:
    """Waits for several sockets at once and calls the handler of each that has something to say."""

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._handlers: dict[Any, Callable[[], None]] = {}

    def listen(self, socket: zmq.Socket[bytes], handler: Callable[[], None]) -> None:
        """Call `handler` whenever `socket` can be read."""
        self._poller.register(socket, zmq.POLLIN)
        self._handlers[socket] = handler

    def forget(self, socket: zmq.Socket[bytes]) -> None:
        """Close a socket that is replaced by another one."""
        self._poller.unregister(socket)
        del self._handlers[socket]
        socket.close()

    def poll(self, timeout_ms: int) -> None:
        """Wait at most `timeout_ms` for any socket, and serve all that are ready."""
        for socket, _ in self._poller.poll(timeout_ms):
            self._handlers[socket]()

    def close(self) -> None:
        """Close all sockets."""
        for socket in self._handlers:
            socket.close()


class Wake:
    """Lets worker threads end the poll of the node's thread."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._endpoint = f"inproc://{name}"
        self.socket = context.socket(zmq.PULL)
        self.socket.bind(self._endpoint)

    def end(self) -> WakeEnd:
        """Return the worker's end, for use in the worker's thread only."""
        return WakeEnd(self._context, self._endpoint)

    def clear(self) -> None:
        """Forget all calls so far."""
        with suppress(zmq.Again):
            while True:
                self.socket.recv(zmq.NOBLOCK)


class WakeEnd:
    """A worker's end of a `Wake`; call it to end the poll."""

    def __init__(self, context: Context, endpoint: str) -> None:
        self._socket = context.socket(zmq.PUSH)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def __enter__(self) -> WakeEnd:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def __call__(self) -> None:
        self._socket.send(b"")
