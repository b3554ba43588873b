"""What leaves the graph for whoever listens: PUB sockets, which lose what nobody takes in time.

A published message is `[topic, header, buffers...]`, with the topic NODE.OUTPUT/STREAM. The header
and the buffers are those of a link (pipeline/wire.py); its `link_seq` counts the messages of the
topic from 0, so that a listener sees what it missed. docs/protocol.md describes it to the byte.
"""

from __future__ import annotations

import errno
import socket as sockets
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.errors import ConfigError
from pipeline.messages import Item, Kind
from pipeline.wire import Header, WireError, as_buffer, read, scalars_of, split
from pipeline.wiring import Wiring

BEHIND_MESSAGES = 1000  # how far a listener may be behind before it loses messages,
BEHIND_BYTES = 64 * 2**20  # and what may wait for it in memory
BEHIND_AT_LEAST = 2
LEAVE_MS = 1000  # what slow listeners get to take what is under way once the run ends
ASKING_BYTES = 1024  # a listener only sends the topics that it wants
OWN_BYTES = 64 * 1024  # below this a copy is cheaper than its book-keeping

LISTENS_MS = 10  # between two attempts to connect: the first messages of a run come soon
MAX_MESSAGE_BYTES = 512 * 2**20
MAX_TOPICS = 1000  # a publisher has no more; a hostile one shall not fill the memory


