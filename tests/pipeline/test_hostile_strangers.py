"""What strangers say to the producer's end of links: not heard at all by tcp, harmless elsewhere."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from hostile_peers import await_answer, connect, hello, wrong_hellos
from stranger_scene import EDGE, Scene, number
from zmtp_frames import MORE, frame, greeting, plain, ready

from pipeline.outlets import HEARD_AHEAD, HEARD_AT_ONCE, HELLO_BYTES, MAX_REFUSALS

STATM = Path("/proc/self/statm")


def resident_mb() -> float:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[[str], Scene]]:
    """Return a function that makes a scene over a carrier."""
    scenes: list[Scene] = []

    def make(carrier: str) -> Scene:
        scenes.append(Scene("tcp://127.0.0.1:*" if carrier == "tcp" else f"ipc://{tmp_path}/a"))
        return scenes[-1]

    yield make
    for each in scenes:
        each.close()


SECRETS = [{}, {"plain_username": b"posestream", "plain_password": b"ran"}]


@pytest.mark.parametrize("options", SECRETS)
def test_who_does_not_know_the_secret_of_the_run_is_not_heard_by_tcp(
    scene: Callable[[str], Scene], options: dict[str, bytes]
) -> None:
    by_tcp = scene("tcp")
    stranger = by_tcp.stranger(**options)
    stranger.send_multipart([b"H", hello(EDGE.name)])
    assert not by_tcp.outlets.socket.poll(300)
    by_tcp.meet()
    by_tcp.deliver(0)


def test_a_stranger_with_the_name_of_a_peer_to_come_does_not_keep_it_out_by_tcp(
    scene: Callable[[str], Scene],
) -> None:
    by_tcp = scene("tcp")
    early = by_tcp.stranger(f"{EDGE.name}#0")
    early.send_multipart([b"H", hello(EDGE.name)])
    by_tcp.hear(100)
    by_tcp.meet()
    by_tcp.deliver(0)


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc: Linux")
@pytest.mark.parametrize(
    "start", [greeting(), greeting(b"PLAIN") + plain(b"", b"")], ids=["null", "plain"]
)
def test_a_message_without_an_end_is_not_kept(scene: Callable[[str], Scene], start: bytes) -> None:
    by_tcp = scene("tcp")
    parts = frame(b"x" * 32_000, MORE) * 100
    before = resident_mb()
    with connect(by_tcp.port) as endless, contextlib.suppress(OSError):
        endless.sendall(start + ready())
        await_answer(endless)
        for _ in range(30):
            endless.sendall(parts)
        by_tcp.hear(100)
        assert resident_mb() < before + 20
    assert resident_mb() < before + 20
    by_tcp.meet()
    by_tcp.deliver(0)


@pytest.mark.parametrize("start", [b"", greeting()[:9], greeting(b"PLAIN")])
def test_who_does_not_end_its_handshake_is_thrown_out(
    scene: Callable[[str], Scene], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr("pipeline.outlets.HANDSHAKE_MS", 200)
    by_tcp = scene("tcp")
    with connect(by_tcp.port) as slow:
        slow.sendall(start)
        with contextlib.suppress(ConnectionError):
            while slow.recv(4096):  # its greeting; to wait in vain would be a TimeoutError
                pass


@pytest.mark.parametrize("data", list(wrong_hellos(EDGE.name)), ids=lambda data: data[:12].hex())
def test_a_wrong_hello_is_refused_before_and_after_the_right_one(
    scene: Callable[[str], Scene], data: bytes
) -> None:
    by_ipc = scene("ipc")
    for _ in range(2):
        stranger = by_ipc.stranger(f"{EDGE.name}#{len(by_ipc.outlets._peers) + 1}")
        stranger.send_multipart([b"H", data])
        by_ipc.hear(2000 if len(data) < HELLO_BYTES else 100)
        if len(data) < HELLO_BYTES:  # else it was thrown out
            assert stranger.poll(2000)
            assert stranger.recv_multipart()[0] == b"R"
        if not by_ipc.outlets.is_connected:
            by_ipc.meet()
    by_ipc.deliver(0)


def test_a_namesake_of_a_good_peer_has_no_say(scene: Callable[[str], Scene]) -> None:
    by_ipc = scene("ipc")
    by_ipc.meet()
    for incarnation in (0, 1):
        namesake = by_ipc.stranger(f"{EDGE.name}#{incarnation}")
        for parts in ([b"H", hello(EDGE.name)], [b"B"], [b"B", b"B"], [b"C", b"\1\0\0\0"]):
            namesake.send_multipart(parts)
    by_ipc.hear()
    assert not by_ipc.outlets.is_done
    assert by_ipc.outlets.senders[EDGE.name].credit == EDGE.window
    by_ipc.deliver(0)


def test_who_says_hello_and_is_gone_does_no_harm(scene: Callable[[str], Scene]) -> None:
    by_ipc = scene("ipc")
    for data in (hello(EDGE.name), hello(EDGE.name, run="run", credit=4)):
        gone = by_ipc.stranger(f"{EDGE.name}#9")
        gone.send_multipart([b"H", data])
        assert by_ipc.outlets.socket.poll(2000)
        gone.close()
        time.sleep(0.1)
        by_ipc.outlets.receive()
    by_ipc.outlets.offer(EDGE.name, number(0))


@pytest.mark.parametrize("credit", [b"", b"\xff" * 8, b"\xff" * 60_000])
def test_credit_that_is_no_number_of_four_bytes_is_none(
    scene: Callable[[str], Scene], credit: bytes
) -> None:
    by_ipc = scene("ipc")
    by_ipc.meet()
    by_ipc.inlet.socket.send_multipart([b"C", credit])
    by_ipc.hear()
    assert by_ipc.outlets.senders[EDGE.name].credit == EDGE.window


def test_a_flood_leaves_a_node_time_for_its_work(scene: Callable[[str], Scene]) -> None:
    by_ipc = scene("ipc")
    by_ipc.meet()
    stranger = by_ipc.stranger()
    for _ in range(3 * HEARD_AT_ONCE):
        stranger.send_multipart([b"H", hello(EDGE.name)])
    by_ipc.outlets.socket.poll(2000)
    time.sleep(0.3)
    by_ipc.outlets.receive()
    assert by_ipc.outlets.socket.poll(0)  # there is more: it was not all heard at once
    by_ipc.deliver(0)


def test_what_nobody_hears_fills_no_memory(scene: Callable[[str], Scene]) -> None:
    by_ipc = scene("ipc")
    stranger = by_ipc.stranger(sndhwm=1, sndbuf=16_384, sndtimeo=500)
    with pytest.raises(zmq.Again):
        for _ in range(2 * HEARD_AHEAD):
            stranger.send_multipart([b"H", b"x" * 10_000])


def test_refusals_that_nobody_reads_are_not_kept_without_end(
    scene: Callable[[str], Scene],
) -> None:
    by_ipc = scene("ipc")
    stranger = by_ipc.stranger()
    for _ in range(3 * MAX_REFUSALS):
        stranger.send_multipart([b"H", b""])
    by_ipc.hear()
    answers = 0
    while stranger.poll(200):
        assert stranger.recv_multipart()[0] == b"R"
        answers += 1
    assert answers == MAX_REFUSALS


def test_messages_larger_than_a_hello_end_the_connection(scene: Callable[[str], Scene]) -> None:
    by_ipc = scene("ipc")
    by_ipc.meet()
    stranger = by_ipc.stranger()
    stranger.send_multipart([b"H", b"x" * 2**20])
    assert not by_ipc.outlets.socket.poll(300)
    by_ipc.deliver(0)
