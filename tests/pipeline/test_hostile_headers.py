"""Headers, handles and hellos that somebody broke on purpose: refused, at once, and nothing else."""

import contextlib
import fcntl
import gc
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import pytest
from broken_messages import Breaker, Parts
from toys import Number

from pipeline.graph import Edge, Policy
from pipeline.history import Position
from pipeline.messages import Array, Item, Kind, Message
from pipeline.outlets import Hello, read_hello
from pipeline.parcels import Packer, Unpacker
from pipeline.shared_memory import Handle, is_supported
from pipeline.wire import WireError, encode

MAX_CALL_S = 0.010
WARM_UP = 10_000
MAX_GROWTH_MB = 5.0


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
        number=9,
        keys={"count": 9},
        have={"count": list(range(9))},
        totals={"count": list(range(1, 10))},
    )
    good = msgspec.msgpack.encode(Hello("0" * 32, "a.number>b.number", 4, position))

    def hear(parts: Parts) -> None:
        if not parts or read_hello(parts[0]) is None:
            raise WireError("no hello")

    outcomes = attack(hear, [[good]], count // 5)
    assert min(outcomes["no hello"], outcomes["accepted"]) > 100
