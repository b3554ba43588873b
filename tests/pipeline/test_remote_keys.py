"""Two machines with keys: those that do not fit are named, and strangers are kept out."""

import shutil
import time
from pathlib import Path

import msgspec
import pytest
import zmq
from test_run import CHAIN, lines
from two_machines import Server, endpoint_of, load

from pipeline.control_line import Call, FromRunner
from pipeline.errors import ConfigError
from pipeline.keys import make_keys
from pipeline.runner import run

NO_KEY = (
    "it does not have the key MAIN/gpu.public, or uses none: copy that file from there, "
    "or set `keys` there (or another program has the port)"
)
MIXED = {
    "the runner's key is not known": (
        "the key of this machine is not known there: copy MAIN/main.public to it",
        "refused: 127.0.0.1, whose key is not that of main.public here",
    ),
    "the group's key is not known": (
        NO_KEY,
        "refused: a peer that does not know the key of this machine",
    ),
    "the group has none": (
        "keys are used here, but not there: `keys` must be set on both machines",
        "refused: a peer with keys, where none are used, or no posestream at all",
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_keys_that_do_not_fit_are_named_on_both_machines(
    tmp_path: Path, hosts: str, keys: tuple[str, str], case: str
) -> None:
    shutil.copytree(keys[0], tmp_path / "good")
    if case == "the runner's key is not known":
        make_keys(Path(keys[0]), "main", force=True)
    elif case == "the group's key is not known":
        make_keys(tmp_path / "new", "gpu")
        shutil.copy(tmp_path / "new" / "gpu.public", keys[0])
    there, here = MIXED[case]
    sets = [] if case == "the group has none" else [f"keys={keys[1]}"]
    server = Server(load(CHAIN + hosts, *sets), tmp_path / "gpu")
    server.wait_until_said("waits")
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        run(load(CHAIN + hosts, f"keys={keys[0]}"), tmp_path / "main")
    assert time.monotonic() - started < 5
    # A peer without keys hangs up, which may come before the reason is read.
    texts = {there, NO_KEY} if case == "the group has none" else {there}
    where = f"group 'gpu' at {endpoint_of(hosts)}: "
    assert str(caught.value) in {where + text.replace("MAIN", keys[0]) for text in texts}
    server.wait_until_said(here)
    good = [] if case == "the group has none" else [f"keys={tmp_path / 'good'}"]
    assert run(load(CHAIN + hosts, *good), tmp_path / "main").exit_code == 0
    assert server.wait() == 0  # it has waited for its runner


def test_strangers_do_not_disturb_a_run(tmp_path: Path, hosts: str, keys: tuple[str, str]) -> None:
    sets = ["relay.params.delay_ms=15"]
    server = Server(load(CHAIN + hosts, f"keys={keys[1]}", *sets), tmp_path / "gpu")
    server.wait_until_said("waits")
    strangers = Strangers(endpoint_of(hosts))
    result = run(load(CHAIN + hosts, f"keys={keys[0]}", *sets), tmp_path / "main")
    assert (result.exit_code, server.wait()) == (0, 0)
    assert lines(tmp_path / "main") == [f"{i} {i}" for i in range(60)]
    assert strangers.end() == 0
    assert any(line.startswith("refused: a peer") for line in server.said)


class Strangers:
    """Knock at the control port and at the port after it: in plaintext, with keys of their own."""

    def __init__(self, endpoint: str) -> None:
        address, _, port = endpoint.rpartition(":")
        self._context = zmq.Context()
        self._sockets = [
            self._knock(f"{address}:{int(port) + offset}", has_keys)
            for offset in (0, 1)
            for has_keys in (True, False)
        ]

    def _knock(self, endpoint: str, has_keys: bool) -> zmq.Socket[bytes]:
        dealer = self._context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.setsockopt(zmq.ROUTING_ID, b"relay.number>collect.number#0")
        if has_keys:
            public, secret = zmq.curve_keypair()
            dealer.curve_publickey, dealer.curve_secretkey = public, secret
            dealer.curve_serverkey = public
        dealer.connect(endpoint)
        call = FromRunner(call=Call("0", "gpu", {}, {}, "x"))
        dealer.send_multipart([msgspec.msgpack.encode(call)])
        dealer.send_multipart([b"H", b"x"])
        return dealer

    def end(self) -> int:
        """Return how many were answered."""
        answered = sum(bool(s.poll(0)) for s in self._sockets)
        for stranger in self._sockets:
            stranger.close()
        self._context.term()
        return answered
