"""The run folder: one run at a time, and room for what is written last.

A run holds a lock on a hidden file in its folder; the system frees it when the process ends,
however that may be. The file also takes up the room that `stats.json` will need, so that a run
whose disk fills up can still say so there.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import ConfigError

LOCK_FILE = ".run"
RESERVED_BYTES = 64 * 1024
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class Claim:
    """The claim of a run on its folder."""

    def __init__(self, out: Path) -> None:
        self._path = out / LOCK_FILE
        self._fd = _lock(self._path)
        try:
            _reserve(self._fd)
        except OSError:
            self.release()
            raise

    def give_room(self) -> None:
        """Free the room that was kept."""
        os.ftruncate(self._fd, 0)

    def release(self) -> None:
        """Let the next run have the folder."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


@contextmanager
def claimed(out: Path) -> Iterator[Claim]:
    """Make the run folder if need be, and keep other runs out of it.

    Raises:
        ConfigError: it cannot be written, or another run is at it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        claim = Claim(out)
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        yield claim
    finally:
        claim.release()


def unwritable(out: Path, error: OSError) -> ConfigError:
    """Return what to tell of a run folder that cannot be written."""
    return ConfigError(f"cannot write the run folder {out}: {error.strerror}")


def try_lock(fd: int) -> bool:
    """Lock an open file or folder for as long as it is open; say whether nobody else holds it.

    Where the system cannot lock, as on some network file systems, nobody does.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True


def _lock(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(fd):
            pid = os.read(fd, 32).split(b"\n")[0].decode(errors="replace")
            os.close(fd)
            raise ConfigError(
                f"another run writes into {path.parent} (process {pid}): choose another --out"
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(fd)):
                return fd
        os.close(fd)  # the run that had it has ended meanwhile, and removed it


def _reserve(fd: int) -> None:
    os.ftruncate(fd, 0)
    record = f"{os.getpid()}\n".encode().ljust(RESERVED_BYTES, b"\0")
    if os.write(fd, record) < len(record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
