"""The loop of a source: a thread reads and paces the stream, the node's thread sends it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from pipeline.calls import ContractError
from pipeline.graph import Graph, NodeSpec
from pipeline.links import RESET
from pipeline.loop import POLL_MS, Control, Loop
from pipeline.messages import Item, Kind, Message
from pipeline.node import Lost, Source, TruncatedError, Unreadable
from pipeline.transport import Wiring
from pipeline.work import Place, WorkError

Produced = Message | Unreadable | Lost | None
AHEAD = 2  # items that the reading thread may be ahead of the sending one


class SourceLoop(Loop):
    """Runs a source: all that it produces goes to all its links, then the end of the stream."""

    def __init__(self, spec: NodeSpec, graph: Graph, wiring: Wiring, control: Control) -> None:
        super().__init__(spec, graph, wiring, control)
        self._ready: deque[Item | WorkError] = deque()
        self._room = threading.Semaphore(AHEAD)
        self._stream = spec.name
        self._has_ended = False
        self._had = -1  # the last seq that every consumer has, after this process was started again
        self._shift = 0  # the seq of the first frame that a live source gives
        ((self._output, output),) = spec.node_class.outputs.items()
        self._message = output.message

    def _work(self) -> None:
        self.stats.expected = cast(Source, self.node).length()
        self._resume()
        reader = threading.Thread(target=self._read, name=f"{self.spec.name}#read", daemon=True)
        reader.start()
        self.helpers.append(reader)
        while not self._has_ended or self._outbox:
            self._heed_stop()
            moved = self._send_outbox() | self._post_next()
            if not moved:
                self._poll(POLL_MS)
        reader.join()

    def _resume(self) -> None:
        """Go on where a process that died ended: a recording is read again, a live stream breaks.

        Of a recording the links let nothing pass that their consumers have.
        """
        had = self.outlets.settle(0).wants_after(self._stream)
        if had is None:
            return
        if not cast(Source, self.node).live:
            self._had = had
            return
        last, total = self.outlets.align(self._stream)
        self.stats.captured[self._stream] = total
        self._shift = last + 2
        self._ready.append(Item(Kind.BREAK, self._stream, last + 1, time.time_ns(), reason=RESET))

    def _end_work(self) -> None:
        self._room.release(2)  # for a reader that waits for room

    def _post_next(self) -> bool:
        if self._outbox or not self._ready:
            return False
        item = self._ready.popleft()
        if isinstance(item, WorkError):
            raise item
        self._room.release()
        if item.kind is Kind.EOS:
            self._post_end(self._stream, item.reason)
            self._has_ended = True
        else:
            self.stats.captured[self._stream] = self.stats.captured.get(self._stream, 0) + 1
            self._post(self._output, item)
        return True

    def _read(self) -> None:
        """Read the stream to its end, never more than `AHEAD` items ahead of the sending thread."""
        with self.wake.end() as notify:
            for item in self._items():
                self._room.acquire()
                if self._control.stop.is_set():
                    return
                self._ready.append(item)
                notify()

    def _items(self) -> Iterator[Item | WorkError]:
        """Yield the stream, paced, and its end."""
        pacer = Pacer(self.spec.pace, self._control.drain)
        results = cast(Source, self.node).produce()
        last_seq = -1
        while not self._control.drain.is_set():
            item = self._next(results, last_seq)
            if item is None:
                continue
            if isinstance(item, WorkError) or item.kind is Kind.EOS:
                yield item
                return
            last_seq = item.seq
            yield item if item.seq <= self._had else pacer.release(self._shifted(item))
        yield Item(Kind.EOS, self._stream, 0, 0, reason="interrupted")

    def _shifted(self, item: Item) -> Item:
        if not self._shift:
            return item
        seq = item.seq + self._shift
        return replace(item, seq=seq, message=item.message and replace(item.message, seq=seq))

    def _next(self, results: Iterator[Produced], last_seq: int) -> Item | WorkError | None:
        """Read under watch: the next item or none yet, the stream's end, or what went wrong."""
        place = Place("reading", self._stream, last_seq + 1)
        self.watch.begin(place)
        try:
            result = next(results)
            return None if result is None else self._item(result, last_seq)
        except StopIteration:
            return Item(Kind.EOS, self._stream, 0, 0)
        except TruncatedError as error:
            return Item(Kind.EOS, self._stream, 0, 0, reason=str(error))
        except BaseException as error:  # noqa: BLE001 (carried to the node's thread)
            return WorkError(place, error)
        finally:
            self.watch.end()

    def _item(self, result: Message | Unreadable | Lost, last_seq: int) -> Item:
        if not isinstance(result, self._message | Unreadable | Lost):
            raise ContractError(f"produce gave {type(result).__name__}, which is not its output")
        stream = result.stream if isinstance(result, Message) else self._stream
        if stream != self._stream or result.seq <= last_seq:
            raise ContractError(f"produce gave {stream}:{result.seq} after seq {last_seq}")
        if not isinstance(result, Message):
            kind = Kind.BREAK if isinstance(result, Lost) else Kind.ERROR
            return Item(kind, stream, result.seq, result.stamp_ns, reason=result.reason)
        return Item.data(result, 0)


class Pacer:
    """Releases items at the pace of a recording, at a given rate, or at once.

    Args:
        pace: "fastest", "recorded" (the time between stamps), or a rate in Hz.
        hurry: ends all waiting once set.
    """

    def __init__(self, pace: str | float, hurry: threading.Event) -> None:
        self._pace = pace
        self._hurry = hurry
        self._start: tuple[float, int] | None = None
        self._count = 0

    def release(self, item: Item) -> Item:
        """Wait until the item is due and return it with the time of its release."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, item.stamp_ns
        start, stamp_ns = self._start
        if self._pace == "recorded":
            self._hurry.wait(max(0.0, start + (item.stamp_ns - stamp_ns) / 1e9 - now))
        elif not isinstance(self._pace, str):
            self._hurry.wait(max(0.0, start + self._count / self._pace - now))
        self._count += 1
        return Item(
            item.kind, item.stream, item.seq, item.stamp_ns, time.monotonic_ns(),
            item.message, item.reason,
        )  # fmt: skip
