"""The wire form of an item: a msgpack header (at most 4 KiB), then a raw buffer for each array.

docs/protocol.md describes it to the byte; what does not decode is a `WireError`, whatever it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

import msgspec
import numpy as np

from pipeline.far_clock import FarClock
from pipeline.messages import DTYPE_NAMES, DTYPES, Item, Kind, Message, array_fields

WIRE_VERSION = 1
MAX_HEADER_BYTES = 4096
MAX_PARTS = 8


class WireError(Exception):
    """A received message does not have the form that was agreed on."""


def _make_scalars(message: type) -> type[msgspec.Struct]:
    """Return a strict structure of the fields of a message type that are not arrays."""
    hints = get_type_hints(message)
    names = [f.name for f in fields(message) if f.name not in array_fields(message)]
    return msgspec.defstruct(
        message.__name__, [(name, hints[name]) for name in names], forbid_unknown_fields=True
    )


# Asked for every message; the plain type of the call keeps the cache's own out of sight.
_scalars: Callable[[type], type[msgspec.Struct]] = cache(_make_scalars)


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """What stands before the arrays of an item; docs/protocol.md says what each field means."""

    v: int
    kind: Kind
    stream: str
    link_seq: int
    seq: int
    stamp_ns: int
    born_ns: int
    sent_ns: int
    reason: str = ""
    count: int = 1
    last: int = -1
    type: str = ""
    fields: msgspec.Raw = msgspec.Raw(b"\x80")
    parts: list[tuple[str, str, list[int]]] = []  # (field, dtype, shape)


_encode_header = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def encode(item: Item, link_seq: int, sent_ns: int) -> list[bytes | memoryview]:
    """Encode an item as wire parts: the header, then one raw buffer for each array.

    Raises:
        WireError: the header would exceed `MAX_HEADER_BYTES`, or the arrays `MAX_PARTS`.
    """
    header, arrays = split(item, link_seq, sent_ns)
    return [header, *map(as_buffer, arrays)]


def split(item: Item, link_seq: int, sent_ns: int) -> tuple[bytes, list[np.ndarray]]:
    """Return the encoded header of an item, and the arrays whose buffers follow it.

    Raises:
        WireError: the header would exceed `MAX_HEADER_BYTES`, or the arrays `MAX_PARTS`.
    """
    header = Header(
        WIRE_VERSION, item.kind, item.stream, link_seq, item.seq, item.stamp_ns, item.born_ns,
        sent_ns, item.reason[:1024], item.count, item.last,
    )  # fmt: skip
    arrays = [] if item.message is None else _describe(item.message, header)
    encoded = _encode_header(header)
    if len(encoded) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(encoded)} bytes exceeds {MAX_HEADER_BYTES}")
    if len(arrays) > MAX_PARTS:
        raise WireError(f"{len(arrays)} arrays exceed {MAX_PARTS}")
    return encoded, arrays


def _describe(message: Message, header: Header) -> list[np.ndarray]:
    """Write a message into a header, all but the content of its arrays; return these."""
    cls = type(message)
    struct = _scalars(cls)
    header.type = cls.__name__
    header.fields = msgspec.Raw(
        _encode_header(struct(*(getattr(message, n) for n in struct.__struct_fields__)))
    )
    arrays = [(name, getattr(message, name)) for name in array_fields(cls)]
    present = [(name, array) for name, array in arrays if array is not None]
    header.parts = [(name, DTYPE_NAMES[array.dtype], list(array.shape)) for name, array in present]
    return [array for _, array in present]


def as_buffer(array: np.ndarray) -> bytes | memoryview:
    """Return the bytes of an array in its own order, without a copy where they lie in one piece."""
    return np.ascontiguousarray(array).data.cast("B") if array.size else b""


def decode(
    parts: Sequence[bytes | memoryview],
    messages: Mapping[str, type[Message]],
    clock: FarClock | None = None,
) -> tuple[Item, int]:
    """Decode wire parts into an item and its number on the link.

    Args:
        messages: the types allowed, by name.
        clock: that of the sender, where it is on another machine.

    Raises:
        WireError: the parts do not form an item of an allowed type.
    """
    header, arrays = read(parts)
    message = None
    if header.kind is Kind.DATA:
        if header.type not in messages:
            raise WireError(f"message type {header.type!r} is not one of {sorted(messages)}")
        message = _build(messages[header.type], header, arrays)
    born_ns = header.born_ns
    if clock is not None:
        born_ns = clock.to_local(born_ns, header.sent_ns, time.monotonic_ns())
    item = Item(
        header.kind, header.stream, header.seq, header.stamp_ns, born_ns,
        message, header.reason, header.count, header.last,
    )  # fmt: skip
    return item, header.link_seq


def read(parts: Sequence[bytes | memoryview]) -> tuple[Header, dict[str, np.ndarray]]:
    """Decode wire parts of any message type into the header and the arrays by their names.

    Raises:
        WireError: the parts do not have the wire form.
    """
    if not 1 <= len(parts) <= 1 + MAX_PARTS:
        raise WireError(f"{len(parts)} parts")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(parts[0])} bytes exceeds {MAX_HEADER_BYTES}")
    try:
        header = _decode_header(parts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"header: {error}") from error
    if header.v != WIRE_VERSION:
        raise WireError(f"wire version {header.v}, expected {WIRE_VERSION}")
    if len(parts) - 1 != len(header.parts):
        raise WireError(f"{len(parts) - 1} buffers for {len(header.parts)} arrays")
    if header.parts and header.kind is not Kind.DATA:
        raise WireError(f"{header.kind} with arrays")
    arrays = {}
    for (name, dtype, shape), buffer in zip(header.parts, parts[1:], strict=True):
        if name in arrays or dtype not in DTYPES:
            raise WireError(f"array {name!r} of {dtype} {shape} is not allowed")
        arrays[name] = _read_array(name, dtype, shape, buffer)
    return header, arrays


def scalars_of(header: Header) -> dict[str, Any]:
    """Return the fields of a message of any type that are not arrays.

    Raises:
        WireError: they are not a map of names.
    """
    try:
        return msgspec.msgpack.decode(header.fields, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"fields: {error}") from error


def _read_array(
    name: str, dtype: str, shape: list[int], buffer: bytes | memoryview
) -> np.ndarray[Any, Any]:
    nbytes = memoryview(buffer).nbytes
    if any(n < 0 for n in shape):
        raise WireError(f"array {name!r} of {dtype} {shape} is not allowed")
    if math.prod(shape) * np.dtype(dtype).itemsize != nbytes:
        raise WireError(f"array {name!r}: {nbytes} bytes do not fill {shape}")
    try:
        return np.frombuffer(buffer, dtype).reshape(shape)
    except (ValueError, OverflowError) as error:  # too many dimensions, or too long ones
        raise WireError(f"array {name!r} of {dtype} {shape}: {error}") from error


def _build(message: type[Message], header: Header, arrays: Mapping[str, np.ndarray]) -> Message:
    values: dict[str, Any] = dict.fromkeys(array_fields(message))
    for name, array in arrays.items():
        if name not in values:
            raise WireError(f"array {name!r} of {array.dtype} {array.shape} is not allowed")
        values[name] = array
    try:
        scalars = msgspec.msgpack.decode(header.fields, type=_scalars(message))
        values |= {n: getattr(scalars, n) for n in scalars.__struct_fields__}
        return message(**values)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"{message.__name__}: {error}") from error
