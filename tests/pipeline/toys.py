"""Small nodes for tests of the engine, used in graphs as `toys:Count` and so on."""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from pipeline.messages import Array, Message
from pipeline.node import (
    Break,
    Node,
    Notice,
    Output,
    Resources,
    Skip,
    Source,
    TruncatedError,
    Unreadable,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Number(Message):
    """A number with a payload that can be checked."""

    value: int
    payload: Annotated[np.ndarray, Array("uint8", "H W")]


@dataclass(frozen=True, eq=False, kw_only=True)
class Total(Message):
    """The sum of a stream so far."""

    total: int


class Count(Source):
    """Counts from 0."""

    @dataclass(frozen=True)
    class Params:
        count: Annotated[int, "how many numbers"] = 10
        step: Annotated[int, "difference of two seqs"] = 1
        rows: Annotated[int, "height of the payload"] = 1
        interval_ms: Annotated[int, "time between two stamps"] = 10
        live: Annotated[
            bool, "behave like a camera: a number each interval, stamped as it comes"
        ] = False
        unreadable: Annotated[int, "this number cannot be decoded"] = -1
        truncated: Annotated[int, "the recording is cut before this number"] = -1
        hang_at: Annotated[int, "wait for ever before this number"] = -1
        slow_at: Annotated[int, "take half a second for this number"] = -1
        wrong: Annotated[str, "what is wrong with the second number: stream, seq or type"] = ""

    outputs = {"number": Output(Number)}
    reading = False

    @property
    def live(self) -> bool:  # type: ignore[override]
        return self.params.live

    def length(self) -> int:
        return self.params.count

    def produce(self) -> Iterator[Any]:
        p, started = self.params, time.monotonic()
        for value in range(p.count):
            seq, stamp_ns = value * p.step, value * p.interval_ms * 1_000_000
            if p.live:
                time.sleep(max(0.0, started + value * p.interval_ms / 1e3 - time.monotonic()))
                stamp_ns = time.monotonic_ns()
            if value == p.truncated:
                raise TruncatedError(f"{value} of {p.count} numbers")
            if value == p.unreadable:
                yield Unreadable(seq, stamp_ns, "damaged")
                continue
            self.reading = True
            if value == p.hang_at:
                threading.Event().wait()
            time.sleep(0.5 if value == p.slow_at else 0)
            self.reading = False
            payload = np.full((p.rows, 64), value % 251, np.uint8)
            number = Number(
                stream=self.resources.node, seq=seq, stamp_ns=stamp_ns, value=value, payload=payload
            )
            yield wrong_number(number, p.wrong) if value == 1 else number

    def close(self) -> None:
        (self.resources.out / f"{self.resources.node}.txt").write_text(
            "closed while reading" if self.reading else "closed"
        )


def wrong_number(number: Number, wrong: str) -> Message:
    """Break the contract of a source."""
    if wrong == "type":
        return Total(stream=number.stream, seq=number.seq, stamp_ns=0, total=1)
    if wrong == "seq":
        return replace(number, seq=0)
    return replace(number, stream="other") if wrong == "stream" else number


class Relay(Node):
    """Passes numbers on, and misbehaves on demand."""

    @dataclass(frozen=True)
    class Params:
        delay_ms: Annotated[float, "time that each number takes"] = 0.0
        jitter_ms: Annotated[float, "random time on top"] = 0.0
        work_ms: Annotated[float, "CPU time that each number takes"] = 0.0
        raise_at: Annotated[int, "raise at this number"] = -1
        hang_at: Annotated[int, "wait for ever at this number"] = -1
        skip_every: Annotated[int, "give no result for each n-th number"] = 0
        break_at: Annotated[int, "declare a gap at this number"] = -1
        contract: Annotated[str, "a way to break the contract"] = ""
        exit_at: Annotated[int, "leave the interpreter at this number, as some libraries do"] = -1

        die_at: Annotated[int, "end the process at this number, as a crash does"] = -1

    outputs = {"number": Output(Number)}
    stateless = True

    def process(self, number: Number) -> Iterator[Any]:
        p = self.params
        if number.value == p.die_at:
            os._exit(9)
        time.sleep((p.delay_ms + random.random() * p.jitter_ms) / 1e3)
        until = time.thread_time() + p.work_ms / 1e3
        while time.thread_time() < until:
            pass
        if number.value == p.raise_at:
            raise ValueError("three is not a number I like")
        if number.value == p.hang_at:
            threading.Event().wait()
        if number.value == p.exit_at:
            sys.exit(4)
        if p.contract:
            yield from self.break_contract(number)
        elif p.skip_every and number.value % p.skip_every == 0:
            yield Skip("every so often")
        elif number.value == p.break_at:
            yield Break("changed")
        else:
            yield number

    def process_batch(self, messages: Sequence[Number]) -> Iterator[Any]:
        for number in messages:
            yield from self.process(number)
        if self.params.contract == "batch":
            yield messages[0]

    def break_contract(self, number: Number) -> Iterator[Any]:
        if self.params.contract == "twice":
            yield number
            yield number
        if self.params.contract == "type":
            yield Total(stream=number.stream, seq=number.seq, stamp_ns=0, total=1)
        if self.params.contract == "key":
            yield Number(stream=number.stream, seq=99, stamp_ns=0, value=0, payload=number.payload)
        if self.params.contract == "batch":
            yield number


class Difference(Node):
    """Has no result for the first number, like a matcher."""

    outputs = {"number": Output(Number)}

    def open(self, resources: Resources) -> None:
        super().open(resources)
        self.seen: set[str] = set()

    def process(self, number: Number) -> Iterator[Number | Skip]:
        yield number if number.stream in self.seen else Skip("first")
        self.seen.add(number.stream)


class Pairwise(Node):
    """Adds to each number the one before it, like a matcher of pairs."""

    outputs = {"number": Output(Number)}
    memory = 1

    def open(self, resources: Resources) -> None:
        super().open(resources)
        self.last: dict[str, Number] = {}

    def process(self, number: Number) -> Iterator[Number | Skip]:
        last = self.last.get(number.stream)
        self.last[number.stream] = number
        if last is None:
            yield Skip("first")
        else:
            value = number.value + last.value
            yield replace(number, value=value, payload=np.full_like(number.payload, value % 251))


class Sum(Node):
    """Has a sparse output: the total, at the end of each stream."""

    outputs = {"total": Output(Total, dense=False)}

    def open(self, resources: Resources) -> None:
        super().open(resources)
        self.totals: dict[str, int] = {}

    def process(self, number: Number) -> Iterator[Total]:
        self.totals[number.stream] = self.totals.get(number.stream, 0) + number.value
        yield from ()

    def flush(self, stream: str) -> Iterator[Total]:
        yield Total(stream=stream, seq=0, stamp_ns=0, total=self.totals.get(stream, 0))


class Last(Node):
    """Answers every total with a number."""

    outputs = {"number": Output(Number)}

    def process(self, total: Total) -> Iterator[Number]:
        payload = np.full((1, 64), total.total % 251, np.uint8)
        yield Number(
            stream=total.stream, seq=total.seq, stamp_ns=0, value=total.total, payload=payload
        )


class Gauge(Node):
    """Reports numbers as nodes have them: of numpy, and none at all."""

    def process(self, number: Number) -> None:
        self.resources.report("value", np.float32(number.value))
        self.resources.report("nothing", float("nan"))


class Collect(Node):
    """Writes a line for all that arrives into NODE.txt of the run folder."""

    @dataclass(frozen=True)
    class Params:
        delay_ms: Annotated[float, "time that each set takes"] = 0.0
        ages: Annotated[bool, "write the age of live numbers in ms"] = False

    def open(self, resources: Resources) -> None:
        super().open(resources)
        self.file = (resources.out / f"{resources.node}.txt").open("w")

    def process(
        self, number: Number | None = None, other: Number | None = None, total: Total | None = None
    ) -> None:
        time.sleep(self.params.delay_ms / 1e3)
        for port, message in (("number", number), ("other", other)):
            if message is not None:
                assert (message.payload == message.value % 251).all()
                age = (
                    f" {(time.monotonic_ns() - message.stamp_ns) / 1e6:.1f}"
                    if self.params.ages
                    else ""
                )
                self.file.write(f"{port} {message.stream} {message.seq} {message.value}{age}\n")
        if total is not None:
            self.file.write(f"total {total.stream} {total.total}\n")
        if number is not None and other is not None:
            assert number.seq == other.seq

    def notice(self, port: str, notice: Notice) -> None:
        reason = notice.reason
        self.file.write(
            f"{port} {notice.stream} {notice.seq} {notice.kind} {notice.count} {reason}\n"
        )

    def close(self) -> None:
        self.file.close()


class Unopenable(Node):
    """Fails where a node that cannot find its model fails."""

    def open(self, resources: Resources) -> None:
        raise RuntimeError("no model")

    def process(self, number: Number) -> None:
        return None


class Batches(Relay):
    """Writes of every batch from which streams it came."""

    def open(self, resources: Resources) -> None:
        super().open(resources)
        resources.report("batch", resources.batch)
        self.file = (resources.out / f"{resources.node}.txt").open("w")

    def process_batch(self, messages: Sequence[Number]) -> Iterator[Any]:
        self.file.write(" ".join(message.stream for message in messages) + "\n")
        time.sleep(0.005)
        return super().process_batch(messages)

    def close(self) -> None:
        self.file.close()
