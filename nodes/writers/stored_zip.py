"""A ZIP archive of uncompressed entries whose table of contents waits on the disk, not in memory.

Python's `zipfile` keeps some 400 bytes for each entry, which a camera that runs for days feels.
Follows PKWARE's APPNOTE.TXT 6.3.9: sections 4.3.7 (local header), 4.3.12 (central directory),
4.3.14 to 4.3.16 (its end, also in the form ZIP64, for more than 65,534 entries or 4 GiB).
"""

import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nodes.writers.output import OutputFile, naming
from pipeline.errors import NodeError

VERSION, VERSION_ZIP64 = 20, 45
DATE = (1 << 5) | 1  # 1980-01-01, the earliest there is: no clock in what is written
MAX_ENTRIES = 0xFFFE
MAX_32 = 0xFFFFFFFE
HEADER = "<4s6H3I5H2I"  # of an entry, in the table of contents
PIECE_BYTES = 1 << 20
IN_ZIP64 = 0xFFFFFFFF  # in place of a number that the ZIP64 form holds


class StoredZip:
    """Writes an archive in the order of `add`; it can be read once it is closed.

    Where the disk fills up, `add` and `close` raise NodeError, and after `close` all that was added
    before can be read; less of it where not even the table of contents finds room.
    """

    def __init__(self, path: Path) -> None:
        self._file = OutputFile(path)
        with naming(path):
            nameless = tempfile.TemporaryFile(dir=path.parent, buffering=0)  # noqa: SIM115
        self._directory = OutputFile(path, cast(BinaryIO, nameless))
        self._num_entries = 0

    def add(self, name: str, content: bytes) -> None:
        """Add an entry of less than 4 GiB."""
        offset, encoded = self._file.size, name.encode("ascii")
        facts = (0, 0, 0, DATE, zlib.crc32(content), len(content), len(content), len(encoded))
        local = struct.pack("<4s5H3I2H", b"PK\3\4", VERSION, *facts, 0)
        self._file.write(local + encoded + content)
        is_far = offset > MAX_32
        extra = struct.pack("<2HQ", 1, 8, offset) if is_far else b""
        version = VERSION_ZIP64 if is_far else VERSION
        place = (len(extra), 0, 0, 0, 0, IN_ZIP64 if is_far else offset)
        header = struct.pack(HEADER, b"PK\1\2", version, version, *facts, *place)
        try:
            self._directory.write(header + encoded + extra)
        except NodeError:
            self._file.truncate(offset)
            raise
        self._num_entries += 1

    def close(self) -> None:
        """Write the table of contents."""
        start, size = self._file.size, self._directory.size
        try:
            for offset in range(0, size, PIECE_BYTES):
                self._file.write(self._directory.read(offset, PIECE_BYTES))
            self._write_end(start, size, self._num_entries)
            self._directory.close()
        except NodeError:
            directory = self._directory.read(0, size)
            self._directory.close()  # makes room for its copy
            if not self._keeps_all(list(_headers(directory)), start):
                raise
        finally:
            self._file.close()

    def _keeps_all(self, headers: list[tuple[bytes, int]], end: int) -> bool:
        """Write the table of contents of as many entries as there is room for; say if of all.

        Args:
            headers: of each entry its row of the table, and where it begins.
            end: where the last one ends.
        """
        num_kept = len(headers)
        while True:
            start = end if num_kept == len(headers) else headers[num_kept][1]
            self._file.truncate(start)
            table = b"".join(header for header, _ in headers[:num_kept])
            try:
                self._file.write(table)
                self._write_end(start, len(table), num_kept)
                return num_kept == len(headers)
            except NodeError:
                if not num_kept:
                    return False
                num_kept = num_kept * 9 // 10

    def _write_end(self, start: int, size: int, count: int) -> None:
        """Write the end of a table of contents that begins at `start`."""
        zip64 = b""
        if count > MAX_ENTRIES or start > MAX_32 or size > MAX_32:
            zip64 = _zip64_end(start, size, count)
            count, size, start = 0xFFFF, IN_ZIP64, IN_ZIP64
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0)
        self._file.write(zip64 + end)


def _zip64_end(start: int, size: int, count: int) -> bytes:
    versions = (VERSION_ZIP64, VERSION_ZIP64)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, *versions, 0, 0, count, count, size, start)
    return record + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)


def _headers(directory: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the row of each entry, and where the entry begins."""
    at, fixed = 0, struct.calcsize(HEADER)
    while at < len(directory):
        fields = struct.unpack_from(HEADER, directory, at)
        name_bytes, extra_bytes, offset = fields[10], fields[11], fields[-1]
        end = at + fixed + name_bytes + extra_bytes
        if extra_bytes:
            (offset,) = struct.unpack("<Q", directory[end - 8 : end])
        yield directory[at:end], offset
        at = end