class Publisher:
    """Publishes outputs of one node, on a socket for each endpoint; all of it in one thread.

    Args:
        outputs: output -> endpoint.

    Raises:
        ConfigError: an endpoint is in use, or cannot be had.
    """

    def __init__(self, node: str, outputs: Mapping[str, str], wiring: Wiring) -> None:
        self._node = node
        self._sockets: dict[str, zmq.Socket[bytes]] = {}  # by endpoint
        self._largest: Counter[str] = Counter()  # bytes, by endpoint
        self._numbers: Counter[str] = Counter()  # by topic
        self._keys: Counter[str] = Counter()  # by topic
        self._endpoints = dict(outputs)
        try:
            for output, endpoint in outputs.items():
                if endpoint not in self._sockets:
                    self._sockets[endpoint] = socket = _open(wiring)
                    _bind(socket, endpoint, f"publish.{node}.{output}")
        except ConfigError:
            self.close()
            raise

    def publish(self, output: str, item: Item) -> None:
        """Send an item to all who listen, if the output is published; it never waits."""
        endpoint = self._endpoints.get(output)
        if endpoint is None:
            return
        topic = f"{self._node}.{output}/{item.stream}"
        if item.kind is Kind.EOS:
            item = replace(item, count=self._keys[topic])
        else:
            self._keys[topic] += item.count
        header, arrays = _split(item, self._numbers[topic])
        self._numbers[topic] += 1
        self._limit(endpoint, sum(array.nbytes for array in arrays))
        _send(self._sockets[endpoint], [topic.encode(), header], arrays)

    def close(self) -> None:
        """Close the sockets, once what is under way has left or nobody took it."""
        for socket in self._sockets.values():
            socket.close()

    def _limit(self, endpoint: str, nbytes: int) -> None:
        """Hold what waits for one slow listener below `BEHIND_BYTES`, by the largest message yet.

        ZeroMQ tells the listeners of this moment only: hence for each large message anew (11 us).
        """
        self._largest[endpoint] = largest = max(nbytes, self._largest[endpoint])
        if nbytes * BEHIND_MESSAGES > BEHIND_BYTES:
            behind = max(BEHIND_AT_LEAST, BEHIND_BYTES // largest)
            self._sockets[endpoint].setsockopt(zmq.SNDHWM, behind)


def _open(wiring: Wiring) -> zmq.Socket[bytes]:
    socket = wiring.open_publisher()
    socket.setsockopt(zmq.SNDHWM, BEHIND_MESSAGES)
    socket.setsockopt(zmq.MAXMSGSIZE, ASKING_BYTES)
    socket.setsockopt(zmq.LINGER, LEAVE_MS)
    return socket


def _bind(socket: zmq.Socket[bytes], endpoint: str, key: str) -> None:
    if endpoint.startswith("ipc://") and (wrong := _wrong_with_path(endpoint)):
        raise ConfigError(f"{key}: {endpoint} {wrong}")
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise ConfigError(f"{key}: {endpoint} {_wrong_with_port(error)}") from error


def _wrong_with_port(error: zmq.ZMQError) -> str:
    if error.errno == zmq.EADDRINUSE:
        return "is in use: choose another port or end the program that has it"
    if error.errno in (zmq.EADDRNOTAVAIL, errno.ENODEV):
        return "is not an address of this machine: `ip address` lists those"
    return f"cannot be bound: {zmq.strerror(error.errno or 0)}"


def _wrong_with_path(endpoint: str) -> str:
    """Say why a path cannot be bound, if so: ZeroMQ would take it from whoever has it."""
    path = Path(endpoint.removeprefix("ipc://"))
    if not path.exists():
        return "" if path.parent.is_dir() else f"cannot be bound: there is no folder {path.parent}"
    if not stat.S_ISSOCK(path.stat().st_mode):
        return "is a file: choose another path"
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return ""  # left behind by a program that died
        except OSError as error:
            return f"cannot be bound: {error.strerror}"
    return "is in use: choose another path or end the program that has it"


def _split(item: Item, number: int) -> tuple[bytes, list[np.ndarray]]:
    """Return header and arrays of an item; of one that has no wire form, of the GAP for it."""
    try:
        return split(item, number, time.monotonic_ns())
    except WireError as error:
        return split(item.as_gap(str(error)), number, time.monotonic_ns())


def _send(
    socket: zmq.Socket[bytes], start: Sequence[bytes], arrays: Sequence[np.ndarray[Any, Any]]
) -> None:
    for index, part in enumerate(start):
        more = zmq.SNDMORE if arrays or index < len(start) - 1 else 0
        socket.send(part, zmq.NOBLOCK | more)
    for index, array in enumerate(arrays):
        more = zmq.SNDMORE if index < len(arrays) - 1 else 0
        # Memory that is not the array's own may be a slot which others wait for: it is copied.
        own = array.nbytes >= OWN_BYTES and array.flags.owndata
        socket.send(as_buffer(array), zmq.NOBLOCK | more, copy=not own)


@dataclass(frozen=True)
class Heard:
    """A published message of any type, as a listener has it."""

    topic: str
    header: Header
    scalars: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    missed: int
    """How many messages of the topic were lost just before it."""
    is_anew: bool
    """Whether the numbers of the topic began anew: another run publishes."""


class Listener:
    """Hears what publishers at an endpoint send, now and whenever they are back.

    Args:
        prefix: how the topics begin that are wanted.
        guard: gives the socket its keys before it connects.

    Raises:
        ConfigError: the endpoint cannot be connected to, or keys are missing.
    """

    def __init__(
        self, endpoint: str, prefix: str = "", guard: Callable[[Any], None] | None = None
    ) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._socket.setsockopt(zmq.RCVHWM, 100)
        self._socket.setsockopt(zmq.RECONNECT_IVL, LISTENS_MS)
        self._socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        self._next: dict[str, int] = {}  # number by topic
        self._open: set[str] = set()
        self._is_connected = False
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
        )
        try:
            if guard is not None:
                guard(self._socket)
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            why = zmq.strerror(error.errno or 0)
            raise ConfigError(f"{endpoint} cannot be connected to: {why}") from error
        except ConfigError:
            self.close()
            raise

    @property
    def topics(self) -> int:
        """How many topics were heard."""
        return len(self._next)

    @property
    def has_ended(self) -> bool:
        """Whether every topic that was heard has ended, and who published is gone.

        While it is there, a stream of which nothing was heard yet may begin.
        """
        if not self._next or self._open:
            return False
        while self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            self._is_connected = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return not self._is_connected and not self._socket.poll(0)

    def hear(self, timeout_ms: int) -> Heard | None:
        """Return the next message, or None if none comes in time.

        Raises:
            WireError: what came is no published message.
        """
        if not self._socket.poll(timeout_ms):
            return None
        topic, *parts = self._socket.recv_multipart(zmq.NOBLOCK)
        header, arrays = read(parts)
        return self._note(topic.decode(errors="replace"), header, scalars_of(header), arrays)

    def close(self) -> None:
        """Hear no more."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()
        self._context.term()

    def _note(
        self, topic: str, header: Header, scalars: Mapping[str, Any], arrays: dict[str, np.ndarray]
    ) -> Heard:
        """Note the number of a message, and whether its topic goes on."""
        if not topic.endswith(f"/{header.stream}"):
            raise WireError(f"stream {header.stream!r} under the topic {topic!r}")
        if header.link_seq < 0 or (topic not in self._next and self.topics >= MAX_TOPICS):
            raise WireError(f"number {header.link_seq} of topic {topic!r}, {self.topics} are known")
        missed = header.link_seq - self._next.get(topic, 0)
        self._next[topic] = header.link_seq + 1
        (self._open.discard if header.kind is Kind.EOS else self._open.add)(topic)
        is_anew = missed < 0
        return Heard(
            topic, header, scalars, arrays, header.link_seq if is_anew else missed, is_anew
        )
