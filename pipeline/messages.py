"""What travels between nodes: messages of arrays and scalars, items around them, the wire form.

A `Message` is a frozen dataclass. Its array fields declare dtype and shape in their annotation, and
are checked and made read-only when it is built:

    keypoints: Annotated[np.ndarray, Array("float32", "N 2")]

Letters stand for lengths that must agree within one message, numbers for themselves.

On the wire an item is one msgpack header (at most 4 KiB) and one raw buffer for each array.
"""

from __future__ import annotations

import enum
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

WIRE_VERSION = 1
MAX_HEADER_BYTES = 4096
MAX_PARTS = 8
DTYPES = frozenset(
    {"bool", "uint8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"}
)


class WireError(Exception):
    """A received message does not have the form that was agreed on."""


class Array:
    """Declares dtypes and shapes that an array field may have: `Array("uint8", "H W", "H W 3")`."""

    def __init__(self, dtypes: str, *shapes: str) -> None:
        self.dtypes = dtypes.split(" or ")
        self.shapes = [shape.split() for shape in shapes]
        if not set(self.dtypes) <= DTYPES:
            raise ValueError(f"dtype {dtypes} is not among {', '.join(sorted(DTYPES))}")

    def bind(self, array: np.ndarray, lengths: dict[str, int]) -> bool:
        """Say whether `array` fits, adding what it says about the letters to `lengths`."""
        return str(array.dtype) in self.dtypes and any(
            _bind_shape(shape, array.shape, lengths) for shape in self.shapes
        )

    def __str__(self) -> str:
        return f"{' or '.join(self.dtypes)} of shape " + " or ".join(
            f"({', '.join(s)})" for s in self.shapes
        )


def _bind_shape(pattern: list[str], shape: tuple[int, ...], lengths: dict[str, int]) -> bool:
    if len(pattern) != len(shape):
        return False
    found = dict(lengths)
    for name, length in zip(pattern, shape, strict=True):
        if (int(name) if name.isdigit() else found.setdefault(name, length)) != length:
            return False
    lengths.update(found)
    return True


@dataclass(frozen=True, eq=False, kw_only=True)
class Message:
    """Base of all messages: which stream, which index in it, and when (int64 nanoseconds)."""

    stream: str
    seq: int
    stamp_ns: int

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for name, (array, optional) in array_fields(type(self)).items():
            value = getattr(self, name)
            if value is None and optional:
                continue
            if not isinstance(value, np.ndarray) or not array.bind(value, lengths):
                raise ValueError(
                    f"{type(self).__name__}.{name} must be {array}, not {_show(value)}"
                )
            value.flags.writeable = False


