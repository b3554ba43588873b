"""Groups on other machines, which here are other processes, reached over loopback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import zmq
from test_run import CHAIN, lines, run_text

from pipeline import config, party
from pipeline.control_line import Call, FromRunner
from pipeline.errors import ConfigError, NodeError, PosestreamError
from pipeline.graph import Graph
from pipeline.keys import make_keys
from pipeline.remote import serve
from pipeline.runner import RunResult, run

SLOW = ["relay.params.delay_ms=20", "count.params.count=3000"]


def free_port() -> int:
    """Return a port which, with the one after it, nobody uses."""
    while True:
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return int(port)


@pytest.fixture
def hosts() -> str:
    """Return the end of a graph of which `count` and `relay` run elsewhere."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    return f'place: {{count: gpu, relay: gpu}}\nhosts: {{gpu: "{endpoint}"}}\n'


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """Return the folders of keys of main and of gpu, each without the other's secret."""
    for name in ("main", "gpu"):
        make_keys(tmp_path / "of_main", name)
    shutil.copytree(tmp_path / "of_main", tmp_path / "of_gpu")
    (tmp_path / "of_main" / "gpu.secret").unlink()
    (tmp_path / "of_gpu" / "main.secret").unlink()
    return str(tmp_path / "of_main"), str(tmp_path / "of_gpu")


class Server:
    """Serves a group in a thread, and holds what came of it."""

    def __init__(self, graph: Graph, out: Path) -> None:
        self.said: list[str] = []
        self.code: int | None = None
        self.error: PosestreamError | None = None
        self._thread = threading.Thread(target=self._serve, args=(graph, out), daemon=True)
        self._thread.start()

    def _serve(self, graph: Graph, out: Path) -> None:
        try:
            self.code = serve(graph, "gpu", out, self.said.append)
        except PosestreamError as error:
            self.error, self.code = error, error.exit_code

    def wait(self) -> int | None:
        self._thread.join(10)
        return self.code

    def wait_until_said(self, text: str) -> None:
        deadline = time.monotonic() + 5
        while not any(text in line for line in self.said):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)


def load(text: str, *sets: str) -> Graph:
    return config.load_text(text, "chain.yaml", sets)


def failure_of(result: RunResult) -> str:
    assert result.failure is not None
    return result.failure.text


def endpoint_of(hosts: str) -> str:
    return hosts.split('"')[1]


def test_a_graph_on_two_machines_gives_what_it_gives_on_one(tmp_path: Path, hosts: str) -> None:
    alone = run_text(CHAIN, tmp_path / "alone")
    server = Server(load(CHAIN + hosts), tmp_path / "gpu")
    result = run(load(CHAIN + hosts), tmp_path / "main")
    assert (result.exit_code, server.wait()) == (0, 0)
    assert lines(tmp_path / "main") == lines(tmp_path / "alone")
    assert [b.frames for b in result.report.balances] == [b.frames for b in alone.report.balances]
    assert server.said == [
        f"group 'gpu' at {endpoint_of(hosts)} waits for its runner: posestream run FILE",
        f"group 'gpu' at {endpoint_of(hosts)} runs",
        f"group 'gpu' at {endpoint_of(hosts)}: complete",
    ]


def test_a_group_in_the_middle_is_fed_and_taken_from_with_keys(
    tmp_path: Path, hosts: str, keys: tuple[str, str]
) -> None:
    text = CHAIN + hosts.replace("count: gpu, ", "collect: other, ")
    before = set(threading.enumerate())
    server = Server(load(text, f"keys={keys[1]}", "count.params.rows=4000"), tmp_path / "gpu")
    graph = load(text, f"keys={keys[0]}", "count.params.rows=4000")
    result = run(graph, tmp_path / "main")
    assert (result.exit_code, server.wait()) == (0, 0)
    assert lines(tmp_path / "main") == [f"{i} {i}" for i in range(60)]
    time.sleep(0.2)
    new = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {"gatekeeper", "control line", "count", "relay", "collect"} & new
    assert not [name for name in new if "_obey" in name]
    secrets = [p.read_text().strip() for f in keys for p in Path(f).glob("*.secret")]
    written = "".join(p.read_text() for p in (tmp_path / "main").iterdir())
    assert not any(secret in written for secret in secrets)


