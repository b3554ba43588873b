"""The control line between a runner and a group on another machine, on one socket at each end.

The group binds a ROUTER and answers one runner, which connects a DEALER. A message is msgpack of
`FromRunner` or `FromGroup`. That the other end lives is ZeroMQ's to watch (ZMTP heartbeats, which
no busy interpreter delays); a line that breaks is not mended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

import msgspec
import zmq
from zmq.utils.monitor import recv_monitor_message

from pipeline.child import Order, Report
from pipeline.graph import Graph
from pipeline.keys import Keyring
from pipeline.polling import Context, Wake

HEARTBEAT_MS = 500
SILENCE_MS = 2000  # after a heartbeat without an answer; noticed within 3 s in all
LINGER_MS = 1000
BEAT_MS = 500  # how often each end looks whether it still has a peer
MAX_MESSAGE_BYTES = 16 * 2**20
MAX_WAITING = 1000  # messages of one peer that nobody has heard yet

HANDSHAKE_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
MACHINES_OWN = ("keys",)
"""Keys of a configuration that may differ from machine to machine."""


class Call(msgspec.Struct):
    """What a runner says first."""

    version: str
    group: str
    resolved: dict[str, Any]
    """The whole graph, to be compared; the group builds its own."""
    publics: dict[str, str]
    """The public keys that this machine has of all machines of the run."""
    run: str
    """The secret of the run."""


class Verdict(msgspec.Struct):
    """What a runner says last: how the run ended."""

    exit_code: int
    text: str


class FromRunner(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One message to a group: one of these."""

    call: Call | None = None
    order: Order | None = None
    verdict: Verdict | None = None


class FromGroup(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One message to the runner; an empty one only shows that the line holds."""

    report: Report | None = None


class Line:
    """One end of a control line; a thread owns its socket.

    Args:
        events: those of the socket's monitor that `on_event` is called with.
        on_message: called in the thread, with the frames of a message.
        on_event: called in the thread, after all messages that came before the event.
        on_beat: called in the thread, about every `BEAT_MS`.
        on_lost: called in the thread with the frames of a message whose peer is gone.
    """

    def __init__(
        self,
        context: Context,
        socket: zmq.Socket[bytes],
        events: int,
        on_message: Callable[[list[bytes]], None],
        on_event: Callable[[Mapping[str, Any]], None],
        on_beat: Callable[[], None] = lambda: None,
        on_lost: Callable[[list[bytes]], None] = lambda frames: None,
    ) -> None:
        self._context = context
        self._socket = socket
        self._monitor: zmq.Socket[bytes] = socket.get_monitor_socket(events)
        self._on_message, self._on_event = on_message, on_event
        self._on_beat, self._on_lost = on_beat, on_lost
        self._wake = Wake(context, f"control/{id(self)}")
        self._calls = self._wake.end()
        self._lock = threading.Lock()  # of `_calls`, which any thread may use
        self._outgoing: deque[list[bytes]] = deque()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="control line", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def send(self, *frames: bytes) -> None:
        """Send a message, from any thread."""
        self._outgoing.append(list(frames))
        with self._lock:
            if not self._is_closing:
                self._calls()

    def close(self, *, at_once: bool = False) -> None:
        """Send what is still to be sent, unless the peer is gone; close socket and context."""
        with self._lock:
            if self._is_closing:
                return
            self._is_closing = True
            self._calls()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close(linger=0 if at_once else LINGER_MS)
        self._monitor.close()
        self._wake.socket.close()
        self._calls.__exit__()
        self._context.term()

    def _run(self) -> None:
        poller = zmq.Poller()
        for socket in (self._socket, self._monitor, self._wake.socket):
            poller.register(socket, zmq.POLLIN)
        beat_at = 0.0
        while not self._is_closing:
            poller.poll(BEAT_MS)
            self._wake.clear()
            events = self._take_events()
            self._take_messages()
            for event in events:
                self._on_event(event)
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + BEAT_MS / 1e3
                self._on_beat()
            self._send_all()
        self._send_all()
        self._socket.disable_monitor()

    def _take_events(self) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while self._monitor.poll(0):
            found.append(recv_monitor_message(self._monitor))
        return found

    def _take_messages(self) -> None:
        while self._socket.poll(0):
            self._on_message(self._socket.recv_multipart(zmq.NOBLOCK))

    def _send_all(self) -> None:
        while self._outgoing:
            frames = self._outgoing.popleft()
            try:
                self._socket.send_multipart(frames, zmq.NOBLOCK)
            except zmq.ZMQError as error:
                if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                    raise
                self._on_lost(frames)


def open_line_socket(context: Context, kind: int) -> zmq.Socket[bytes]:
    """Return a socket for one end of a control line."""
    socket = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 3000)
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    return socket


def make_call(graph: Graph, group: str, run: str, keys: Keyring | None) -> Call:
    """Return what a runner says first; a group makes its own, to compare."""
    publics = {n: keys.publics[n].decode() for n in sorted(keys.machines)} if keys else {}
    resolved = {name: value for name, value in graph.resolved.items() if name not in MACHINES_OWN}
    call = Call(metadata.version("posestream"), group, resolved, publics, run)
    return msgspec.msgpack.decode(msgspec.msgpack.encode(call), type=Call)  # as it arrives


def compare(runner: Call, own: Call) -> str:
    """Say in what the call of a runner differs from what its group would say; "" if it does not."""
    if runner.version != own.version:
        return f"posestream is {runner.version} at the runner and {own.version} at the group"
    if runner.group != own.group:
        return f"the runner asks for group {runner.group!r}, but {own.group!r} is served here"
    if runner.publics != own.publics:
        other = [n for n in own.publics if own.publics[n] != runner.publics.get(n)] or ["main"]
        return f"{other[0]}.public is not the same key at the runner and at the group"
    for path, theirs, ours in _differences(runner.resolved, own.resolved, ""):
        values = f"{theirs!r} at the runner and {ours!r} at the group"
        return f"{path} is {values}: run the same file with the same options on both machines"
    return ""


def _differences(a: Any, b: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, a's value, b's value) where plain data differ."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        if a != b:
            yield path, a, b
        return
    for key in dict.fromkeys([*a, *b]):
        yield from _differences(a.get(key), b.get(key), f"{path}.{key}".removeprefix("."))