def _show(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def _find_array_fields(message: type) -> dict[str, tuple[Array, bool]]:
    """Return the array fields of a message type: name -> (declaration, whether it may be None)."""
    found = {}
    for name, hint in get_type_hints(message, include_extras=True).items():
        alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        arrays = [a for h in alternatives for a in _metadata(h) if isinstance(a, Array)]
        if arrays:
            found[name] = (arrays[0], type(None) in alternatives)
    return found


def _metadata(hint: Any) -> tuple[Any, ...]:
    return tuple(hint.__metadata__) if get_origin(hint) is Annotated else ()


def _make_scalars(message: type) -> type[msgspec.Struct]:
    """Return a strict structure of the fields of a message type that are not arrays."""
    hints = get_type_hints(message)
    names = [f.name for f in fields(message) if f.name not in array_fields(message)]
    return msgspec.defstruct(
        message.__name__, [(name, hints[name]) for name in names], forbid_unknown_fields=True
    )


# Both are asked for every message; the plain type of the call keeps the cache's own out of sight.
array_fields: Callable[[type], dict[str, tuple[Array, bool]]] = cache(_find_array_fields)
_scalars: Callable[[type], type[msgspec.Struct]] = cache(_make_scalars)


class Kind(enum.StrEnum):
    """What an item is. Every kind but EOS answers for one key of its stream; a GAP for several."""

    DATA = "data"
    SKIP = "skip"
    """No result, for an ordinary reason."""
    ERROR = "error"
    """The input exists but could not be decoded."""
    BREAK = "break"
    """No result, and the stream is not continuous across this key."""
    GAP = "gap"
    """Keys that a `latest` link dropped."""
    EOS = "eos"


@dataclass(frozen=True, slots=True)
class Item:
    """One step of a stream on a link: a message, the reason why there is none, or the end.

    `born_ns` is the monotonic time at which the source released the key. A GAP covers `count` keys,
    from `seq` to `last` inclusive. In an EOS `count` is the number of keys sent before it, and
    `reason` is empty unless the stream ended early.
    """

    kind: Kind
    stream: str
    seq: int
    stamp_ns: int
    born_ns: int = 0
    message: Message | None = None
    reason: str = ""
    count: int = 1
    last: int = -1

    @classmethod
    def data(cls, message: Message, born_ns: int) -> Item:
        """Wrap a message."""
        return cls(Kind.DATA, message.stream, message.seq, message.stamp_ns, born_ns, message)

    def as_gap(self, reason: str) -> Item:
        """Return the GAP that stands for this item once it is dropped."""
        last = self.last if self.kind is Kind.GAP else self.seq
        return Item(
            Kind.GAP, self.stream, self.seq, self.stamp_ns, self.born_ns,
            reason=reason, count=self.count, last=last,
        )  # fmt: skip


class _Header(msgspec.Struct, forbid_unknown_fields=True, array_like=False):
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
_decode_header = msgspec.msgpack.Decoder(_Header).decode


def encode(item: Item, link_seq: int, sent_ns: int) -> list[bytes | memoryview]:
    """Encode an item as wire parts: the header, then one raw buffer for each array, without a copy.

    Raises:
        WireError: the header would exceed `MAX_HEADER_BYTES`.
    """
    header = _Header(
        WIRE_VERSION, item.kind, item.stream, link_seq, item.seq, item.stamp_ns, item.born_ns,
        sent_ns, item.reason[:1024], item.count, item.last,
    )  # fmt: skip
    buffers: list[bytes | memoryview] = []
    if item.message is not None:
        message = type(item.message)
        struct = _scalars(message)
        header.type = message.__name__
        header.fields = msgspec.Raw(
            _encode_header(struct(*(getattr(item.message, n) for n in struct.__struct_fields__)))
        )
        for name in array_fields(message):
            array = getattr(item.message, name)
            if array is not None:
                contiguous = np.ascontiguousarray(array)
                header.parts.append((name, str(array.dtype), list(array.shape)))
                buffers.append(contiguous.data.cast("B") if contiguous.size else b"")
    encoded = _encode_header(header)
    if len(encoded) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(encoded)} bytes exceeds {MAX_HEADER_BYTES}")
    return [encoded, *buffers]


def decode(
    parts: Sequence[bytes | memoryview], messages: Mapping[str, type[Message]]
) -> tuple[Item, int]:
    """Decode wire parts into an item and its number on the link; `messages` are the types allowed.

    Raises:
        WireError: the parts do not form an item of an allowed type.
    """
    if not 1 <= len(parts) <= 1 + MAX_PARTS:
        raise WireError(f"{len(parts)} parts")
    if len(parts[0]) > MAX_HEADER_BYTES:
        raise WireError(f"header of {len(parts[0])} bytes exceeds {MAX_HEADER_BYTES}")
    try:
        header = _decode_header(parts[0])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise WireError(f"header: {error}") from error
    if header.v != WIRE_VERSION:
        raise WireError(f"wire version {header.v}, expected {WIRE_VERSION}")
    message = None
    if header.kind is Kind.DATA:
        if header.type not in messages:
            raise WireError(f"message type {header.type!r} is not one of {sorted(messages)}")
        message = _decode_message(messages[header.type], header, parts[1:])
    item = Item(
        header.kind, header.stream, header.seq, header.stamp_ns, header.born_ns,
        message, header.reason, header.count, header.last,
    )  # fmt: skip
    return item, header.link_seq


def _decode_message(
    message: type[Message], header: _Header, buffers: Sequence[bytes | memoryview]
) -> Message:
    if len(buffers) != len(header.parts):
        raise WireError(f"{len(buffers)} buffers for {len(header.parts)} arrays")
    values: dict[str, Any] = dict.fromkeys(array_fields(message))
    for (name, dtype, shape), buffer in zip(header.parts, buffers, strict=True):
        if name not in values or dtype not in DTYPES or any(n < 0 for n in shape):
            raise WireError(f"array {name!r} of {dtype} {shape} is not allowed")
        if math.prod(shape) * np.dtype(dtype).itemsize != memoryview(buffer).nbytes:
            raise WireError(
                f"array {name!r}: {memoryview(buffer).nbytes} bytes do not fill {shape}"
            )
        values[name] = np.frombuffer(buffer, dtype).reshape(shape)
    try:
        scalars = msgspec.msgpack.decode(header.fields, type=_scalars(message))
        values |= {n: getattr(scalars, n) for n in scalars.__struct_fields__}
        return message(**values)
    except (msgspec.MsgspecError, ValueError, UnicodeDecodeError) as error:
        raise WireError(f"{message.__name__}: {error}") from error
