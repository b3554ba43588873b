"""What an AVI file says about its pictures (RIFF; OpenDML AVI File Format Extensions 1.02).

They are counted twice: as chunks of the first video stream, and as entries of the index idx1. A
chunk without content repeats the picture before it, and tiny ones are placeholders.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from nodes.sources.containers.timeline import MAX_PICTURES, BrokenError, Timeline

SMALLEST = 9
"""Bytes; no picture is smaller, but what says that there is none."""
MPEG4 = (b"xvid", b"divx", b"dx50", b"fmp4", b"mp4v", b"mp4s")
MAX_INDEX_BYTES = 1 << 28
IN_MOVI = re.compile(rb"\d\d(dc|db|wb|tx|pc|iv|sb)|ix\d\d|JUNK|junk|rec |idx1", re.DOTALL)


@dataclass(frozen=True)
class Chunk:
    """A chunk: its four letters (of a list, those of its kind), and where its content lies."""

    kind: bytes
    start: int
    end: int


def read_timeline(file: BinaryIO, num_bytes: int) -> Timeline:
    """Return the pictures of the first video stream.

    Raises:
        BrokenError: the chunks do not follow each other, and no index says how many there are.
    """
    avi = _Avi(file, num_bytes)
    for top in avi.chunks(0, num_bytes):
        if top.kind in (b"AVI ", b"AVIX"):
            avi.read_riff(top)
    return avi.timeline()


class _Avi:
    """An AVI file being counted."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._num_bytes = file, num_bytes
        self._streams: list[bytes] = []
        self._sizes: list[int] = []
        self._indexed: list[int] = []
        self._num_parts = 0
        self._fault: BrokenError | None = None

    def timeline(self) -> Timeline:
        """Return the larger of both counts."""
        if self._fault is not None and (not self._indexed or self._num_parts > 1):
            raise self._fault
        sizes = np.array(max(self._sizes, self._indexed, key=_num_pictures), np.int64)
        if len(sizes) > MAX_PICTURES:
            raise BrokenError("it claims too many frames")
        head = self._streams[self._number()]
        scale, rate = (int.from_bytes(head[i : i + 4], "little") for i in (20, 24))
        keys = np.ones(len(sizes), np.bool_)
        tick_ns = 1e9 * max(scale, 1) / max(rate, 1)
        # MPEG-4 part 2 may have two pictures in one chunk, whose times nobody knows, and decoders
        # that change the order of the pictures give delayed times.
        is_exact = head[4:8].lower() not in MPEG4
        ticks, required = np.arange(len(sizes)), sizes >= SMALLEST
        return Timeline.of(ticks, tick_ns, required, keys, is_exact, is_late=True)

    def chunks(self, start: int, end: int) -> Iterator[Chunk]:
        """Yield the chunks between two places; the last one may end behind the file."""
        at, end = start, min(end, self._num_bytes)
        while at + 8 <= end:
            head = self._read(at, 12)
            kind, size = head[:4], int.from_bytes(head[4:8], "little")
            is_list = kind in (b"RIFF", b"LIST")
            if kind == b"RIFF" and size in (0, 0xFFFFFFFF):
                size = end - at - 8  # a recorder that never came to its end
            yield Chunk(head[8:12] if is_list else kind, at + (12 if is_list else 8), at + 8 + size)
            at += 8 + size + size % 2

    def read_riff(self, riff: Chunk) -> None:
        """Read the parts of a RIFF."""
        self._num_parts += 1
        chunks = list(self.chunks(riff.start, riff.end))
        if not any(chunk.kind == b"movi" for chunk in chunks):
            self._fault = self._fault or BrokenError(f"nothing is found behind byte {riff.start}")
        for chunk in chunks:
            if chunk.kind == b"hdrl":
                self._read_headers(chunk)
            elif chunk.kind == b"movi":
                self._count(chunk)
            elif chunk.kind == b"idx1":
                self._read_index(chunk)

    def _read_headers(self, hdrl: Chunk) -> None:
        for stream in self.chunks(hdrl.start, hdrl.end):
            if stream.kind == b"strl":
                heads = [c for c in self.chunks(stream.start, stream.end) if c.kind == b"strh"]
                self._streams += [self._read(head.start, 56) for head in heads[:1]]

    def _number(self) -> int:
        """Return the number of the first video stream."""
        videos = [i for i, head in enumerate(self._streams) if head[:4] == b"vids"]
        if not videos:
            raise BrokenError("no stream is marked as video")
        return videos[0]

    def _is_picture(self, kind: bytes) -> bool:
        return kind[2:] in (b"dc", b"db") and kind[:2] == b"%02d" % self._number()

    def _count(self, movi: Chunk) -> None:
        """Note the sizes of the pictures in a list of chunks, which may hold further lists."""
        for chunk in self.chunks(movi.start, movi.end):
            if not IN_MOVI.fullmatch(chunk.kind) or chunk.end > movi.end:
                fault = BrokenError(f"the chunk at byte {chunk.start - 8} is damaged")
                self._fault = self._fault or fault
                return
            if chunk.kind == b"rec ":
                self._count(chunk)
            elif self._is_picture(chunk.kind):
                self._sizes.append(chunk.end - chunk.start)

    def _read_index(self, idx1: Chunk) -> None:
        """Note the sizes of the pictures in the index: letters, flags, place and size of each."""
        data = self._read(idx1.start, min(idx1.end - idx1.start, MAX_INDEX_BYTES))
        entries = np.frombuffer(data[: len(data) // 16 * 16], "S4, <u4, <u4, <u4")
        kinds, numbers = np.unique(entries["f0"], return_inverse=True)
        is_picture = np.array([self._is_picture(bytes(kind)) for kind in kinds], np.bool_)
        if len(kinds):
            self._indexed += entries["f3"][is_picture[numbers]].tolist()

    def _read(self, start: int, num_bytes: int) -> bytes:
        self._file.seek(start)
        return self._file.read(num_bytes)


def _num_pictures(sizes: list[int]) -> int:
    return sum(size >= SMALLEST for size in sizes)