def test_a_runner_waits_for_a_group_that_is_not_up_yet(tmp_path: Path, hosts: str) -> None:
    states: list[str] = []
    servers: list[Server] = []

    def show(nodes: object, seconds: float) -> None:
        states.append(nodes["count"].state)  # type: ignore[index]
        if len(states) == 3:
            servers.append(Server(load(CHAIN + hosts), tmp_path / "gpu"))

    result = run(load(CHAIN + hosts), tmp_path / "main", show)
    assert states[0] == (
        f"waits for {endpoint_of(hosts)}: start it there with posestream run FILE --group gpu"
    )
    assert (result.exit_code, servers[0].wait()) == (0, 0)


def test_a_group_that_nobody_serves_is_named_with_the_command(
    tmp_path: Path, hosts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party, "START_S", 0.3)
    monkeypatch.setattr("pipeline.remote_child.START_S", 0.3)
    with pytest.raises(NodeError) as caught:
        run(load(CHAIN + hosts), tmp_path / "main")
    assert str(caught.value) == (
        f"group 'gpu' at {endpoint_of(hosts)}: no answer for 0.3 s: "
        "start it there with posestream run FILE --group gpu"
    )


def test_a_node_that_raises_elsewhere_is_named_on_both_machines(tmp_path: Path, hosts: str) -> None:
    graph = load(CHAIN + hosts, "relay.params.raise_at=3")
    server = Server(graph, tmp_path / "gpu")
    result = run(graph, tmp_path / "main")
    text = (
        "node 'relay' failed at stream 'count', frame 3: ValueError: three is not a number I like"
    )
    assert failure_of(result) == text
    assert (result.exit_code, server.wait()) == (6, 6)
    assert server.said[-1] == f"group 'gpu' at {endpoint_of(hosts)}: {text}"


def test_a_node_that_hangs_elsewhere_holds_nobody(tmp_path: Path, hosts: str) -> None:
    graph = load(CHAIN + hosts, "relay.params.hang_at=3", "limits.hang_s=0.5")
    server = Server(graph, tmp_path / "gpu")
    result = run(graph, tmp_path / "main")
    assert failure_of(result) == (
        "node 'relay' hangs: stream 'count', frame 3, for more than 0.5 s"
    )
    assert (result.exit_code, server.wait()) == (6, 6)


def test_two_graphs_that_differ_are_refused_on_both_machines(tmp_path: Path, hosts: str) -> None:
    server = Server(load(CHAIN + hosts), tmp_path / "gpu")
    with pytest.raises(ConfigError) as caught:
        run(load(CHAIN + hosts, "count.params.count=61"), tmp_path / "main")
    text = (
        "nodes.count.params.count is 61 at the runner and 60 at the group: "
        "run the same file with the same options on both machines"
    )
    assert str(caught.value) == f"group 'gpu' at {endpoint_of(hosts)}: {text}"
    assert (server.wait(), str(server.error)) == (2, text)


def test_a_port_in_use_is_named_on_both_machines(tmp_path: Path, hosts: str) -> None:
    graph, port = load(CHAIN + hosts), int(endpoint_of(hosts).rpartition(":")[2])
    server = Server(graph, tmp_path / "gpu")
    text = (
        f"cannot bind tcp://127.0.0.1:{port + 1}: the port is in use: "
        "end what uses it (ss -ltnp names it), or write another port"
    )
    with closing(socket.create_server(("127.0.0.1", port + 1))):
        with pytest.raises(ConfigError) as caught:
            run(graph, tmp_path / "main")
        assert (server.wait(), str(server.error)) == (2, text)
    assert str(caught.value) == f"group 'gpu' at {endpoint_of(hosts)}: {text}"


