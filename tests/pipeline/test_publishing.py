"""What is published is heard bit for bit; what a slow, late or hostile listener loses, it alone loses."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st
from test_run import CHAIN, TWO
from toys import Number

import pipeline
from pipeline import config
from pipeline.errors import ConfigError
from pipeline.listening import MAX_TOPICS, Heard, Listener
from pipeline.messages import Item, Kind
from pipeline.publishing import Publisher
from pipeline.runner import run
from pipeline.wire import WireError, encode
from pipeline.wiring import Wiring


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def number(seq: int, rows: int = 1, stream: str = "cam") -> Item:
    payload = np.full((rows, 64), seq % 251, np.uint8)
    return Item.data(Number(stream=stream, seq=seq, stamp_ns=seq, value=seq, payload=payload), 5)


@pytest.fixture
def wiring() -> Iterator[Wiring]:
    made = Wiring.create("run", ["relay"])
    yield made
    made.close()


@pytest.fixture
def publish(wiring: Wiring) -> Iterator[Callable[..., Publisher]]:
    """Return a function that makes a publisher of the node `relay`."""
    made: list[Publisher] = []

    def make(**outputs: str) -> Publisher:
        made.append(Publisher("relay", outputs, wiring))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(endpoint: str, prefix: str = "") -> Listener:
        made.append(Listener(endpoint, prefix))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def meet(publisher: Publisher, output: str, listener: Listener) -> None:
    """Publish until the listener hears it, on a stream of its own."""
    for _ in range(500):
        publisher.publish(output, number(0, stream="meet"))
        if listener.hear(10):
            return
    raise AssertionError("nothing was heard in 5 s")


def hear(listener: Listener, count: int, timeout_ms: int = 2000) -> list[Heard]:
    """Return the next messages that do not belong to `meet`."""
    found: list[Heard] = []
    while len(found) < count and (heard := listener.hear(timeout_ms)):
        found += [heard] if heard.header.stream != "meet" else []
    return found


Publish = Callable[..., Publisher]
Listen = Callable[..., Listener]


# ------------------------------------------------------------------ what is heard


def test_every_kind_is_heard_bit_for_bit_and_numbered(publish: Publish, listen: Listen) -> None:
    endpoint = free_endpoint()
    publisher, listener = publish(number=endpoint), listen(endpoint)
    meet(publisher, "number", listener)
    gap = Item(Kind.GAP, "cam", 3, 3, 1, reason="dropped: busy", count=4, last=6)
    items = [
        number(0, rows=40), Item(Kind.SKIP, "cam", 1, 1, 1, reason="first"),
        Item(Kind.ERROR, "cam", 2, 2, 1, reason="damaged"), gap,
        Item(Kind.BREAK, "cam", 7, 7, 1, reason="changed"), number(8, rows=2000),
        Item(Kind.EOS, "cam", 0, 0, reason="3 of 9"),
    ]  # fmt: skip
    for item in items:
        publisher.publish("number", item)
    heard = hear(listener, len(items))
    assert [h.header.link_seq for h in heard] == list(range(7))
    assert [(h.header.kind, h.header.seq, h.header.reason) for h in heard] == [
        (i.kind, i.seq, i.reason) for i in items
    ]
    assert {(h.topic, h.missed, h.is_anew) for h in heard} == {("relay.number/cam", 0, False)}
    assert (heard[3].header.count, heard[3].header.last) == (4, 6)
    assert heard[6].header.count == 9  # keys: 5 alone and 4 in the gap
    assert heard[5].scalars == {"stream": "cam", "seq": 8, "stamp_ns": 8, "value": 8}
    np.testing.assert_array_equal(heard[5].arrays["payload"], np.full((2000, 64), 8))
    assert heard[5].header.born_ns == 5


def test_outputs_of_one_node_share_an_endpoint_and_are_told_apart_by_prefix(
    publish: Publish, listen: Listen
) -> None:
    endpoint = free_endpoint()
    publisher, one = publish(a=endpoint, b=endpoint), listen(endpoint, "relay.b/")
    meet(publisher, "b", one)
    for index in range(3):
        publisher.publish("a", number(index))
        publisher.publish("b", number(10 + index))
    assert [(h.topic, h.header.seq, h.missed) for h in hear(one, 3)] == [
        ("relay.b/cam", 10 + index, 0) for index in range(3)
    ]


def test_each_stream_has_its_own_numbers_and_ends_by_itself(
    publish: Publish, listen: Listen
) -> None:
    endpoint = f"{free_endpoint()}"
    publisher, listener = publish(number=endpoint), listen(endpoint)
    meet(publisher, "number", listener)
    publisher.publish("number", number(0, stream="left"))
    publisher.publish("number", number(0, stream="right"))
    for stream in ("meet", "left"):
        publisher.publish("number", Item(Kind.EOS, stream, 0, 0))
    assert [h.header.link_seq for h in hear(listener, 3)] == [0, 0, 1]
    assert not listener.has_ended
    publisher.publish("number", Item(Kind.EOS, "right", 0, 0))
    hear(listener, 1)
    assert not listener.has_ended  # another stream may begin, as long as somebody publishes
    publisher.close()
    deadline = time.monotonic() + 5
    while not listener.has_ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert listener.has_ended


def test_what_is_not_published_goes_nowhere(publish: Publish) -> None:
    publish().publish("number", number(0))


def test_a_late_listener_knows_what_it_missed_and_when_another_run_began(listen: Listen) -> None:
    endpoint = free_endpoint()
    listener = listen(endpoint)
    for run_number, expected in enumerate([(0, False), (1, True)]):
        wiring = Wiring.create("run", ["relay"])
        publisher = Publisher("relay", {"number": endpoint}, wiring)
        for index in range(run_number):
            publisher.publish("number", number(index))
        meet(publisher, "number", listener)
        publisher.publish("number", number(5))
        (heard,) = hear(listener, 1)
        assert (heard.missed, heard.is_anew) == expected
        publisher.publish("number", number(6))
        publisher.publish("number", number(7))
        hear(listener, 2)
        publisher.close()
        wiring.close()


def test_a_header_too_large_for_the_wire_is_published_as_a_gap(
    publish: Publish, listen: Listen
) -> None:
    endpoint = free_endpoint()
    publisher, listener = publish(number=endpoint), listen(endpoint)
    meet(publisher, "number", listener)
    publisher.publish("number", number(3, stream="s" * 2000))
    publisher.publish("number", Item(Kind.EOS, "s" * 2000, 0, 0))
    heard, end = hear(listener, 2)
    assert (heard.header.kind, heard.header.seq, heard.header.last) == (Kind.GAP, 3, 3)
    assert heard.header.reason.endswith("bytes exceeds 4096")
    assert end.header.count == 1


# ------------------------------------------------------------------ slow and hostile listeners


@pytest.mark.parametrize("owns", [True, False])
def test_a_stalled_listener_slows_nobody_and_sees_what_it_lost(
    publish: Publish, listen: Listen, monkeypatch: pytest.MonkeyPatch, owns: bool
) -> None:
    monkeypatch.setattr("pipeline.publishing.BEHIND_BYTES", 4_000_000)
    endpoint = free_endpoint()
    publisher, listener = publish(number=endpoint), listen(endpoint)
    meet(publisher, "number", listener)
    began = time.monotonic()
    for seq in range(1000):  # of 1 MB; the other side of the wire has room for a few of them
        payload = np.zeros((15_625, 64), np.uint8)
        payload[:] = seq % 251
        message = Number(
            stream="cam", seq=seq, stamp_ns=seq, value=seq, payload=payload if owns else payload[:]
        )
        publisher.publish("number", Item.data(message, 0))
    assert time.monotonic() - began < 10
    heard = hear(listener, 1000, 300)
    assert 2 <= len(heard) < 200
    assert heard[0].header.link_seq == 0
    publisher.publish("number", number(1000))
    heard += hear(listener, 1)
    assert heard[-1].header.seq == 1000
    assert sum(h.missed for h in heard) + len(heard) == 1001
    assert all((h.arrays["payload"] == h.header.seq % 251).all() for h in heard)


def test_strangers_who_ask_for_nonsense_do_not_disturb_a_good_listener(
    publish: Publish, listen: Listen
) -> None:
    endpoint = free_endpoint()
    publisher, listener = publish(number=endpoint), listen(endpoint)
    meet(publisher, "number", listener)
    address = ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    noise = np.random.default_rng(3).bytes(5000)
    claim = b"\xff" + bytes(8) + b"\x7f" + bytes(54) + b"\x02" + (2**33).to_bytes(8, "big")
    for data in (noise, b"\x01\x00" * 500, claim, b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(address) as stranger:
            with suppress(ConnectionError):
                stranger.sendall(data)
            publisher.publish("number", number(0))
            publisher.publish("number", number(1))
    assert [h.missed for h in hear(listener, 8)] == [0] * 8


@pytest.fixture
def rogue(listen: Listen) -> Iterator[tuple[zmq.Socket[bytes], Listener]]:
    """Return a publisher that can send anything, and a listener that hears it."""
    endpoint = free_endpoint()
    context = zmq.Context()
    pub = context.socket(zmq.XPUB)
    pub.setsockopt(zmq.SNDHWM, 0)
    pub.setsockopt(zmq.LINGER, 0)
    pub.bind(endpoint)
    listener = listen(endpoint)
    assert pub.poll(5000)  # for the subscription
    yield pub, listener
    pub.close()
    context.term()


Rogue = tuple[zmq.Socket[bytes], Listener]
GOOD = [bytes(part) for part in encode(number(0), 0, 0)]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([b"relay.number/cam"], "0 parts"),
        ([b"relay.number/cam", b"\xc1"], "header: "),
        ([b"relay.number/other", *GOOD], "stream 'cam' under the topic 'relay.number/other'"),
        ([b"\xff\xfe", *GOOD], "stream 'cam' under the topic"),
        ([b"relay.number/cam", *GOOD, b"more"], "2 buffers for 1 arrays"),
    ],
)
def test_a_malformed_message_is_refused_and_the_next_is_heard(
    rogue: Rogue, parts: list[bytes], expected: str
) -> None:
    pub, listener = rogue
    pub.send_multipart(parts)
    pub.send_multipart([b"relay.number/cam", *GOOD])
    with pytest.raises(WireError, match=expected):
        listener.hear(2000)
    heard = listener.hear(2000)
    assert heard is not None and heard.header.seq == 0


def test_endless_topics_do_not_fill_the_memory_of_a_listener(rogue: Rogue) -> None:
    pub, listener = rogue
    for index in range(MAX_TOPICS + 5):
        pub.send_multipart([b"%d/cam" % index, *GOOD])
    refused = 0
    for _ in range(MAX_TOPICS + 5):
        try:
            listener.hear(2000)
        except WireError:
            refused += 1
    assert (refused, listener.topics) == (5, MAX_TOPICS)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=60), min_size=1, max_size=4), max_size=10))
def test_random_parts_are_never_more_than_a_wire_error(batches: list[list[bytes]]) -> None:
    listener = Listener("ipc:///nowhere/at/all")
    for topic, *parts in batches:
        listener._socket.recv_multipart = lambda *_, r=[topic, *parts]: r  # type: ignore[method-assign]
        listener._socket.poll = lambda *_: 1  # type: ignore[method-assign]
        with pytest.raises(WireError):
            listener.hear(0)
    listener.close()


# ------------------------------------------------------------------ endpoints


def complaint(publish: Publish, endpoint: str) -> str:
    with pytest.raises(ConfigError) as caught:
        publish(number=endpoint)
    return str(caught.value)


def test_an_endpoint_in_use_is_refused_before_the_run(publish: Publish) -> None:
    endpoint = free_endpoint()
    publish(number=endpoint)
    assert complaint(publish, endpoint) == (
        f"publish.relay.number: cannot bind {endpoint}: the port is in use: "
        "end what uses it (ss -ltnp names it), or write another port"
    )


def test_an_address_of_another_machine_is_refused(publish: Publish) -> None:
    assert complaint(publish, "tcp://192.0.2.1:5601") == (
        "publish.relay.number: cannot bind tcp://192.0.2.1:5601: this machine has no such address: "
        "write one that `ip address` lists here"
    )


def test_a_path_in_use_and_a_file_are_left_alone(publish: Publish, tmp_path: Path) -> None:
    taken, file = f"ipc://{tmp_path}/taken", tmp_path / "file"
    file.write_text("precious")
    publish(number=taken)
    start = "publish.relay.number: "
    assert complaint(publish, taken) == (
        f"{start}{taken} is in use: choose another path or end the program that has it"
    )
    assert complaint(publish, f"ipc://{file}") == (
        f"{start}ipc://{file} is a file: choose another path"
    )
    assert complaint(publish, f"ipc://{tmp_path}/no/where") == (
        f"{start}ipc://{tmp_path}/no/where cannot be bound: there is no folder {tmp_path}/no"
    )
    assert file.read_text() == "precious"


def test_a_path_that_a_dead_program_left_behind_is_taken(
    publish: Publish, listen: Listen, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/poses")
    publisher, listener = (
        publish(number=f"ipc://{tmp_path}/poses"),
        listen(f"ipc://{tmp_path}/poses"),
    )
    meet(publisher, "number", listener)


def test_an_endpoint_that_cannot_be_connected_to_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        Listener("tcp://127.0.0.1")
    assert str(caught.value) == "tcp://127.0.0.1 cannot be connected to: Invalid argument"


# ------------------------------------------------------------------ whole graphs


def heard_of(text: str, out: Path, listener: Listener, *sets: str, placement: str) -> list[Heard]:
    """Run a graph while a listener listens; return all that it heard."""
    heard: list[Heard] = []

    def follow() -> None:
        deadline = time.monotonic() + 20
        while not listener.has_ended and time.monotonic() < deadline:
            found = listener.hear(100)
            heard.extend([found] if found else [])

    thread = threading.Thread(target=follow)
    thread.start()
    result = run(config.load_text(text, "test.yaml", sets, placement=placement), out)
    thread.join()
    assert result.report.state == "complete"
    return heard


@pytest.mark.parametrize("placement", ["threads", "processes"])
def test_a_listener_that_is_there_from_the_start_hears_the_whole_run(
    tmp_path: Path, listen: Listen, placement: str
) -> None:
    endpoint = free_endpoint()
    listener = listen(endpoint)
    # Pace gives the listener the time to connect: what is sent before is counted as missed.
    text = CHAIN.replace("{count: 60}}", "{count: 60}, pace: 100}")
    text = re.sub(r"number: (\w+\.number)", r"number: {from: \1, policy: lossless}", text)
    text += f"publish: {{relay.number: '{endpoint}'}}\n"
    heard = heard_of(text, tmp_path, listener, "relay.params.skip_every=7", placement=placement)
    assert [h.header.link_seq for h in heard] == list(range(heard[0].header.link_seq, 61))
    assert heard[0].missed == heard[0].header.link_seq < 30
    kinds = [h.header.kind for h in heard[-15:]]
    assert kinds == [Kind.SKIP if i % 7 == 0 else Kind.DATA for i in range(46, 60)] + [Kind.EOS]
    assert heard[-1].header.count == 60


def test_two_streams_of_one_output_are_two_topics(tmp_path: Path, listen: Listen) -> None:
    endpoint = free_endpoint()
    listener = listen(endpoint)
    text = TWO.replace("}}\n  r", "}, pace: 60}\n  r")
    text += f"publish: {{relay.number: '{endpoint}'}}\n"
    heard = heard_of(text, tmp_path, listener, placement="threads")
    ends = {h.topic: h.header.count for h in heard if h.header.kind is Kind.EOS}
    assert ends == {"relay.number/left": 40, "relay.number/right": 25}


@pytest.mark.parametrize("placement", ["threads", "processes"])
def test_a_run_whose_endpoint_is_in_use_fails_before_it_starts(
    tmp_path: Path, publish: Publish, placement: str
) -> None:
    endpoint = free_endpoint()
    publish(number=endpoint)
    graph = tmp_path / "graph.yaml"
    graph.write_text(CHAIN + f"publish: {{relay.number: '{endpoint}'}}\n")
    ours = os.pathsep.join([str(Path(pipeline.__file__).parent.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", str(graph), "--placement", placement],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ours},
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        [
            f"error: publish.relay.number: cannot bind {endpoint}: the port is in use: "
            "end what uses it (ss -ltnp names it), or write another port"
        ],
    )
    assert not list(tmp_path.rglob("collect.txt"))
