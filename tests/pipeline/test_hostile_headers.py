"""Headers, handles and hellos that somebody broke on purpose: refused, at once, and nothing else."""

import contextlib
import fcntl
import gc
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from toys import Number

from pipeline.graph import Edge, Policy
from pipeline.messages import Array, Item, Kind, Message
from pipeline.outlets import Hello, read_hello
from pipeline.parcels import Packer, Unpacker
from pipeline.replay import Position
from pipeline.shared_memory import Handle, is_supported
from pipeline.wire import WireError, encode

MAX_CALL_S = 0.010
WARM_UP = 10_000
MAX_GROWTH_MB = 5.0

Parts = list[bytes]


@dataclass(frozen=True)
class Lens:
    focal: float
    terms: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Points(Message):
    points: Annotated[np.ndarray, Array("float32", "N 2")]
    scores: Annotated[np.ndarray, Array("float32 or uint8", "N")] | None = None
    transform: Annotated[np.ndarray, Array("float64", "4 4")] | None = None
    lens: Lens = Lens(1.0)
    labels: dict[str, list[int]] | None = None


TYPES: dict[str, type[Message]] = {"Points": Points, "Number": Number}

VALUES: list[Any] = [
    None, True, "", "x" * 300, "data", "eos", "float32", "object", "Number", b"\xff" * 9, 1.5,
    float("nan"), float("inf"), 0, -1, 1, 255, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1,
    [], {}, [[]], {"": {}}, [["points", "float32", [3, 2]]], [["points", "float32", [-1, -6]]],
    [["points", "float32", [2**32, 2**32]]], [["points", "uint8", [1] * 70]],
    [["points", "float32", [0, 2**62]]], [["scores", "float32", [6]], ["scores", "float32", [6]]],
]  # fmt: skip

# The codes of msgpack that announce a length: of binary data, extensions, text, lists and maps.
LENGTHS = [b"\xc6", b"\xc9", b"\xdb", b"\xdd", b"\xdf", b"\xc5", b"\xc8", b"\xda", b"\xdc", b"\xde"]


def seeds() -> list[Parts]:
    """Return good messages of each kind."""
    points = Points(
        stream="cam", seq=7, stamp_ns=-5, points=np.ones((3, 2), np.float32),
        scores=np.ones(3, np.uint8), transform=np.eye(4), labels={"a": [1, 2]},
    )  # fmt: skip
    payload = np.zeros((2, 64), np.uint8)
    items = [
        Item.data(points, 11),
        Item.data(Number(stream="count", seq=3, stamp_ns=0, value=3, payload=payload), 1),
        Item(Kind.GAP, "cam", 4, 9, 1, reason="dropped", count=3, last=8),
        Item(Kind.EOS, "cam", 0, 0, reason="3 of 9", count=12),
        Item(Kind.SKIP, "cam", 4, 9, 1, reason="first"),
    ]
    return [[bytes(part) for part in encode(item, 3, 0)] for item in items]