def test_a_second_group_on_the_same_port_is_refused(tmp_path: Path, hosts: str) -> None:
    graph = load(CHAIN + hosts, "count.params.count=5")
    first = Server(graph, tmp_path / "gpu")
    first.wait_until_said("waits")
    second = Server(graph, tmp_path / "gpu2")
    assert second.wait() == 2
    assert str(second.error) == (
        f"cannot bind {endpoint_of(hosts)}: the port is in use: "
        "end what uses it (ss -ltnp names it), or write another port"
    )
    assert run(graph, tmp_path / "main").exit_code == first.wait() == 0


def test_another_runner_is_told_that_the_group_is_taken(tmp_path: Path, hosts: str) -> None:
    graph = load(CHAIN + hosts, "relay.params.delay_ms=20")
    server = Server(graph, tmp_path / "gpu")
    results: list[RunResult] = []
    first = threading.Thread(target=lambda: results.append(run(graph, tmp_path / "main")))
    first.start()
    server.wait_until_said("runs")
    with pytest.raises(ConfigError) as caught:
        run(graph, tmp_path / "other")
    assert (
        str(caught.value) == f"group 'gpu' at {endpoint_of(hosts)}: it serves another run already"
    )
    first.join()
    assert (results[0].exit_code, server.wait()) == (0, 0)


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
        "refused: a peer with keys, where none are used",
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
    assert "refused: a peer without keys" in server.said


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


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pipeline import config
from pipeline.errors import PosestreamError
from pipeline.remote import serve
from pipeline.runner import run
role, file, out, *sets = sys.argv[1:]
graph = config.load(Path(file), sets)
try:
    if role == "serve":
        code = serve(graph, "gpu", Path(out), lambda text: print(text, flush=True))
    else:
        code = run(graph, Path(out)).exit_code
except PosestreamError as error:
    print(error, flush=True)
    code = error.exit_code
sys.exit(code)
"""


def start(role: str, file: Path, out: Path, *sets: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, role, str(file), str(out), *sets],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def pair(tmp_path: Path, hosts: str) -> Iterator[tuple[subprocess.Popen[str], ...]]:
    """Start a run of a minute on two "machines"; yield runner and group once they work."""
    (tmp_path / "chain.yaml").write_text(CHAIN + hosts)
    group = start("serve", tmp_path / "chain.yaml", tmp_path / "gpu", *SLOW)
    runner = start("run", tmp_path / "chain.yaml", tmp_path / "main", *SLOW)
    deadline = time.monotonic() + 30
    while not (tmp_path / "main" / "collect.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    yield runner, group
    for process in (runner, group):
        process.kill()
        process.communicate()


def test_a_group_that_is_killed_elsewhere_is_named_within_3_s(
    tmp_path: Path, hosts: str, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    group.kill()
    assert runner.wait(3) == 6
    stats = msgspec.json.decode((tmp_path / "main" / "stats.json").read_bytes())
    what = f"group 'gpu' at {endpoint_of(hosts)}: no answer: it was killed, or is out of reach"
    assert stats["state"] == "failed"
    assert stats["why"].startswith(what)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_group_whose_runner_is_gone_ends_within_5_s(
    hosts: str, pair: tuple[subprocess.Popen[str], ...], how: signal.Signals
) -> None:
    runner, group = pair
    runner.send_signal(how)
    assert group.wait(5) == 6
    assert group.stdout is not None
    assert group.stdout.read().splitlines()[-1] == (
        f"group 'gpu' at {endpoint_of(hosts)}: the runner was killed, or is out of reach"
    )


def test_an_interrupted_runner_ends_both_with_finished_outputs(
    tmp_path: Path, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    runner.send_signal(signal.SIGINT)
    assert (runner.wait(10), group.wait(5)) == (130, 130)
    done = lines(tmp_path / "main")
    assert done == [f"{i} {i}" for i in range(len(done))] != []


def test_a_group_that_is_interrupted_ends_the_run(
    tmp_path: Path, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    group.send_signal(signal.SIGINT)
    assert (runner.wait(5), group.wait(5)) == (130, 130)
    stats = msgspec.json.decode((tmp_path / "main" / "stats.json").read_bytes())
    assert stats["why"] == "group 'gpu' was interrupted on its machine"
