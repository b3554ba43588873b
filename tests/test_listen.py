"""`posestream listen`: what it prints, what it says it missed, how it ends, whoever the peer is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

import pipeline
from nodes.messages import Features, RelativePose
from nodes.vision.camera import Camera
from pipeline.commands.listen import SHOWN_FAULTS, Log, as_json_line, as_line
from pipeline.keys import Keyring, make_keys
from pipeline.listening import Heard
from pipeline.messages import Item, Kind, Message
from pipeline.publishing import Publisher
from pipeline.wire import encode, read, scalars_of
from pipeline.wiring import Wiring

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
COMMAND = [sys.executable, "-m", "pipeline", "listen"]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(pipeline.__file__).parent.parent), *sys.path]),
}


def free_endpoint() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def lost(seq: int, reason: str = "too_few_matches: 4 < 8") -> Item:
    pose = RelativePose(
        stream="cam", seq=seq, stamp_ns=seq * 10**8, seq_prev=seq - 1, stamp_ns_prev=0,
        num_matches=4, num_inliers=0, label="lost", reason=reason,
    )  # fmt: skip
    return Item.data(pose, 0)


def parts(item: Item, number: int, topic: str = "pose.pose/cam") -> list[bytes]:
    return [topic.encode(), *(bytes(part) for part in encode(item, number, 0))]


END = Item(Kind.EOS, "cam", 0, 0, count=3)


class Peer:
    """A publisher that can send anything, and a `posestream listen` that is connected to it."""

    def __init__(self, *options: str, endpoint: str = "") -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self.endpoint = endpoint or free_endpoint()
        self._socket.bind(self.endpoint)
        self.listener = subprocess.Popen(
            [*COMMAND, self.endpoint, *options], env=ENVIRONMENT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.meet()

    def meet(self) -> None:
        """Wait until the listener has subscribed."""
        assert self._socket.poll(20_000)
        self._socket.recv()

    def send(self, *messages: list[bytes]) -> None:
        for message in messages:
            self._socket.send_multipart(message)

    def begin_anew(self) -> None:
        self._socket.close()
        self._context.term()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.bind(self.endpoint)
        self.meet()

    def end(self) -> tuple[int, list[str], list[str]]:
        """Publish no more; return exit code, and the lines of both outputs."""
        self._socket.close(linger=5000)
        self._context.term()
        out, err = self.listener.communicate(timeout=20)
        return self.listener.returncode, out.splitlines(), err.splitlines()

    def close(self) -> None:
        self.listener.kill()
        self.listener.communicate()
        self._socket.close(linger=0)
        self._context.term()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(*options: str) -> Peer:
        made.append(Peer(*options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# ------------------------------------------------------------------ whole commands


def test_it_prints_a_line_for_each_message_and_ends_with_the_stream(
    peer: Callable[..., Peer],
) -> None:
    one = peer()
    gap = Item(Kind.GAP, "cam", 2, 10, reason="dropped: busy", count=3, last=4)
    one.send(parts(lost(1), 0), parts(gap, 1), parts(END, 2))
    assert one.end() == (
        0,
        [
            "pose.pose/cam #0 data seq=1 stamp=0.100000s RelativePose seq_prev=0 stamp_ns_prev=0 "
            "num_matches=4 num_inliers=0 label=lost scale=null reason=too_few_matches: 4 < 8 "
            "camera=null",
            'pose.pose/cam #1 gap seq=2 stamp=0.000000s to 4, 3 in all "dropped: busy"',
            "pose.pose/cam #2 eos after 3",
        ],
        ["3 messages, 0 missed, 0 malformed"],
    )


def test_it_says_what_it_missed_hears_the_next_run_and_ends_after_count(
    peer: Callable[..., Peer],
) -> None:
    one = peer("--count", "4", "--json", "--topic", "pose.pose/")
    one.send(parts(lost(1), 0, "other.pose/cam"), parts(lost(1), 5), parts(lost(4), 8))
    time.sleep(0.3)
    one.begin_anew()
    one.send(parts(lost(1), 1), parts(lost(2), 2), parts(lost(3), 3))
    code, lines, said = one.end()
    rows = [json.loads(line) for line in lines]
    assert code == 0
    assert [(r["topic"], r["link_seq"], r["missed"]) for r in rows] == [
        ("pose.pose/cam", number, missed) for number, missed in ((5, 5), (8, 2), (1, 1), (2, 0))
    ]
    assert said == [
        "pose.pose/cam: missed 5 at the beginning",
        "pose.pose/cam: missed 2 before 8",
        "pose.pose/cam: began anew",
        "pose.pose/cam: missed 1 at the beginning",
        "4 messages, 8 missed, 0 malformed",
    ]


def test_malformed_messages_are_reported_and_counted_but_never_the_end(
    peer: Callable[..., Peer],
) -> None:
    one = peer()
    one.send(*[[b"\x1b[2J", b"\xc1"]] * 50, parts(lost(1, "\x1b[31mred\n"), 0), parts(END, 1))
    code, lines, said = one.end()
    assert (code, len(lines)) == (0, 2)
    assert "reason=\ufffd[31mred\ufffd" in lines[0]
    assert len([line for line in said if line.startswith("malformed message: ")]) == SHOWN_FAULTS
    assert said[-1] == "2 messages, 0 missed, 50 malformed"
    assert not any("\x1b" in line for line in [*lines, *said])


def test_ctrl_c_ends_it_with_130_and_the_sum(peer: Callable[..., Peer]) -> None:
    one = peer()
    one.send(parts(lost(1), 0))
    assert one.listener.stdout and one.listener.stdout.readline().startswith("pose.pose/cam #0")
    one.listener.send_signal(signal.SIGINT)
    assert one.end() == (130, [], ["1 messages, 0 missed, 0 malformed"])


def test_a_reader_that_has_enough_ends_it_quietly(peer: Callable[..., Peer]) -> None:
    one = peer()
    assert one.listener.stdout and one.listener.stderr
    one.listener.stdout.close()
    one.send(*[parts(lost(index), index) for index in range(5)])
    assert one.listener.wait(20) == 0
    assert "Traceback" not in one.listener.stderr.read()


def test_long_silence_is_said_once_and_only_before_the_first_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Log("tcp://127.0.0.1:5601", as_line)
    for _ in range(100):
        log.silence(0.2)
    assert capsys.readouterr().err == (
        "nothing heard from tcp://127.0.0.1:5601 yet; waiting for it\n"
    )


def complaint(*arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT, text=True, capture_output=True, timeout=20
    )
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize(
    "endpoint",
    ["localhost:5601", "tcp://127.0.0.1", "tcp://a:0", "tcp://a:65536", "tcp://*", "ipc://"],
)
def test_a_text_that_is_no_endpoint_is_answered_with_an_example(endpoint: str) -> None:
    assert complaint(endpoint) == (
        f"error: {endpoint!r} is not an endpoint such as tcp://127.0.0.1:5601 or ipc:///tmp/poses\n"
    )


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    endpoint = "tcp://127.0.0.1:5601"
    assert complaint(endpoint, "--count", "-1") == "error: --count must be at least 0, not -1\n"
    assert complaint(endpoint, "--keys", "keys") == (
        "error: --keys FOLDER and --as NAME go together: whose keys, and where they are\n"
    )
    keys = str(tmp_path / "none")
    assert complaint(endpoint, "--keys", keys, "--as", "desk") == (
        f"error: keys: no folder {keys}: posestream keys {keys} desk makes it\n"
    )


def test_with_keys_only_those_who_have_them_hear_anything(tmp_path: Path) -> None:
    keys, stranger = tmp_path / "keys", tmp_path / "stranger"
    for name in ("main", "desk"):
        make_keys(keys, name)
    make_keys(stranger, "desk")
    (stranger / "main.public").write_bytes((keys / "main.public").read_bytes())
    ring = Keyring.read(keys, "main", ["main"])
    wiring = Wiring.create("run", ["pose"], keys=ring)
    endpoint = free_endpoint()
    listeners = [
        subprocess.Popen(
            [*COMMAND, endpoint, "--count", "1", *options], env=ENVIRONMENT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for options in (
            ["--keys", str(keys), "--as", "desk"], ["--keys", str(stranger), "--as", "desk"], []
        )
    ]  # fmt: skip
    publisher = Publisher("pose", {"pose": endpoint}, wiring)
    try:
        deadline = time.monotonic() + 20
        while listeners[0].poll() is None and time.monotonic() < deadline:
            publisher.publish("pose", lost(1))
            time.sleep(0.02)
        time.sleep(0.5)
        publisher.publish("pose", lost(2))
        time.sleep(0.2)
        assert [listener.poll() for listener in listeners] == [0, None, None]
    finally:
        for listener in listeners:
            listener.kill()
            listener.communicate()
        publisher.close()
        wiring.close()


# ------------------------------------------------------------------ forms


def heard(message: Message) -> Heard:
    header, arrays = read([bytes(part) for part in encode(Item.data(message, 0), 0, 0)])
    return Heard("topic/cam", header, scalars_of(header), arrays, 0, False)


def test_short_arrays_are_printed_with_values_and_long_ones_with_their_shape() -> None:
    features = Features(
        stream="cam", seq=0, stamp_ns=0, camera=CAMERA, keypoints=np.zeros((20, 2), np.float32),
        scores=np.ones(20, np.float32), sizes=np.ones(20, np.float32),
        angles=np.full(20, np.nan, np.float32), descriptors=np.zeros((20, 4), np.uint8),
    )  # fmt: skip
    line = as_line(heard(features))
    assert "keypoints=float32(20x2) scores=float32(20)" in line
    assert json.loads(as_json_line(heard(features)))["arrays"]["descriptors"] == {
        "dtype": "uint8", "shape": [20, 4],
    }  # fmt: skip


def test_numbers_that_json_does_not_have_are_null() -> None:
    pose = RelativePose(
        stream="cam", seq=1, stamp_ns=0, seq_prev=0, stamp_ns_prev=0, num_matches=9, num_inliers=9,
        label="general", T_cur_prev=np.eye(4), covariance=np.diag([1.0, np.nan, np.inf]),
        scale=float("nan"),
    )  # fmt: skip
    row = json.loads(as_json_line(heard(pose)))
    assert row["arrays"]["T_cur_prev"]["values"] == np.eye(4).tolist()
    assert [row["arrays"]["covariance"]["values"][i][i] for i in range(3)] == [1.0, None, None]
    assert row["fields"]["scale"] is None
    assert "covariance=float64(3x3)[1 0 0 0 nan 0 0 0 inf]" in as_line(heard(pose))
