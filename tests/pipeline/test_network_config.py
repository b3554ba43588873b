"""What is wrong with `hosts`, `keys` and `publish`, said before anything is opened."""

from pathlib import Path

import pytest
from test_run import CHAIN

from pipeline import config
from pipeline.errors import ConfigError
from pipeline.hosts import machine_of, nodes_of, outlet_endpoint, plaintext_warning

PLACED = CHAIN + "place: {count: gpu, relay: gpu}\n"
OPEN = (
    "can be reached from other machines: encrypt with keys: FOLDER "
    "(posestream keys FOLDER NAME makes them), or write allow_plaintext: true"
)
ONE_ADDRESS = "must name one address that the other machines can reach, not"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'hosts: {gup: "tcp://127.0.0.1:5700"}',
            "hosts.gup: no node is placed in the group 'gup'. Did you mean 'gpu'? Allowed: main, gpu",
        ),
        (
            'hosts: {gpu: "127.0.0.1:5700"}',
            "hosts.gpu: must be tcp://ADDRESS:PORT, such as tcp://192.168.1.20:5700, "
            "not '127.0.0.1:5700'",
        ),
        (
            'hosts: {gpu: "tcp://127.0.0.1:70000"}',
            "hosts.gpu: must have a port of 1 to 65535, such as tcp://192.168.1.20:5700, "
            "not 'tcp://127.0.0.1:70000'",
        ),
        ('hosts: {gpu: "tcp://192.168.1.20:5700"}', f"hosts.gpu: tcp://192.168.1.20:5700 {OPEN}"),
        (
            'allow_plaintext: true\nhosts: {gpu: "tcp://0.0.0.0:5700"}',
            f"hosts.gpu: {ONE_ADDRESS} 'tcp://0.0.0.0:5700'",
        ),
        (
            'hosts: {gpu: "tcp://127.0.0.1:5700", main: "tcp://127.0.0.1:5700"}',
            "hosts.main: tcp://127.0.0.1:5700 is the endpoint of 'gpu' already",
        ),
        (
            'publish: {relay.numbr: "tcp://127.0.0.1:5601"}',
            "publish.relay.numbr: there is no output 'relay.numbr'. "
            "Did you mean 'relay.number'? Allowed: count.number, relay.number",
        ),
        (
            'publish: {relay.number: "tcp://*:5601"}',
            f"publish.relay.number: tcp://*:5601 {OPEN}",
        ),
        (
            'publish: {relay.number: "udp://127.0.0.1:5601"}',
            "publish.relay.number: must be tcp://ADDRESS:PORT or ipc://PATH, "
            "not 'udp://127.0.0.1:5601'",
        ),
        (
            'publish: {count.number: "ipc:///tmp/a", relay.number: "ipc:///tmp/a"}',
            "publish.relay.number: ipc:///tmp/a is an endpoint of node 'count' already: "
            "each node needs its own",
        ),
    ],
)
def test_what_is_wrong_with_the_network_is_said_with_the_cure(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load_text(PLACED + text, "graph.yaml")
    line = (PLACED + text).count("\n") + 1
    assert str(caught.value) == f"graph.yaml:{line}: {problem}"


HOSTS = 'hosts: {gpu: "tcp://192.168.1.20:5700", main: "tcp://192.168.1.10:5600"}\n'


@pytest.mark.parametrize("cure", ["keys: somewhere", "allow_plaintext: true"])
def test_either_cure_lets_other_machines_in(cure: str) -> None:
    graph = config.load_text(PLACED + HOSTS + cure, "graph.yaml")
    assert config.parse(graph.resolved).hosts == graph.hosts
    warning = (
        "allow_plaintext: whoever reaches tcp://192.168.1.20:5700, tcp://192.168.1.10:5600 "
        "can read and forge what goes there"
    )
    assert plaintext_warning(graph) == ("" if cure.startswith("keys") else warning)


def test_nobody_is_warned_of_what_stays_on_this_machine() -> None:
    text = 'hosts: {gpu: "tcp://127.0.0.1:5700"}\npublish: {relay.number: "ipc:///tmp/a"}'
    assert plaintext_warning(config.load_text(PLACED + text, "graph.yaml")) == ""


def test_the_outputs_for_other_machines_follow_the_port_of_their_machine(
    tmp_path: Path,
) -> None:
    text = CHAIN.replace("relay.number}}", "relay.number, other: count.number}}")
    text += "place: {count: gpu, relay: box}\nallow_plaintext: true\n"
    graph = config.load_text(text + HOSTS, "graph.yaml")
    assert [machine_of(graph, name) for name in graph.nodes] == ["gpu", "main", "main"]
    assert nodes_of(graph, "gpu") == ["count"]
    assert outlet_endpoint(graph, "count", tmp_path / "a") == "tcp://192.168.1.20:5701"
    assert outlet_endpoint(graph, "relay", tmp_path / "a") == f"ipc://{tmp_path}/a"


def test_the_runner_binds_where_the_other_machine_can_reach_it(
    tmp_path: Path,
) -> None:
    text = CHAIN + 'place: {collect: view}\nhosts: {view: "tcp://127.0.0.1:5700"}'
    graph = config.load_text(text, "graph.yaml")
    assert outlet_endpoint(graph, "relay", tmp_path / "a") == "tcp://127.0.0.1:*"
