"""What an MP4 or MOV file says about its pictures (ISO/IEC 14496-12).

Their number stands in the sample tables of the first video track (8.6, 8.7) and in the fragments
(8.8); an edit list (8.6.6) may hide some of them.
"""

import math
import struct
from typing import BinaryIO

import numpy as np

from nodes.sources.containers.boxes import Box, counted, read, signed, walk, words
from nodes.sources.containers.edits import check_times
from nodes.sources.containers.fragments import Fragments, Run
from nodes.sources.containers.timeline import MAX_PICTURES, Bool, BrokenError, Int, Timeline

SMALLEST_MPEG4 = 9
"""Bytes; what is smaller in MPEG-4 part 2 is a placeholder for a picture that was not coded."""
NESTED = (b"mdia", b"minf", b"stbl", b"edts")


def read_timeline(file: BinaryIO, top: list[Box], num_bytes: int) -> Timeline | None:
    """Return the pictures of the first video track; None where the index is compressed.

    Raises:
        BrokenError: the boxes or the tables contradict themselves.
    """
    moov = next(box for box in top if box.kind == b"moov")
    parts = list(walk(file, moov.start, moov.end))
    if any(box.kind == b"cmov" for box in parts):
        return None
    return _VideoTrack(file, parts, num_bytes).timeline(top)


class _VideoTrack:
    """The first video track of a movie."""

    def __init__(self, file: BinaryIO, moov: list[Box], num_bytes: int) -> None:
        self._file, self._num_bytes = file, num_bytes
        self._movie = {box.kind: box for box in moov}
        tracks = [_tables(file, box) for box in moov if box.kind == b"trak"]
        self._ids = [_track_number(file, tables) for tables in tracks]
        videos = [i for i, tables in enumerate(tracks) if _is_video(file, tables)]
        if not videos:
            raise BrokenError("no track is marked as video")
        self._here, self._id = tracks[videos[0]], self._ids[videos[0]]
        self._timescale = _timescale(file, self._here.get(b"mdhd"))

    def timeline(self, top: list[Box]) -> Timeline:
        """Collect all samples and apply the edit list."""
        runs, end = [self._table_run()], 0
        if b"mvex" in self._movie:
            end = int(self._durations().sum())
            fragments = Fragments(self._file, self._movie[b"mvex"], self._id, self._ids, end)
            for box in top:
                runs += fragments.runs(box)
        if sum(len(ticks) for ticks, _, _ in runs) > MAX_PICTURES:
            raise BrokenError("it claims too many frames")
        ticks, sizes, keys = (np.concatenate(part) for part in zip(*runs, strict=True))
        is_mpeg4 = read(self._file, self._table(b"stsd").start + 12, 4) == b"mp4v"
        required = sizes >= (SMALLEST_MPEG4 if is_mpeg4 else 1)
        is_packed = is_mpeg4 and not required.all()  # two pictures in one sample, then none
        shown, is_exact = self._shown(ticks)
        required &= shown
        tick_ns = 1e9 / self._timescale
        return Timeline.of(ticks, tick_ns, required, keys, is_exact and not is_packed)

    def _table(self, kind: bytes) -> Box:
        if kind not in self._here:
            raise BrokenError(f"its table {kind.decode('latin-1')} is missing")
        return self._here[kind]

    def _table_run(self) -> Run:
        """Return the samples of the sample tables, which must agree on their number."""
        sizes, durations, num_places = self._sizes(), self._durations(), self._num_places()
        if not len(durations) == len(sizes) == num_places:
            raise BrokenError(
                f"its tables disagree on the number of frames: {len(sizes)} sizes, "
                f"{len(durations)} times, {num_places} places"
            )
        ticks = np.cumsum(durations) - durations
        if b"ctts" in self._here:
            shift = signed(self._repeated(b"ctts"))[: len(ticks)]
            ticks[: len(shift)] += shift
        keys = np.full(len(sizes), b"stss" not in self._here)
        if b"stss" in self._here:
            numbers = counted(self._file, self._here[b"stss"], 1)[:, 0]
            keys[numbers[(numbers > 0) & (numbers <= len(sizes))] - 1] = True
        return ticks, sizes, keys

    def _sizes(self) -> Int:
        """Return the size of each sample (N,), bytes; 1 where they are small and packed (stz2)."""
        is_packed = b"stz2" in self._here
        box = self._table(b"stz2" if is_packed else b"stsz")
        size, count = struct.unpack(">II", read(self._file, box.start + 4, 8))
        room = box.end - box.start - 12
        if is_packed:
            size, room = 0, room * 8 // max(size & 0xFF, 1) * 4
        if size * count > self._num_bytes or (size == 0 and count * 4 > room):
            raise BrokenError(f"it claims {count} frames, more than it has room for")
        if size or is_packed:
            return np.full(count, size or SMALLEST_MPEG4, np.int64)
        return words(self._file, box, 12)[:count]

    def _durations(self) -> Int:
        """Return for how long each sample (N,) lasts, ticks."""
        return signed(self._repeated(b"stts"))

    def _repeated(self, kind: bytes) -> Int:
        """Return the values of a table of (number of samples, value)."""
        counts, values = counted(self._file, self._table(kind), 2).T
        if counts.sum() > MAX_PICTURES:
            raise BrokenError(f"it claims {counts.sum()} frames, more than it has room for")
        return np.repeat(values, counts)

    def _num_places(self) -> int:
        """Return for how many samples the tables of chunks have a place."""
        box = self._here.get(b"co64") or self._table(b"stco")
        num_chunks = int.from_bytes(read(self._file, box.start + 4, 4), "big")
        first, each, _ = counted(self._file, self._table(b"stsc"), 3).T
        ends = np.append(first[1:], num_chunks + 1)
        return int(((ends - first) * each).sum()) if len(first) else 0

    def _shown(self, ticks: Int) -> tuple[Bool, bool]:
        """Return which samples (N,) an edit list leaves, and whether the decoder's times are exact.

        Where a border of the edit falls into a sample, players differ: it need not come out. The
        edits must last as long as the track (8.3.2.3), or what they hide is not believed.
        """
        edits = self._edits()
        media = [(duration, start) for duration, start in edits if start >= 0]
        if len(media) != 1 or b"mvhd" not in self._movie:
            return np.ones(len(ticks), np.bool_), not media
        duration, start = media[0]
        per_tick = self._timescale / _timescale(self._file, self._movie[b"mvhd"])
        shown = ticks >= start
        is_fragmented = b"mvex" in self._movie  # then the duration is that of the first samples
        if duration and not is_fragmented:
            shown &= ticks < start + duration * per_tick - (1 + per_tick)
        if shown.all() or is_fragmented:
            return shown, True
        if not shown.any() or abs(sum(d for d, _ in edits) - self._track_duration()) > 1:
            raise BrokenError("its edit list does not agree with the duration of the track")
        end = start + duration * per_tick if duration else math.inf
        claimed = _duration(self._file, self._table(b"mdhd"), 16)
        check_times(ticks, self._durations(), (start, end, 1 + per_tick), claimed)
        return shown, True

    def _edits(self) -> list[tuple[int, int]]:
        """Return (duration in the movie's ticks, start in the track's ticks or -1: a pause)."""
        if b"elst" not in self._here:
            return []
        box = self._here[b"elst"]
        head = read(self._file, box.start, 8)
        form = struct.Struct(">QqI" if head[0] == 1 else ">IiI")
        count = int.from_bytes(head[4:], "big")
        if count * form.size > box.end - box.start - 8:
            raise BrokenError("its edit list is too short")
        entries = form.iter_unpack(read(self._file, box.start + 8, count * form.size))
        return [(duration, start) for duration, start, _ in entries]

    def _track_duration(self) -> int:
        """Return the duration in the track's header, ticks of the movie."""
        return _duration(self._file, self._table(b"tkhd"), 20)


