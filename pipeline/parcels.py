"""How an item leaves a process: wire parts, its large arrays in shared memory where that is used.

The first part says which:

    D    the parts of pipeline/wire.py
    S    a list with a `Handle` or nil for each array, and the parts without the arrays of a handle
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.far_clock import FarClock
from pipeline.graph import Edge
from pipeline.messages import Item, Message
from pipeline.shared_memory import Handle, Reader
from pipeline.store import Store
from pipeline.wire import MAX_HEADER_BYTES, WireError, as_buffer, decode, split

ZERO_COPY_BYTES = 64 * 1024  # below this a copy is cheaper than its book-keeping
SPARE_SLOTS = 8  # for what a consumer keeps beyond the window of its link

Parts = list[bytes | memoryview]

_encode_handles = msgspec.msgpack.Encoder().encode
_decode_handles = msgspec.msgpack.Decoder(list[Handle | None]).decode


class Packer:
    """Packs the items of one node for the links that leave its process.

    Args:
        edges: those to consumers that can see the memory of this machine.
    """

    def __init__(self, edges: Iterable[Edge], *, shares_memory: bool) -> None:
        edges = list(edges)
        self._consumers = {edge.name: number for number, edge in enumerate(edges, start=1)}
        # Of each stream a consumer may keep the last item, as a matcher does.
        num_items = sum(edge.window + edge.keeps + len(edge.streams) for edge in edges)
        num_slots = 2 * num_items + SPARE_SLOTS
        self._store = Store(len(edges), num_slots) if shares_memory and edges else None

    def pack(self, link: str, item: Item, number: int) -> Parts:
        """Return the parts of an item; an array that finds no room in shared memory is one."""
        header, arrays = split(item, number, time.monotonic_ns())
        handles = [
            self._store.place(array, self._consumers[link])
            if self._store is not None
            and link in self._consumers
            and array.nbytes >= ZERO_COPY_BYTES
            else None
            for array in arrays
        ]
        buffers = [as_buffer(a) for a, handle in zip(arrays, handles, strict=True) if not handle]
        if any(handles):
            return [b"S", _encode_handles(handles), header, *buffers]
        return [b"D", header, *buffers]

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
        """Return a new array, in shared memory where that spares a copy."""
        is_large = math.prod(shape) * np.dtype(dtype).itemsize >= ZERO_COPY_BYTES
        array = self._store.empty(shape, dtype) if self._store and is_large else None
        return np.empty(shape, dtype) if array is None else array

    def release(self, link: str) -> None:
        """Take back what the consumer of a link held that has died."""
        if self._store is not None and link in self._consumers:
            self._store.release(self._consumers[link])

    def close(self) -> None:
        """Give shared memory back."""
        if self._store is not None:
            self._store.close()


class Unpacker:
    """Unpacks the items of one link.

    Args:
        messages: the types allowed, by name.
        is_far: whether they come from another machine.
    """

    def __init__(
        self, messages: Mapping[str, type[Message]], *, shares_memory: bool, is_far: bool = False
    ) -> None:
        self._messages = messages
        self._clock = FarClock() if is_far else None
        self._reader = Reader() if shares_memory else None

    def unpack(self, kind: bytes, parts: Sequence[memoryview]) -> tuple[Item, int]:
        """Return an item and its number on the link.

        Raises:
            WireError: the parts do not form an item of an allowed type.
        """
        if kind == b"S":
            parts = self._fetch(parts)
        return decode(parts, self._messages, self._clock)

    def close(self) -> None:
        """Forget the memory of the producer; arrays in use live on."""
        if self._reader is not None:
            self._reader.close()

    def _fetch(self, parts: Sequence[memoryview]) -> list[memoryview]:
        """Replace handles by the arrays that they name."""
        if self._reader is None or len(parts) < 2 or len(parts[0]) > MAX_HEADER_BYTES:
            raise WireError("handles of shared memory where none were agreed on")
        try:
            handles = _decode_handles(parts[0])
        except msgspec.MsgspecError as error:
            raise WireError(f"handles: {error}") from error
        if handles.count(None) != len(parts) - 2:
            raise WireError(f"{len(parts) - 2} buffers for {handles.count(None)} arrays")
        inline = iter(parts[2:])
        return [parts[1], *(self._reader.view(h).data if h else next(inline) for h in handles)]
