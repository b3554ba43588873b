"""Reads a ROS 1 bag from its beginning, without the index at its end, as far as it goes.

The format is "ROS bag format 2.0": records of a header (fields `name=value`) and data, each behind
its length; a chunk's data are records themselves, maybe compressed.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

MAGIC = b"#ROSBAG V2.0\n"
MESSAGE, CHUNK, CONNECTION = 2, 5, 7
MAX_RECORD_BYTES = 2**30
ENDS = "the file ends inside a record"


class ScanError(Exception):
    """The bag ends, or is damaged, here; the message says why."""


@dataclass(frozen=True)
class Record:
    """One message or connection."""

    fields: Mapping[bytes, bytes]
    data: bytes
    is_cut: bool = False
    """Whether a part of its data is missing, as a chunk's may be."""

    @property
    def op(self) -> int:
        """What kind of record it is."""
        return self.fields[b"op"][0]

    @property
    def connection(self) -> int:
        """Number of its connection."""
        return int.from_bytes(self.fields[b"conn"], "little")

    @property
    def time_ns(self) -> int:
        """When the message was logged."""
        seconds, nanoseconds = struct.unpack("<II", self.fields[b"time"])
        return int(seconds) * 10**9 + int(nanoseconds)


def scan(path: Path, decompressors: Mapping[str, Callable[[bytes], bytes]]) -> Iterator[Record]:
    """Yield the connections and messages in the order of the file, one chunk in memory at a time.

    Raises:
        ScanError: the file ends inside a record, or a record is damaged.
    """
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        while record := _record(file):
            if record.op != CHUNK:
                if record.op in (CONNECTION, MESSAGE):
                    yield record
                continue
            kind = record.fields.get(b"compression", b"none").decode("ascii", "replace")
            if kind not in decompressors:
                raise ScanError(f"a chunk has the unknown compression {kind!r}")
            try:
                chunk = BytesIO(decompressors[kind](record.data))
            except (OSError, ValueError, RuntimeError, EOFError) as error:
                raise ScanError(f"a chunk cannot be decompressed: {error}") from error
            while inner := _record(chunk):
                yield inner
            if record.is_cut:
                raise ScanError("the file ends inside a chunk")


def _record(file: BinaryIO) -> Record | None:
    """Read the next record; None at the end of the file."""
    length = file.read(4)
    if not length:
        return None
    header, is_cut = _take(file, length)
    fields = _fields(header)
    if is_cut:
        raise ScanError(ENDS)
    if not fields.get(b"op"):
        raise ScanError("a record has no kind")
    data, is_cut = _take(file, file.read(4))
    if is_cut and fields[b"op"][0] != CHUNK:
        raise ScanError(ENDS)
    return Record(fields, data, is_cut)


def _take(file: BinaryIO, length: bytes) -> tuple[bytes, bool]:
    """Return as many bytes as the four of `length` say, and whether some of them are missing."""
    if len(length) < 4:
        raise ScanError(ENDS)
    count = int.from_bytes(length, "little")
    if count > MAX_RECORD_BYTES:
        raise ScanError(f"a record claims {count} bytes")
    data = file.read(count)
    return data, len(data) < count


def _fields(header: bytes) -> dict[bytes, bytes]:
    fields, position = {}, 0
    while position + 4 <= len(header):
        size = int.from_bytes(header[position : position + 4], "little")
        name, _, value = header[position + 4 : position + 4 + size].partition(b"=")
        fields[name] = value
        position += 4 + size
    return fields
