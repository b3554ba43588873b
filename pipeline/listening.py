"""Hears what a run publishes (pipeline/publishing.py): a SUB socket that trusts nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.errors import ConfigError
from pipeline.messages import Kind
from pipeline.wire import Header, WireError, read, scalars_of

LISTENS_MS = 10  # between two attempts to connect: the first messages of a run come soon
MAX_MESSAGE_BYTES = 512 * 2**20
MAX_TOPICS = 1000  # a publisher has no more; a hostile one shall not fill the memory


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