class Breaker:
    """Breaks good messages, as a seed says."""

    def __init__(self, good: list[Parts], seed: int) -> None:
        self._good = good
        self._rng = random.Random(seed)
        self._ways = [
            self.flip, self.cut, self.insert, self.claim_length, self.splice, self.replace_value,
            self.nest, self.repeat,
        ]  # fmt: skip

    def next(self) -> Parts:
        """Return a message with one wrong value, or broken in one to three ways."""
        parts = list(self._rng.choice(self._good))
        if self._rng.random() < 0.5:
            return [self.replace_value(parts[0]), *parts[1:]]
        for _ in range(self._rng.randint(1, 3)):
            if self._rng.random() < 0.1 or not parts:
                parts = self.shuffle_parts(parts)
                continue
            index = 0 if self._rng.random() < 0.8 else self._rng.randrange(len(parts))
            parts[index] = self._rng.choice(self._ways)(parts[index])
        return parts

    def shuffle_parts(self, parts: Parts) -> Parts:
        """Leave out, double or swap parts."""
        return [self._rng.choice([*parts, b""]) for _ in range(self._rng.randint(0, 11))]

    def flip(self, data: bytes) -> bytes:
        """Flip bits."""
        found = bytearray(data or b"\0")
        for _ in range(self._rng.randint(1, 8)):
            found[self._rng.randrange(len(found))] ^= 1 << self._rng.randrange(8)
        return bytes(found)

    def cut(self, data: bytes) -> bytes:
        """Take out a piece, or the end."""
        start = self._rng.randint(0, len(data))
        return data[:start] + (data[start + self._rng.randint(1, 9) :] if start % 2 else b"")

    def insert(self, data: bytes) -> bytes:
        """Put noise in."""
        place = self._rng.randint(0, len(data))
        return data[:place] + self._rng.randbytes(self._rng.randint(1, 40)) + data[place:]

    def claim_length(self, data: bytes) -> bytes:
        """Announce more than there is."""
        place = self._rng.randint(0, len(data))
        claimed = self._rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
        return data[:place] + self._rng.choice(LENGTHS) + claimed + data[place + 1 :]

    def splice(self, data: bytes) -> bytes:
        """Go on as another message."""
        other = self._rng.choice(self._rng.choice(self._good))
        return data[: self._rng.randint(0, len(data))] + other[self._rng.randint(0, len(other)) :]

    def replace_value(self, data: bytes) -> bytes:
        """Give a field another value, and perhaps a field of a field."""
        try:
            found = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return data
        holder = found
        while isinstance(holder, dict | list) and holder:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            key = self._rng.choice(keys)
            if self._rng.random() < 0.6 or not isinstance(holder[key], dict | list):
                holder[key] = self._rng.choice(VALUES)
                break
            holder = holder[key]
        return msgspec.msgpack.encode(found)

    def nest(self, data: bytes) -> bytes:
        """Nest lists or maps deeply."""
        place = self._rng.randint(0, len(data))
        level = self._rng.choice([b"\x91", b"\x81\xa1a", b"\x81\x91", b"\xdd\0\0\0\1"])
        return data[:place] + level * self._rng.choice([5, 300, 1300, 5000]) + data[place:]

    def repeat(self, data: bytes) -> bytes:
        """Say a piece many times."""
        start = self._rng.randint(0, len(data))
        piece = data[start : start + self._rng.randint(1, 30)]
        return data[:start] + piece * self._rng.randint(2, 60) + data[start:]


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def num_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def attack(call: Callable[[Parts], object], good: list[Parts], count: int) -> Counter[str]:
    """Give broken messages to a decoder, and return what became of them.

    Each call is timed by the processor time of its thread: what others do does not count.
    """
    breaker, outcomes, slowest, before = Breaker(good, 6), Counter[str](), 0.0, 0.0
    gc.collect()
    gc.freeze()  # what pytest has loaded is not to be looked through while a call is timed
    for number in range(count):
        if number == min(WARM_UP, count // 2):
            before = resident_mb()
        parts = breaker.next()
        started = time.thread_time()
        try:
            call(parts)
            outcome = "accepted"
        except WireError as error:
            outcome = re.split(r"[:\d'(]", str(error))[0].strip() or "a number of"
        slowest = max(slowest, time.thread_time() - started)
        outcomes[outcome] += 1
    gc.unfreeze()
    growth = resident_mb() - before
    text = f"{count} calls, slowest {slowest * 1e3:.2f} ms, {growth:+.1f} MB: {dict(outcomes)}"
    sys.stdout.write(text + "\n")
    assert slowest < MAX_CALL_S
    assert growth < MAX_GROWTH_MB
    return outcomes


COUNTS = pytest.mark.parametrize(
    "count", [20_000, pytest.param(10**6, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)


@COUNTS
def test_broken_headers_are_refused_at_once_and_leave_nothing_behind(count: int) -> None:
    unpacker = Unpacker(TYPES, shares_memory=False)
    outcomes = attack(
        lambda parts: unpacker.unpack(b"D", [memoryview(p) for p in parts]), seeds(), count
    )
    assert len(outcomes) > 10
    assert count * 0.01 < outcomes["accepted"] < count * 0.5  # the breaker breaks, but not all


def packed() -> tuple[Packer, list[Parts]]:
    """Return messages with handles of shared memory, and whoever owns that."""
    edge = Edge("a", "number", "b", "number", Policy.LOSSLESS, 4, ("a",))
    packer = Packer([edge], shares_memory=True)
    payload = np.zeros((2000, 64), np.uint8)
    item = Item.data(Number(stream="a", seq=1, stamp_ns=0, value=1, payload=payload), 0)
    kind, *parts = (bytes(part) for part in packer.pack(edge.name, item, 3))
    assert kind == b"S"
    return packer, [parts]


@contextlib.contextmanager
def forged(good: Parts) -> Iterator[list[Parts]]:
    """Yield handles that name what else a process has open: a file, a pipe, a device, memory."""
    with tempfile.TemporaryFile() as file, Path("/dev/zero").open("rb") as device:
        file.truncate(1 << 20)
        others = [*os.pipe(), os.memfd_create("other"), os.memfd_create("other", 2)]
        os.ftruncate(others[-1], 1 << 20)
        fcntl.fcntl(others[-1], fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        (handle,) = msgspec.msgpack.decode(good[0], type=list[Handle])
        named = [
            msgspec.structs.replace(handle, fd=fd, serial=serial, control=4096)
            for serial, fd in enumerate([file.fileno(), device.fileno(), *others], start=10**6)
        ]
        yield [[msgspec.msgpack.encode([handle]), *good[1:]] for handle in named]
        for fd in others:
            os.close(fd)


needs_memory = pytest.mark.skipif(not is_supported(), reason="needs memfd_create and /proc: Linux")


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.shared_memory.DEATH_S", 0.0)


@needs_memory
@pytest.mark.usefixtures("_at_once")
@COUNTS
def test_broken_handles_of_shared_memory_are_refused_at_once(count: int) -> None:
    _packer, (good,) = packed()
    unpacker = Unpacker(TYPES, shares_memory=True)
    with forged(good) as others:
        descriptors = num_descriptors()
        outcomes = attack(
            lambda parts: unpacker.unpack(b"S", [memoryview(p) for p in parts]),
            [good, good, *others],
            count // 5,
        )
        unpacker.close()
        assert num_descriptors() == descriptors
    assert min(outcomes["the shared memory of process"], outcomes["handles"]) > 100


@needs_memory
@pytest.mark.usefixtures("_at_once")
def test_a_handle_reaches_nothing_but_memory_of_this_program() -> None:
    _packer, (good,) = packed()
    with forged(good) as others:
        for parts in others:
            with pytest.raises(WireError, match="cannot be read: "):
                Unpacker(TYPES, shares_memory=True).unpack(b"S", [memoryview(p) for p in parts])


@COUNTS
def test_broken_hellos_are_no_hellos_and_nothing_worse(count: int) -> None:
    position = Position(
        number=9, keys={"count": 9}, have={"count": list(range(9))}, totals={"count": 9}
    )
    good = msgspec.msgpack.encode(Hello("0" * 32, "a.number>b.number", 4, position))

    def hear(parts: Parts) -> None:
        if not parts or read_hello(parts[0]) is None:
            raise WireError("no hello")

    outcomes = attack(hear, [[good]], count // 5)
    assert min(outcomes["no hello"], outcomes["accepted"]) > 100
