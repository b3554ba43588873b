"""A ZIP archive of uncompressed entries whose table of contents waits on the disk, not in memory.

Python's `zipfile` keeps some 400 bytes for each entry, which a camera that runs for days feels.
Follows PKWARE's APPNOTE.TXT 6.3.9: sections 4.3.7 (local header), 4.3.12 (central directory),
4.3.14 to 4.3.16 (its end, also in the form ZIP64, for more than 65,534 entries or 4 GiB).
"""

import shutil
import struct
import tempfile
import zlib
from pathlib import Path

VERSION, VERSION_ZIP64 = 20, 45
DATE = (1 << 5) | 1  # 1980-01-01, the earliest there is: no clock in what is written
MAX_ENTRIES = 0xFFFE
MAX_32 = 0xFFFFFFFE
IN_ZIP64 = 0xFFFFFFFF  # in place of a number that the ZIP64 form holds


class StoredZip:
    """Writes an archive in the order of `add`; it can be read once it is closed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._directory = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 (closed in close)
        self._num_entries = 0

    def add(self, name: str, content: bytes) -> None:
        """Add an entry of less than 4 GiB."""
        offset, encoded = self._file.tell(), name.encode("ascii")
        facts = (0, 0, 0, DATE, zlib.crc32(content), len(content), len(content), len(encoded))
        self._file.write(struct.pack("<4s5H3I2H", b"PK\3\4", VERSION, *facts, 0) + encoded)
        self._file.write(content)
        is_far = offset > MAX_32
        extra = struct.pack("<2HQ", 1, 8, offset) if is_far else b""
        version = VERSION_ZIP64 if is_far else VERSION
        place = (len(extra), 0, 0, 0, 0, IN_ZIP64 if is_far else offset)
        header = struct.pack("<4s6H3I5H2I", b"PK\1\2", version, version, *facts, *place)
        self._directory.write(header + encoded + extra)
        self._num_entries += 1

    def close(self) -> None:
        """Write the table of contents."""
        start, size = self._file.tell(), self._directory.tell()
        self._directory.seek(0)
        shutil.copyfileobj(self._directory, self._file)
        self._directory.close()
        count = self._num_entries
        if count > MAX_ENTRIES or start > MAX_32 or size > MAX_32:
            self._write_zip64_end(start, size)
            count, size, start = 0xFFFF, IN_ZIP64, IN_ZIP64
        self._file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0))
        self._file.close()

    def _write_zip64_end(self, start: int, size: int) -> None:
        end, count = self._file.tell(), self._num_entries
        versions = (VERSION_ZIP64, VERSION_ZIP64)
        record = struct.pack(
            "<4sQ2H2I4Q", b"PK\6\6", 44, *versions, 0, 0, count, count, size, start
        )
        self._file.write(record + struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
