"""The carrier: what goes which way between processes, and that nobody waits for a peer that is gone."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from test_run import CHAIN
from toys import Number

from pipeline import config, group
from pipeline.graph import Edge, Policy
from pipeline.group import NO_SHARED_MEMORY, Group
from pipeline.links import LinkError
from pipeline.messages import Item
from pipeline.parcels import SPARE_SLOTS, Packer, Unpacker
from pipeline.shared_memory import Handle, is_supported
from pipeline.transport import Inlet, Outlets, Wiring
from pipeline.wire import WireError

needs_memory = pytest.mark.skipif(not is_supported(), reason="needs memfd_create and /proc: Linux")
EDGE = Edge("a", "number", "b", "number", Policy.LOSSLESS, 4, ("a",))
ROWS = 2000  # of 64 bytes: large enough for shared memory


def number(value: int = 1, rows: int = ROWS) -> Item:
    payload = np.full((rows, 64), value, np.uint8)
    message = Number(stream="a", seq=value, stamp_ns=0, value=value, payload=payload)
    return Item.data(message, 0)


def payload_of(item: Item) -> np.ndarray:
    assert isinstance(item.message, Number)
    return item.message.payload


def test_credit_for_a_producer_that_is_gone_keeps_nobody_waiting() -> None:
    wiring = Wiring.create("test", ["a", "b"])
    outlets, inlet = Outlets("a", [EDGE], wiring), Inlet(EDGE, {}, wiring, on_idle=False)
    inlet.socket.connect(wiring.local_endpoint("a"))
    outlets.socket.close()
    inlet.socket.poll(100)  # hears of it
    thread = threading.Thread(
        target=lambda: (inlet.grant(idle=True, held=0), inlet.leave()), daemon=True
    )
    thread.start()
    thread.join(2)
    assert not thread.is_alive()
    inlet.socket.close()
    wiring.close()


Link = tuple[Outlets, Inlet]


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., Link]]:
    """Return a function that links two "processes" over ipc."""
    wirings, sockets = [], []

    def link(*, producer_shares: bool = True, consumer_shares: bool = True) -> Link:
        here = Wiring.create("run", ["a"], shares_memory=producer_shares)
        there = Wiring.create("run", ["b"], shares_memory=consumer_shares)
        outlets = Outlets("a", [EDGE], here)
        there.endpoints["a"] = outlets.bind(f"ipc://{tmp_path}/a")
        inlet = Inlet(EDGE, {"Number": Number}, there, on_idle=False)
        inlet.connect()
        assert outlets.socket.poll(2000)
        outlets.receive()
        wirings.extend([here, there])
        sockets.extend([outlets.socket, inlet.socket])
        return outlets, inlet

    yield link
    for socket in sockets:
        socket.close()
    for wiring in wirings:
        wiring.close()


def receive(inlet: Inlet) -> Item:
    while not inlet.receiver.queue:
        assert inlet.socket.poll(2000)
        inlet.receive()
    return inlet.receiver.take()


@needs_memory
@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_a_message_crosses_processes_in_every_size(
    connect: Callable[..., Link], shares: bool, rows: int
) -> None:
    outlets, inlet = connect(producer_shares=shares)
    outlets.offer(EDGE.name, number(3, rows))
    received = payload_of(receive(inlet))
    np.testing.assert_array_equal(received, np.full((rows, 64), 3, np.uint8))
    assert not received.flags.writeable


@needs_memory
def test_an_array_made_for_a_message_is_sent_where_it_lies(connect: Callable[..., Link]) -> None:
    outlets, inlet = connect()
    array = outlets.empty((ROWS, 64), np.uint8)
    array[:] = 8
    message = Number(stream="a", seq=0, stamp_ns=0, value=8, payload=array)
    outlets.offer(EDGE.name, Item.data(message, 0))
    received = payload_of(receive(inlet))
    array.flags.writeable = True  # as no node may: it shows that there is one copy only
    array[0, 0] = 9
    assert received[0, 0] == 9


def test_arrays_are_made_whether_or_not_memory_is_shared(connect: Callable[..., Link]) -> None:
    outlets, _ = connect(producer_shares=False)
    for rows in (1, ROWS):
        array = outlets.empty((rows, 64), np.float32)
        assert (array.shape, array.dtype, array.flags.writeable) == ((rows, 64), np.float32, True)


@needs_memory
def test_handles_are_refused_where_no_memory_is_shared(connect: Callable[..., Link]) -> None:
    outlets, inlet = connect(consumer_shares=False)
    outlets.offer(EDGE.name, number())
    with pytest.raises(LinkError, match="handles of shared memory where none were agreed on"):
        receive(inlet)


def kinds(packer: Packer, count: int) -> list[bytes]:
    return [bytes(packer.pack(EDGE.name, number(value), value)[0]) for value in range(count)]


@needs_memory
def test_messages_without_room_in_shared_memory_carry_their_arrays() -> None:
    packer, room = (
        Packer([EDGE], shares_memory=True),
        2 * (EDGE.window + len(EDGE.streams)) + SPARE_SLOTS,
    )
    assert kinds(packer, room + 2) == [b"S"] * room + [b"D"] * 2
    unpacker = Unpacker({"Number": Number}, shares_memory=True)
    kind, *parts = packer.pack(EDGE.name, number(77), 0)
    item, _ = unpacker.unpack(bytes(kind), [memoryview(part) for part in parts])
    assert (payload_of(item) == 77).all()


@needs_memory
def test_a_message_that_nobody_keeps_gives_its_room_back() -> None:
    packer = Packer([EDGE], shares_memory=True)
    unpacker = Unpacker({"Number": Number}, shares_memory=True)
    kept = []
    for value in range(100):
        kind, *parts = packer.pack(EDGE.name, number(value), value)
        assert kind == b"S"
        item, _ = unpacker.unpack(b"S", [memoryview(part) for part in parts])
        kept = [*kept[-3:], item]
        assert all((payload_of(item) == item.seq).all() for item in kept)


@needs_memory
@pytest.mark.parametrize(
    ("handles", "expected"),
    [
        (b"\xc1", "handles: "),
        (b"\x91\x01", "handles: "),
        (msgspec.msgpack.encode([None]), "0 buffers for 1 arrays"),
        (msgspec.msgpack.encode([None, None]), "0 buffers for 2 arrays"),
        (msgspec.msgpack.encode([]), "0 buffers for 1 arrays"),
        (msgspec.msgpack.encode([None] * 5000), "none were agreed on"),
        (msgspec.msgpack.encode([Handle(os.getpid(), 0, 0, 0, 0, 0, 0)]), "cannot be read"),
    ],
)
def test_broken_handles_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, handles: bytes, expected: str
) -> None:
    monkeypatch.setattr("pipeline.shared_memory.DEATH_S", 0.0)
    _, header, _ = Packer([EDGE], shares_memory=False).pack(EDGE.name, number(), 0)
    with pytest.raises(WireError) as caught:
        Unpacker({"Number": Number}, shares_memory=True).unpack(b"S", [handles, header])  # type: ignore[list-item]
    assert expected in str(caught.value)


def test_a_system_without_shared_memory_uses_ipc_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(group, "is_supported", lambda: False)
    graph = config.load_text(CHAIN, "test.yaml", ["place={collect: other}"])
    local = Group(graph, ["count", "relay"], "run")
    endpoints = local.bind(tmp_path)
    assert endpoints == {"relay": f"ipc://{tmp_path}/relay-0"}
    assert local.loops["relay"].stats.warnings == [NO_SHARED_MEMORY]
    assert not local.loops["count"].stats.warnings
    for loop in local.loops.values():
        loop._switchboard.close()
    assert local.join(0) == []
