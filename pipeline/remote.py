"""Serving a group to a runner on another machine: `posestream run FILE --group NAME`.

The group builds the graph from its own file, which must say the same as the runner's; nothing that
could be run travels between them.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import zmq

from pipeline.child import STOP_S, Member, Order, Report, describe
from pipeline.control_line import (
    HANDSHAKE_FAILED,
    Call,
    FromGroup,
    FromRunner,
    Line,
    Verdict,
    compare,
    make_call,
    open_line_socket,
)
from pipeline.errors import ConfigError, NodeError
from pipeline.graph import Graph
from pipeline.group import Failure, Group
from pipeline.hosts import MAIN, nodes_of, plaintext_warning
from pipeline.keys import Gatekeeper, Keyring
from pipeline.polling import Context
from pipeline.wiring import bind, read_keys

MAX_SAID = 20  # different things that strangers can make a group say
INTERRUPTED = 130

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(FromRunner).decode


def serve(graph: Graph, group: str, out: Path, say: Callable[[str], None]) -> int:
    """Serve a group of a graph to one runner, and return the exit code of its run.

    Args:
        out: where the nodes of the group write, on this machine.
        say: prints a line.

    Raises:
        ConfigError: its port or its keys are not there, or the runner has another graph.
        NodeError: the runner has gone.
    """
    if warning := plaintext_warning(graph):
        say(f"warning: {warning}")
    keys = read_keys(graph, group)
    where = f"group {group!r} at {graph.hosts[group]}"
    line = _GroupLine(graph.hosts[group], where, keys, say)
    try:
        say(f"{where} waits for its runner: posestream run FILE")
        call = line.calls.get()
        if wrong := compare(call, make_call(graph, group, call.run, keys)):
            line.say(Report(failure=Failure(f"{where}: {wrong}", ConfigError.exit_code)))
            raise ConfigError(wrong)
        say(f"{where} runs")
        _run(graph, group, call.run, out, line)
        verdict = line.verdicts.get()
        if verdict is None:
            raise NodeError(f"{where}: the runner was killed, or is out of reach")
        say(f"{where}: {verdict.text}")
        return verdict.exit_code
    finally:
        line.close()


def _run(graph: Graph, name: str, run: str, out: Path, line: _GroupLine) -> None:
    """Run the group; what goes wrong is reported before it is raised."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        group = Group(graph, nodes_of(graph, name), run)
        try:
            Member(group, line, out).run(out)
        except KeyboardInterrupt:
            text = f"group {name!r} was interrupted on its machine"
            line.say(Report(failure=Failure(text, INTERRUPTED)))
            group.control.halt()
            group.join(STOP_S)
            line.say(Report(done=True))
    except Exception as error:
        failure = describe(error)
        text = f"group {name!r} at {graph.hosts[name]}: {failure.text}"
        line.say(Report(failure=replace(failure, text=text)))
        raise
    finally:
        with suppress(OSError):
            out.rmdir()  # if no node has written anything


class _GroupLine:
    """The channel of a served group, open to one runner."""

    def __init__(
        self, endpoint: str, where: str, keys: Keyring | None, say: Callable[[str], None]
    ) -> None:
        self.calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self.verdicts: queue.SimpleQueue[Verdict | None] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._runner: bytes | None = None
        self._is_lost = False
        self._where = where
        self._keys = keys
        self._say = say
        self._said: set[str] = set()
        context: Context = zmq.Context()
        if keys is not None:
            Gatekeeper(context, keys, self._refused)
        socket = open_line_socket(context, zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if keys is not None:
            keys.guard_server(socket, "runner")
        self._line = Line(
            context, socket, HANDSHAKE_FAILED, self._hear, self._see, self._beat, self._lose
        )
        try:
            bind(socket, endpoint)
        except ConfigError:
            self._line.close(at_once=True)
            raise
        self._line.start()

    def say(self, report: Report) -> None:
        if self._runner is not None and not self._is_lost:
            self._line.send(self._runner, _encode(FromGroup(report)))

    def next_order(self) -> Order | None:
        return self._orders.get()

    def close(self) -> None:
        self._line.close(at_once=self._is_lost)
        self._orders.put(None)  # nobody waits for another one

    def _hear(self, frames: list[bytes]) -> None:
        runner, *rest = frames
        try:
            message = _decode(rest[0] if rest else b"")
        except (msgspec.MsgspecError, RecursionError):
            self._say_once("ignored: a peer that speaks something else")
            return
        if message.call is not None and self._runner is None:
            self._runner = runner
            self.calls.put(message.call)
        elif runner != self._runner:
            text = f"{self._where}: it serves another run already"
            busy = Failure(text, ConfigError.exit_code)
            self._line.send(runner, _encode(FromGroup(Report(failure=busy))))
        elif message.order is not None:
            self._orders.put(message.order)
        elif message.verdict is not None:
            self.verdicts.put(message.verdict)

    def _see(self, event: Mapping[str, Any]) -> None:
        if self._keys is None:
            self._say_once(
                "refused: a peer with keys, where none are used, or no posestream at all"
            )
        elif event["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
            self._say_once("refused: a peer without keys")
        elif event["event"] != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self._say_once("refused: a peer that does not know the key of this machine")

    def _lose(self, frames: list[bytes]) -> None:
        if frames[0] == self._runner and not self._is_lost:
            self._is_lost = True
            self._orders.put(None)
            self.verdicts.put(None)

    def _refused(self, address: str) -> None:
        self._say_once(f"refused: {address}, whose key is not that of {MAIN}.public here")

    def _say_once(self, text: str) -> None:
        if text not in self._said and len(self._said) < MAX_SAID:
            self._said.add(text)
            self._say(text)

    def _beat(self) -> None:
        if self._runner is not None and not self._is_lost:
            self._line.send(self._runner, _encode(FromGroup()))
