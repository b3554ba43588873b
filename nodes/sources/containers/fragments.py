"""The samples in the fragments of an MP4 file (ISO/IEC 14496-12, 8.8)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from nodes.sources.containers.boxes import Box, read, signed, walk, words
from nodes.sources.containers.timeline import Bool, BrokenError, Int

NOT_A_KEY = 0x10000
KNOWN = {b"mfhd", b"traf", b"tfhd", b"tfdt", b"trun", b"pssh", b"meta", b"uuid", b"free", b"skip"}
KNOWN |= {b"sdtp", b"sbgp", b"sgpd", b"subs", b"saiz", b"saio", b"senc", b"csgp", b"udta"}
Run = tuple[Int, Int, Bool]
"""Times in ticks, sizes in bytes, and whether it is a key picture; (n,) each."""


@dataclass(frozen=True)
class Defaults:
    """What a sample's entry does not say itself: ticks, bytes, and flags."""

    duration: int
    size: int
    flags: int


class Fragments:
    """Reads the runs of samples of one track; `tracks` are the numbers of all of them.

    `end` is where the samples before the first fragment end, in ticks of decoding.
    """

    def __init__(
        self, file: BinaryIO, mvex: Box, track: int, tracks: list[int], end: int = 0
    ) -> None:
        self._file, self._track, self._tracks, self._end = file, track, tracks, end
        self._defaults = Defaults(0, 0, 0)
        for box in walk(file, mvex.start, mvex.end):
            if box.kind == b"trex":
                number, _, *values = words(file, box, 4)[:5].tolist()
                if number == track and len(values) == 3:
                    self._defaults = Defaults(*values)

    def runs(self, box: Box) -> Iterator[Run]:
        """Yield what a box at the top of the file holds, which is nothing if it is no fragment."""
        if box.kind != b"moof":
            if box.end - box.start > 8 and read(self._file, box.start + 4, 4) == b"mfhd":
                raise BrokenError(f"the fragment at byte {box.start - 8} has lost its name")
            return
        for traf in self._children(box):
            if traf.kind == b"traf":
                yield from self._track_runs(list(self._children(traf)), traf)

    def _children(self, box: Box) -> Iterator[Box]:
        for child in walk(self._file, box.start, box.end):
            if child.kind not in KNOWN:
                raise BrokenError(f"the box at byte {child.start - 8} has lost its name")
            yield child

    def _track_runs(self, parts: list[Box], traf: Box) -> Iterator[Run]:
        head = next((box for box in parts if box.kind == b"tfhd"), None)
        if head is None:
            raise BrokenError(f"the fragment at byte {traf.start - 8} has lost its head")
        flags, track, *rest = words(self._file, head).tolist()
        if track not in self._tracks:
            raise BrokenError(f"the fragment at byte {traf.start - 8} belongs to no track")
        if track != self._track:
            return
        defaults = self._merged(flags & 0xFFFFFF, rest)
        for box in parts:
            if box.kind == b"tfdt":
                data = read(self._file, box.start, box.end - box.start)
                self._end = int.from_bytes(data[4:12] if data[0] == 1 else data[4:8], "big")
            elif box.kind == b"trun":
                yield self._run(box, defaults)

    def _merged(self, flags: int, values: list[int]) -> Defaults:
        """Return the defaults of this fragment; 8.8.7 lists the optional fields and their flags."""
        widths = ((0x1, 2), (0x2, 1), (0x8, 1), (0x10, 1), (0x20, 1))
        given = {}
        for flag, width in widths:
            if flags & flag and len(values) >= width:
                given[flag], values = values[0], values[width:]
        d = self._defaults
        return Defaults(
            given.get(0x8, d.duration), given.get(0x10, d.size), given.get(0x20, d.flags)
        )

    def _run(self, box: Box, defaults: Defaults) -> Run:
        """Read one run; 8.8.8 lists the optional fields of run and sample and their flags."""
        flags, count = struct.unpack(">II", read(self._file, box.start, 8))
        first_flags = words(self._file, box, 8 + 4 * bool(flags & 1))[:1] if flags & 4 else None
        skip = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4)
        columns = [flag for flag in (0x100, 0x200, 0x400, 0x800) if flags & flag]
        numbers = words(self._file, box, skip)
        if count * max(len(columns), 1) > max(len(numbers), (not columns) * 100_000):
            raise BrokenError(f"the run at byte {box.start - 8} is too short")
        table = numbers[: count * len(columns)].reshape(count, len(columns))
        column = {flag: table[:, i] for i, flag in enumerate(columns)}
        durations = column.get(0x100, np.full(count, defaults.duration))
        ticks = self._end + np.cumsum(durations) - durations
        self._end += int(durations.sum())
        sample_flags = column.get(0x400, np.full(count, defaults.flags)).copy()
        if first_flags is not None:
            sample_flags[:1] = first_flags
        shift = signed(column[0x800]) if 0x800 in column else 0
        sizes = column.get(0x200, np.full(count, defaults.size))
        return ticks + shift, sizes, (sample_flags & NOT_A_KEY) == 0
