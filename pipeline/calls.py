"""Calls of a node's code, and what comes of them: items for its outputs, held to the contract."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pipeline.graph import NodeSpec
from pipeline.join import End, Miss, Work
from pipeline.messages import Item, Kind, Message
from pipeline.node import Break, Node, Notice, Skip
from pipeline.work import Place


class ContractError(Exception):
    """A node did not keep its side of pipeline/node.py."""


@dataclass(frozen=True)
class Settled:
    """Stands among the results of a job: all is done that was to be done for a key of `port`."""

    port: str


Result = tuple[str | Settled, Item]  # (output, what to send there), or (Settled, the key)


class Calls:
    """Turns the steps of a node into jobs.

    Args:
        port: the name of the joined inputs in the ledger, or "" where each port stands for itself.
        passes_misses: whether a key that brings no message is answered by the same on the outputs.
    """

    def __init__(self, spec: NodeSpec, node: Node, *, port: str, passes_misses: bool) -> None:
        self.spec = spec
        self.node = node
        self._port = port
        self._passes_misses = passes_misses
        self._output_of: dict[type, str] = {
            out.message: name for name, out in spec.node_class.outputs.items()
        }
        self._dense = [name for name, out in spec.node_class.outputs.items() if out.dense]

    def job(self, step: list[Work] | Miss | End) -> tuple[Place, Callable[[], Iterable[Result]]]:
        """Return what is to be done for a step, and what to say while it is being done."""
        if isinstance(step, list):
            key = step[0].key
            return Place("processing", key.stream, key.seq), lambda: self._process(step)
        if isinstance(step, Miss):
            return Place("processing", step.item.stream, step.item.seq), lambda: self._miss(step)
        return Place(f"flushing stream {step.item.stream!r}"), lambda: self._flush(step)

    def _process(self, works: list[Work]) -> Iterator[Result]:
        if self.spec.batch.size > 1:
            messages = [message for work in works for message in work.inputs.values()]
            results = list(self.node.process_batch(messages))
            if len(results) != len(works):
                raise ContractError(f"process_batch gave {len(results)} results for {len(works)}")
            for work, result in zip(works, results, strict=True):
                yield from self._answer(work, [result])
        else:
            for work in works:
                yield from self._answer(work, self.node.process(**work.inputs))

    def _answer(self, work: Work, results: Iterable[Any] | None) -> Iterator[Result]:
        """Yield (output, item) for what `process` gave, one for each dense output."""
        key, unanswered = work.key, list(self._dense)
        for result in results or ():
            if isinstance(result, Skip | Break):
                kind = Kind.SKIP if isinstance(result, Skip) else Kind.BREAK
                for output in unanswered:
                    yield output, _without_message(key, kind, result.reason)
                unanswered = []
            else:
                output = self._output_for(result)
                if output in self._dense:
                    _check_key(key, result, output in unanswered)
                    unanswered.remove(output)
                yield output, Item.data(result, key.born_ns)
        if unanswered:
            raise ContractError(f"process gave nothing for {', '.join(unanswered)}")
        yield Settled(self._port or next(iter(work.inputs))), key

    def _output_for(self, result: object) -> str:
        output = self._output_of.get(type(result))
        if output is None:
            raise ContractError(
                f"process gave {type(result).__name__}, which is none of its outputs"
            )
        return str(output)

    def _miss(self, miss: Miss) -> Iterator[Result]:
        item = miss.item
        notice = Notice(
            cast(Any, item.kind.value),
            item.stream,
            item.seq,
            item.stamp_ns,
            item.reason,
            item.count,
        )
        self.node.notice(miss.port, notice)
        if self._passes_misses:
            for output in self._dense:
                yield output, item
        yield Settled(self._port or miss.port), item

    def _flush(self, end: End) -> Iterator[Result]:
        for message in self.node.flush(end.item.stream):
            yield self._output_for(message), Item.data(message, time.monotonic_ns())
        yield Settled(""), end.item


def _without_message(key: Item, kind: Kind, reason: str) -> Item:
    return Item(kind, key.stream, key.seq, key.stamp_ns, key.born_ns, reason=reason)


def _check_key(key: Item, message: Message, is_due: bool) -> None:
    if not is_due:
        raise ContractError(f"process gave two {type(message).__name__} for one input")
    if (message.stream, message.seq) != (key.stream, key.seq):
        raise ContractError(
            f"process gave {type(message).__name__} {message.stream}:{message.seq} "
            f"for input {key.stream}:{key.seq}"
        )