def _tables(file: BinaryIO, trak: Box) -> dict[bytes, Box]:
    """Return the boxes inside a track by kind, but for the second handler of QuickTime."""
    found: dict[bytes, Box] = {}
    pending = [trak]
    while pending:
        box = pending.pop()
        for child in walk(file, box.start, box.end):
            if child.kind in NESTED:
                pending.append(child)
            elif (child.kind, box.kind) != (b"hdlr", b"minf"):
                found.setdefault(child.kind, child)
    return found


def _track_number(file: BinaryIO, tables: dict[bytes, Box]) -> int:
    if b"tkhd" not in tables:
        return 0
    start = tables[b"tkhd"].start
    at = 20 if read(file, start, 1) == b"\x01" else 12
    return int.from_bytes(read(file, start + at, 4), "big")


def _is_video(file: BinaryIO, tables: dict[bytes, Box]) -> bool:
    box = tables.get(b"hdlr")
    return box is not None and read(file, box.start + 8, 4) in (b"vide", b"pict")


def _duration(file: BinaryIO, head: Box, at: int) -> int:
    """Return the duration in a header, whose older form has it `at` bytes from its start."""
    is_long = read(file, head.start, 1) == b"\x01"
    start, width = (head.start + at + 8, 8) if is_long else (head.start + at, 4)
    return int.from_bytes(read(file, start, width), "big")


def _timescale(file: BinaryIO, head: Box | None) -> int:
    """Return the ticks a second of a header of a movie or of a track's media."""
    if head is None:
        raise BrokenError("its header has no ticks")
    at = 20 if read(file, head.start, 1) == b"\x01" else 12
    return int.from_bytes(read(file, head.start + at, 4), "big") or 1
