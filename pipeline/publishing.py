"""What leaves the graph for whoever listens: PUB sockets, which lose what nobody takes in time.

A published message is `[topic, header, buffers...]`, with the topic NODE.OUTPUT/STREAM. The header
and the buffers are those of a link (pipeline/wire.py); its `link_seq` counts the messages of the
topic from 0, so that a listener sees what it missed. docs/protocol.md describes it to the byte.
"""

from __future__ import annotations

import socket as sockets
import stat
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from pipeline.errors import ConfigError
from pipeline.messages import Item, Kind
from pipeline.wire import WireError, as_buffer, split
from pipeline.wiring import Wiring, bind

BEHIND_MESSAGES = 1000  # how far a listener may be behind before it loses messages,
BEHIND_BYTES = 64 * 2**20  # and what may wait for it in memory
BEHIND_AT_LEAST = 2
LEAVE_MS = 1000  # what slow listeners get to take what is under way once the run ends
ASKING_BYTES = 1024  # a listener only sends the topics that it wants
OWN_BYTES = 64 * 1024  # below this a copy is cheaper than its book-keeping


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
        bind(socket, endpoint)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error


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
