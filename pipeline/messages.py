"""What travels between nodes: messages of arrays and scalars, and the items around them.

A `Message` is a frozen dataclass. Its array fields declare dtype and shape in their annotation, and
are checked and made read-only when it is built:

    keypoints: Annotated[np.ndarray, Array("float32", "N 2")]

Letters stand for lengths that must agree within one message, numbers for themselves.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np

DTYPES = frozenset(
    {"bool", "uint8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"}
)
DTYPE_NAMES: dict[np.dtype[Any], str] = {np.dtype(name): name for name in DTYPES}
"""For each message: to compare dtypes by their names takes many times longer."""


class Array:
    """Declares dtypes and shapes that an array field may have: `Array("uint8", "H W", "H W 3")`."""

    def __init__(self, dtypes: str, *shapes: str) -> None:
        self.dtypes = dtypes.split(" or ")
        self.shapes = [shape.split() for shape in shapes]
        if not set(self.dtypes) <= DTYPES:
            raise ValueError(f"dtype {dtypes} is not among {', '.join(sorted(DTYPES))}")
        self._dtypes = {np.dtype(name) for name in self.dtypes}

    def bind(self, array: np.ndarray, lengths: dict[str, int]) -> bool:
        """Say whether `array` fits, adding what it says about the letters to `lengths`."""
        return array.dtype in self._dtypes and any(
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


# Asked for every message; the plain type of the call keeps the cache's own out of sight.
array_fields: Callable[[type], dict[str, tuple[Array, bool]]] = cache(_find_array_fields)


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
