"""Groups on other machines, which here are threads, reached over loopback."""

import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from test_run import CHAIN, lines, run_text
from two_machines import Server, endpoint_of, failure_of, load

from pipeline import party
from pipeline.errors import ConfigError, NodeError
from pipeline.runner import RunResult, run


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
