"""Files that hold whole records only, also where the disk fills up."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import NodeError

CURES = {
    errno.ENOSPC: "make room, or choose another --out",
    errno.EDQUOT: "make room, or choose another --out",
    errno.EFBIG: "raise the limit (ulimit -f), or choose another --out",
}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file that the system does not write, and the cure.

    Raises:
        NodeError: it does not.
    """
    try:
        yield
    except OSError as error:
        cure = CURES.get(error.errno or 0, "choose another --out")
        raise NodeError(
            f"cannot write {path}: {error.strerror or error}: {cure}; "
            "what was written before is whole"
        ) from error


class OutputFile:
    """A file to which records are added; each is with the system once `write` returns.

    Args:
        path: where it is, for people.
        file: the open file, where it has no name.
        goes_on: keep what the file holds.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None, *, goes_on: bool = False) -> None:
        self.path = path
        with naming(path):
            self._file = file or path.open("r+b" if goes_on else "wb", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size

    def write(self, record: bytes) -> None:
        """Add a record, or nothing of it.

        Raises:
            NodeError: there is no room for it.
        """
        with naming(self.path):
            try:
                _write_all(self._file.fileno(), record, self.size)
            except OSError:
                self.truncate(self.size)
                raise
        self.size += len(record)

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes of a file that can be read, too."""
        return os.pread(self._file.fileno(), count, offset)

    def truncate(self, size: int) -> None:
        """Keep only the beginning."""
        os.ftruncate(self._file.fileno(), size)
        self.size = size

    def close(self) -> None:
        """Close the file."""
        with naming(self.path):
            self._file.close()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or leave none.

    Raises:
        NodeError: there is no room for it.
    """
    file = OutputFile(path)
    try:
        file.write(content)
    except NodeError:
        path.unlink()
        raise
    finally:
        file.close()


def _write_all(fd: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(fd, rest, offset)
        rest, offset = rest[count:], offset + count
