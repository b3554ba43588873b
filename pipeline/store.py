"""Where the large arrays of one node lie for other processes, each of them once."""

from __future__ import annotations

import math
import mmap
import threading

import numpy as np
import numpy.typing as npt

from pipeline.shared_memory import Arena, Handle

MAX_ARENA_BYTES = 2**30


class Store:
    """The shared memory of one producer, for all its links: an arena, a larger one when need be.

    Args:
        num_consumers: how many there are; they are numbered from 1.
        num_slots: arrays that may be in use at once; further ones find no place.
    """

    def __init__(self, num_consumers: int, num_slots: int) -> None:
        self._num_holders = 1 + num_consumers
        self._num_slots = num_slots
        self._arena: Arena | None = None
        self._retired: list[Arena] = []
        self._lock = threading.Lock()  # a node's helpers make arrays while its thread sends some

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray | None:
        """Return a new array that `place` need not copy, or None without room."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        with self._lock:
            arena = self._arena_for(nbytes)
            piece = None if arena is None else arena.lend(nbytes)
        return None if piece is None else piece.view(dtype).reshape(shape)

    def place(self, array: np.ndarray, consumer: int) -> Handle | None:
        """Put an array where a consumer can read it, once for all consumers; None without room.

        The array must not change for as long as it lives.
        """
        handle = self._hand_over(array, consumer)
        if handle is None:
            copy = self.empty(array.shape, array.dtype)
            if copy is not None:
                np.copyto(copy, array)
                handle = self._hand_over(copy, consumer, array)
        return handle

    def release(self, consumer: int) -> None:
        """Take back what a consumer held that has died."""
        with self._lock:
            for arena in [self._arena, *self._retired]:
                if arena:
                    arena.release(consumer)

    def close(self) -> None:
        """Give the memory back as soon as nobody reads it."""
        self._arena = None
        self._retired.clear()

    def _hand_over(
        self, array: np.ndarray, consumer: int, original: np.ndarray | None = None
    ) -> Handle | None:
        with self._lock:
            for arena in [self._arena, *self._retired]:
                handle = arena and arena.hand_over(array, consumer, original)
                if handle:
                    return handle
        return None

    def _arena_for(self, nbytes: int) -> Arena | None:
        """Return an arena with slots of at least this size, or None if the system gives none."""
        self._retired = [arena for arena in self._retired if arena.is_held]
        if self._arena is None or self._arena.slot_bytes < nbytes:
            slot_bytes = (nbytes * 5 // 4 // mmap.PAGESIZE + 1) * mmap.PAGESIZE  # a little to spare
            num_slots = max(1, min(self._num_slots, MAX_ARENA_BYTES // slot_bytes))
            try:
                arena = Arena(slot_bytes, num_slots, self._num_holders)
            except OSError:
                return None
            self._retired += [] if self._arena is None else [self._arena]
            self._arena = arena
        return self._arena
