"""What the links of one process share: the context of their sockets, the run, the endpoints."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import zmq

from pipeline.errors import ConfigError
from pipeline.graph import Graph
from pipeline.hosts import MAIN, machine_of, machines
from pipeline.keys import Gatekeeper, Keyring, Who
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
    """Whether large arrays reach other processes of this machine by shared memory."""
    keys: Keyring | None = None
    """The keys of this machine; None for sockets that nobody encrypts."""
    machines: Mapping[str, str] = field(default_factory=dict)
    """Node -> the machine that runs it, by default "main"."""
    incarnation: int = 0
    """How often this process was started again."""
    gone: set[str] = field(default_factory=set)
    """Nodes that have ended and want nothing more."""
    incarnations: dict[str, int] = field(default_factory=dict)
    """Node -> how often the process that runs it was started again."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    loans: Loans = field(default_factory=Loans)
    endpoints: dict[str, str] = field(default_factory=dict)
    """Where each node's outputs are bound for other processes."""

    @classmethod
    def create(
        cls,
        run: str,
        local: Iterable[str],
        *,
        shares_memory: bool = False,
        keys: Keyring | None = None,
        machines: Mapping[str, str] | None = None,
        incarnation: int = 0,
    ) -> Wiring:
        """Return the wiring of a process that runs the nodes `local`."""
        context: Context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 16384)
        _allow_many_descriptors()
        if keys is not None:
            Gatekeeper(context, keys)
        return cls(context, run, frozenset(local), shares_memory, keys, machines or {}, incarnation)

    @classmethod
    def of(
        cls,
        graph: Graph,
        local: Iterable[str],
        run: str,
        *,
        shares_memory: bool,
        incarnation: int = 0,
    ) -> Wiring:
        """Return the wiring of a process of a graph, with the keys of its machine.

        Raises:
            ConfigError: keys are missing.
        """
        local = list(local)
        places = {name: machine_of(graph, name) for name in graph.nodes}
        keys = read_keys(graph, places[local[0]] if local else MAIN)
        return cls.create(
            run, local, shares_memory=shares_memory, keys=keys, machines=places,
            incarnation=incarnation,
        )  # fmt: skip

    def open_outlet(self) -> zmq.Socket[bytes]:
        """Return a ROUTER for the producer's end of links."""
        return self._guarded(open_socket(self.context, zmq.ROUTER), "machines")

    def open_publisher(self) -> zmq.Socket[bytes]:
        """Return a PUB for listeners outside the graph; how much it may hold is left to set."""
        return self._guarded(self.context.socket(zmq.PUB), "anybody")

    def open_inlet(self, producer: str) -> zmq.Socket[bytes]:
        """Return a DEALER for the consumer's end of a link from a node."""
        socket = open_socket(self.context, zmq.DEALER)
        if self.keys is not None and producer not in self.local:
            self.keys.guard_client(socket, self.machines.get(producer, MAIN))
        return socket

    def ask_for_secret(self, socket: zmq.Socket[bytes]) -> None:
        """Let an outlet that will be bound to tcp admit only who belongs to this run.

        Anybody can reach such a port. Who gets past the handshake of ZeroMQ, by itself, can fill
        the memory with one message without an end, or take the name of a peer that is yet to come.
        """
        if self.keys is None:
            _ = self._gatekeeper
            socket.setsockopt(zmq.PLAIN_SERVER, 1)

    def show_secret(self, socket: zmq.Socket[bytes]) -> None:
        """Let an inlet that will connect by tcp show that it belongs to this run."""
        if self.keys is None:
            socket.setsockopt(zmq.PLAIN_USERNAME, b"posestream")
            socket.setsockopt(zmq.PLAIN_PASSWORD, self.run.encode())

    @cached_property
    def _gatekeeper(self) -> Gatekeeper:
        return Gatekeeper(self.context, None, run=self.run)

    def shares_memory_with(self, node: str) -> bool:
        """Say whether large arrays from or for a node go by shared memory: it runs here too."""
        return self.shares_memory and not self.is_far(node)

    def is_far(self, node: str) -> bool:
        """Say whether a node runs on another machine."""
        own = next(iter(self.local), node)
        return self.machines.get(node, MAIN) != self.machines.get(own, MAIN)

    def find(self, node: str) -> tuple[str, int]:
        """Return where a node's outputs are bound, and how often its process was started again."""
        if node in self.local:
            return self.local_endpoint(node), 0
        with self.lock:
            return self.endpoints[node], self.incarnations.get(node, 0)

    def move(self, endpoints: Mapping[str, str], incarnation: int) -> None:
        """Note where nodes are bound whose process was started again."""
        with self.lock:  # or a consumer would take the one for new and the other for old
            self.endpoints.update(endpoints)
            self.incarnations.update(dict.fromkeys(endpoints, incarnation))

    def close(self) -> None:
        """End the context; every socket must be closed."""
        self.context.term()

    def local_endpoint(self, node: str) -> str:
        """Return where a node's outputs are bound within this process."""
        return f"inproc://{self.run}/{node}"

    def _guarded(self, socket: zmq.Socket[bytes], who: Who) -> zmq.Socket[bytes]:
        if self.keys is not None:
            self.keys.guard_server(socket, who)
        return socket


def read_keys(graph: Graph, machine: str) -> Keyring | None:
    """Return the keys that a machine of a run has; None where nothing is encrypted.

    Raises:
        ConfigError: files are missing or wrong.
    """
    if not graph.keys:
        return None
    return Keyring.read(Path(graph.keys).expanduser(), machine, machines(graph))


def open_socket(context: Context, kind: int) -> zmq.Socket[bytes]:
    """Return a socket for one end of links, as all of them are."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 1000)
    socket.setsockopt(zmq.SNDHWM, 0)  # credit bounds what is on the way
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    return socket


def bind(socket: zmq.Socket[bytes], endpoint: str) -> str:
    """Bind a socket; return the endpoint with its port filled in.

    Raises:
        ConfigError: the port is in use, or the address is not this machine's.
    """
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise ConfigError(f"cannot bind {endpoint}: {_why(error)}") from error
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def _why(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use: end what uses it (ss -ltnp names it), or write another port"
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return "this machine has no such address: write one that `ip address` lists here"
    return str(error.strerror)


def has_message(socket: zmq.Socket[bytes]) -> bool:
    """Say whether a message can be received now, which is cheaper than to try and to catch."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _allow_many_descriptors() -> None:
    """Use the descriptors that this process may have: strangers at a port must not use them up."""
    with suppress(ImportError, OSError, ValueError):  # not everywhere, not for everyone
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
