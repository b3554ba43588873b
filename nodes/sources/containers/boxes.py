"""Boxes of MP4 and MOV files (ISO/IEC 14496-12, 4.2): size, four letters, content."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from nodes.sources.containers.timeline import BrokenError, Int

MAX_TABLE_BYTES = 1 << 28
"""A table that claims more is damaged."""


@dataclass(frozen=True)
class Box:
    """A box: its four letters, and where its content lies in the file, bytes."""

    kind: bytes
    start: int
    end: int


def walk(file: BinaryIO, start: int, end: int, is_open: bool = False) -> Iterator[Box]:
    """Yield the boxes between two places; with `is_open` the last one may end behind.

    Raises:
        BrokenError: a box is smaller than its own head or leaves its parent.
    """
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 16 if size == 1 else 8
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        elif size == 0:
            size = end - at
        if size < head or (at + size > end and not is_open):
            raise BrokenError(f"the box at byte {at} has a wrong size")
        yield Box(kind, at + head, at + size)
        at += size


def read(file: BinaryIO, start: int, num_bytes: int) -> bytes:
    """Return these bytes of the file.

    Raises:
        BrokenError: they are not there, or too many.
    """
    if not 0 <= num_bytes <= MAX_TABLE_BYTES:
        raise BrokenError(f"the table at byte {start} has a wrong size")
    file.seek(start)
    data = file.read(num_bytes)
    if len(data) < num_bytes:
        raise BrokenError(f"the table at byte {start} has a wrong size")
    return data


def words(file: BinaryIO, box: Box, skip: int = 0) -> Int:
    """Return the 32-bit numbers (n,) in a box, without its first `skip` bytes."""
    num_bytes = max(0, box.end - box.start - skip)
    data = read(file, box.start + skip, num_bytes // 4 * 4)
    return np.frombuffer(data, ">u4").astype(np.int64)


def counted(file: BinaryIO, box: Box, width: int) -> Int:
    """Return the entries (n, width) of a table: version, count, entries, in 32-bit numbers.

    Raises:
        BrokenError: the box has no room for so many.
    """
    numbers = words(file, box, 4)
    count = int(numbers[0]) if len(numbers) else 0
    if count * width > len(numbers) - 1:
        raise BrokenError(f"the table at byte {box.start} is too short")
    return numbers[1 : 1 + count * width].reshape(count, width)


def signed(numbers: Int) -> Int:
    """Return 32-bit numbers (n,) read with a sign."""
    return numbers.astype(np.uint32).view(np.int32).astype(np.int64)
