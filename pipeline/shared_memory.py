"""Memory that two processes map: a large array is written once, and read where it lies.

The producer owns an `Arena`, a file without a name (memfd): nothing of it is left once the last
process that maps it has ended, however that may be. A consumer opens it as /proc/PID/fd/FD.

    [ control: a byte for each slot and holder ][ slot 0 ][ slot 1 ] ...

A byte is 1 while its holder may read the slot. The producer sets it before it sends the `Handle`,
and the consumer clears it when the last view of the array is gone; each byte has one writer at a
time. A slot whose bytes are all 0 is free. Holder 0 is the producer itself. That the bytes of the
array are there before its handle, and are read before its byte is cleared, is left to the sockets
and to the order in which x86 stores.
"""

from __future__ import annotations

import fcntl
import itertools
import mmap
import os
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from pipeline.wire import WireError

PRODUCER = 0  # the holder's number
NAME = "posestream"  # of the memory, for whoever looks into /proc
DEATH_S = 0.5  # a producer that has died is named by whoever watches it, who needs a moment
_serials = itertools.count()

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class UnreadableError(WireError):
    """The memory of another process cannot be mapped: as a rule because it has died."""


def is_supported() -> bool:
    """Say whether this system has files without a name that another process can open."""
    return hasattr(os, "memfd_create") and Path("/proc/self/fd").exists()


class Handle(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where an array lies, for another process."""

    pid: Natural
    fd: Natural
    serial: Natural
    """Number of the arena within its process; descriptors are used again, serials are not."""
    control: Natural
    """Number of bytes before the first slot."""
    flag: Natural
    """Position of the byte to clear when the array is no longer used."""
    offset: Natural
    nbytes: Natural


class _Lease:
    """Owns a slot on behalf of numpy: the base of every view, and gone with the last of them."""

    def __init__(self, control: np.ndarray, flag: int, data: np.ndarray) -> None:
        self._control = control
        self._flag = flag
        self._data = data  # keeps the mapping
        self._pid = os.getpid()
        self.__array_interface__ = data.__array_interface__

    def __del__(self) -> None:
        if os.getpid() == self._pid:  # a fork must not give back what its parent reads
            self._control[self._flag] = 0


def _lease(control: np.ndarray, flag: int, data: np.ndarray) -> np.ndarray:
    """Return an array of `data` that clears its flag when its last view is gone."""
    return np.asarray(_Lease(control, flag, data))


def _nothing() -> None:
    return None


class Arena:
    """Slots of one size; pages cost memory from their first use on, and low slots are used first.

    Raises:
        OSError: the system does not give the memory.
    """

    def __init__(self, slot_bytes: int, num_slots: int, num_holders: int) -> None:
        self.slot_bytes = slot_bytes
        self._serial = next(_serials)
        self._num_holders = num_holders
        control_bytes = num_slots * num_holders
        self._data_at = -(-control_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        size = self._data_at + num_slots * slot_bytes
        self._fd = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        weakref.finalize(self, os.close, self._fd)
        os.ftruncate(self._fd, size)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self._bytes = np.frombuffer(mmap.mmap(self._fd, size), np.uint8)
        self._address = _address(self._bytes)
        self._held = self._bytes[:control_bytes].reshape(num_slots, num_holders)
        self._content: list[Callable[[], np.ndarray | None]] = [_nothing] * num_slots

    @property
    def is_held(self) -> bool:
        """Whether somebody may still read a slot."""
        return bool(self._held.any())

    def lend(self, nbytes: int) -> np.ndarray | None:
        """Return a piece of memory that its last view gives back, or None if no slot is free."""
        is_taken = np.logical_or.reduce(self._held, axis=1)
        slot = int(is_taken.argmin())
        if is_taken[slot]:
            return None
        self._held[slot, PRODUCER] = 1
        self._content[slot] = _nothing
        flag = slot * self._num_holders + PRODUCER
        return _lease(self._bytes, flag, self._bytes[self._start(slot) :][:nbytes])

    def release(self, holder: int) -> None:
        """Take back what a consumer held that has died."""
        self._held[:, holder] = 0

    def hand_over(
        self, array: np.ndarray, holder: int, original: np.ndarray | None = None
    ) -> Handle | None:
        """Let a consumer hold the slot that has the content of an array, if there is one.

        Args:
            original: the array that `array` was copied from, to be found by later calls.
        """
        for start in self._places(array):
            slot = (start - self._data_at) // self.slot_bytes
            if not self._held[slot, holder]:
                if original is not None:
                    self._content[slot] = weakref.ref(original)
                self._held[slot, holder] = 1
                flag = slot * self._num_holders + holder
                return Handle(
                    os.getpid(), self._fd, self._serial, self._data_at, flag, start, array.nbytes
                )
        return None

    def _places(self, array: np.ndarray) -> Iterator[int]:
        """Yield where the content of an array begins."""
        start = _address(array) - self._address
        if self._data_at <= start < self._bytes.size and array.flags.c_contiguous:
            yield start
        for slot, content in enumerate(self._content):
            if content() is array:
                yield self._start(slot)

    def _start(self, slot: int) -> int:
        return self._data_at + slot * self.slot_bytes


def _address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


class Reader:
    """The consumer's side: finds arrays by their handles. A mapping lives as long as its views."""

    def __init__(self) -> None:
        self._serial = -1
        self._mapped: _Mapped | None = None

    def view(self, handle: Handle) -> np.ndarray:
        """Return the bytes of an array, read-only; its slot is released with the last view.

        Raises:
            WireError: the handle leads to no shared memory, or out of it.
        """
        if self._mapped is None or handle.serial != self._serial:
            self._mapped, self._serial = _Mapped(handle), handle.serial
        return self._mapped.view(handle)

    def close(self) -> None:
        """Forget the memory; what is in use lives on."""
        self._mapped = None


class _Mapped:
    """An arena of another process: its data can be read, its control bytes written."""

    def __init__(self, handle: Handle) -> None:
        path = f"/proc/{handle.pid}/fd/{handle.fd}"
        try:
            if not str(Path(path).readlink()).startswith(f"/memfd:{NAME} "):
                raise ValueError("it has something else open there")  # to open it may do harm
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._map(fd, handle.control)
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            time.sleep(DEATH_S)
            raise UnreadableError(
                f"the shared memory of process {handle.pid} cannot be read: {error}; "
                "if it may not be, set carrier: ipc"
            ) from error

    def _map(self, fd: int, control_bytes: int) -> None:
        if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
            raise ValueError("it might shrink")  # and reading it would kill this process
        self._data = np.frombuffer(mmap.mmap(fd, 0, prot=mmap.PROT_READ), np.uint8)
        self._control = np.frombuffer(mmap.mmap(fd, control_bytes), np.uint8)

    def view(self, handle: Handle) -> np.ndarray:
        end = handle.offset + handle.nbytes
        is_inside = len(self._control) <= handle.offset <= end <= len(self._data)
        if not (is_inside and 0 <= handle.flag < len(self._control)):
            raise WireError(f"{handle} does not lie in {len(self._data)} bytes of shared memory")
        return _lease(self._control, handle.flag, self._data[handle.offset : end])
