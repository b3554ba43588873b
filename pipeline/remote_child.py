"""The runner's side of a group that is served on another machine (pipeline/remote.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import zmq

from pipeline.child import Order, Report
from pipeline.control_line import (
    HANDSHAKE_FAILED,
    FromGroup,
    FromRunner,
    Line,
    Verdict,
    make_call,
    open_line_socket,
)
from pipeline.errors import ConfigError, NodeError
from pipeline.graph import Graph
from pipeline.group import Failure
from pipeline.hosts import MAIN
from pipeline.keys import Keyring
from pipeline.party import START_S, Party
from pipeline.polling import Context
from pipeline.stats import NodeStats
from pipeline.wiring import read_keys

FAILED_HANDSHAKES = 3  # in a row: one alone may be of a group that just ends

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(FromGroup).decode


class RemoteChild(Party):
    """The runner's side of a group that is served on another machine."""

    def __init__(self, name: str, graph: Graph, names: list[str], run: str) -> None:
        super().__init__(name, names)
        endpoint = graph.hosts[name]
        self._where = f"group {name!r} at {endpoint}"
        self.stats = {names[0]: NodeStats(state=f"waits for {endpoint}{_cure(name)}")}
        self._is_lost = False
        self._is_met = False
        self._failed_handshakes = 0
        self._keys = read_keys(graph, MAIN)
        self._call = FromRunner(call=make_call(graph, name, run, self._keys))
        context: Context = zmq.Context()
        socket = open_line_socket(context, zmq.DEALER)
        if self._keys is not None:
            self._keys.guard_client(socket, name)
        events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | HANDSHAKE_FAILED
        self._line = Line(context, socket, events, self._hear, self._see)
        socket.connect(endpoint)
        self._line.start()

    @property
    def is_running(self) -> bool:
        """Whether the group still runs, as far as this machine can tell."""
        return not self.is_done and not self._is_lost

    def end(self, timeout_s: float) -> None:
        """Wait for the group to end."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_running, timeout_s)

    def conclude(self, exit_code: int, text: str) -> None:
        """Tell the group how the run ended, and close the line."""
        self._tell(FromRunner(verdict=Verdict(exit_code, text)))
        self._line.close(at_once=self._is_lost)

    def _describe_silence(self) -> str:
        return f"{self._where}: no answer for {START_S:g} s{_cure(self.name)}"

    def _describe_start(self, text: str) -> str:
        return text

    def _order(self, order: Order) -> None:
        self._tell(FromRunner(order=order))

    def _tell(self, message: FromRunner) -> None:
        self._line.send(_encode(message))

    def _hear(self, frames: list[bytes]) -> None:
        try:
            report = _decode(frames[0]).report
        except msgspec.MsgspecError as error:
            report = Report(failure=Failure(f"{self._where}: not understood: {error}", 6))
        self._is_met = True
        self._take(report or Report())

    def _see(self, event: Mapping[str, Any]) -> None:
        """Heed what became of the connection."""
        if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._failed_handshakes = 0
            if not self._is_met:
                self._tell(self._call)
        elif event["event"] == zmq.EVENT_DISCONNECTED:
            if self._is_met:
                text = f"no answer: it was killed, or is out of reach{self._busy()}"
                self._lose(f"{self._where}: {text}")
        else:
            self._failed_handshakes += 1
            is_final = event["event"] != zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            if is_final or self._failed_handshakes >= FAILED_HANDSHAKES:
                text = f"{self._where}: {_why(self._keys, self.name, event)}"
                self._lose(text, ConfigError.exit_code)

    def _lose(self, text: str, exit_code: int = NodeError.exit_code) -> None:
        with self._changed:
            self._is_lost = True
            if not self.is_done:
                self.failure = self.failure or Failure(text, exit_code)
            self._changed.notify_all()


def _cure(name: str) -> str:
    return f": start it there with posestream run FILE --group {name}"


def _why(keys: Keyring | None, name: str, event: Mapping[str, Any]) -> str:
    """Say why a connection was refused, as far as the runner can tell."""
    if event["value"] == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        one, other = ("there", "here") if keys is None else ("here", "there")
        return f"keys are used {one}, but not {other}: `keys` must be set on both machines"
    if keys is not None and event["event"] == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        return f"the key of this machine is not known there: copy {keys.folder}/{MAIN}.public to it"
    if keys is None:
        return "it wants keys, and none are used here (or another program has the port)"
    return (
        f"it does not have the key {keys.folder}/{name}.public, or uses none: copy that file from "
        "there, or set `keys` there (or another program has the port)"
    )
