"""What a Matroska or WebM file says about its length and its pictures (RFC 9559, EBML RFC 8794).

Matroska has no table of all pictures: they are counted by walking through the blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from nodes.sources.containers.timeline import MAX_PICTURES, BrokenError, Timeline

EBML, SEGMENT, VOID, CRC = 0x1A45DFA3, 0x18538067, 0xEC, 0xBF
INFO, TRACKS, CLUSTER, TIMESTAMP_SCALE = 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x2AD7B1
TRACK, TRACK_NUMBER, TRACK_TYPE, CODEC_ID = 0xAE, 0xD7, 0x83, 0x86
TIMESTAMP, SIMPLE_BLOCK, BLOCK_GROUP, BLOCK, REFERENCE = 0xE7, 0xA3, 0xA0, 0xA1, 0xFB
IN_SEGMENT = {INFO, TRACKS, CLUSTER, VOID, CRC, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770}
IN_SEGMENT |= {0x1254C367}
NUMBERS = {TIMESTAMP, 0xA7, 0xAB, CRC}
IN_CLUSTER = NUMBERS | {SIMPLE_BLOCK, BLOCK_GROUP, VOID, 0x5854, 0xAF}
IN_GROUP = {BLOCK, REFERENCE, VOID, CRC, 0xA2, 0x75A1, 0x9B, 0xFA, 0xFD, 0xA4, 0x75A2, 0x8E, 0xC8}
IN_GROUP |= {0x5854}
SMALLEST_MPEG4 = 9
"""Bytes; what is smaller in MPEG-4 part 2 is a placeholder for a picture that was not coded."""


@dataclass(frozen=True)
class Element:
    """An element: its identity, and where its content lies; `end` None: unknown."""

    identity: int
    start: int
    end: int | None


def read_size(file: BinaryIO) -> int | None:
    """Return where the first segment says that it ends, bytes; None where it does not say."""
    segment = _Matroska(file, 1 << 62).segment()
    return segment.end if segment else None


def read_timeline(file: BinaryIO, num_bytes: int) -> Timeline:
    """Return the pictures of the first video track.

    Raises:
        BrokenError: an element has an unknown identity or leaves its parent.
    """
    return _Matroska(file, num_bytes).timeline()


class _Matroska:
    """A Matroska file being counted."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file, self._num_bytes = file, num_bytes
        self._tick_ns = 1_000_000
        self._tracks: set[int] = set()
        self._video: int | None = None
        self._codec = b""
        self._ticks: list[int] = []
        self._real: list[bool] = []
        self._keys: list[bool] = []

    def segment(self) -> Element | None:
        """Return the first segment."""
        try:
            header = self._element(0)
            found = self._element(header.end) if header.end else None
        except BrokenError:
            return None
        return found if found and found.identity == SEGMENT else None

    def timeline(self) -> Timeline:
        """Walk through the first segment, up to the end of the file at most."""
        segment = self.segment()
        if segment is None:
            raise BrokenError("it has no segment")
        for element in self._children(segment, IN_SEGMENT):
            if element.identity == INFO:
                self._read_info(element)
            elif element.identity == TRACKS:
                self._read_tracks(element)
            elif element.identity == CLUSTER:
                self._read_cluster(element)
        self._check_rest(segment)
        ticks = np.array(self._ticks, np.int64)
        real, keys = np.array(self._real, np.bool_), np.array(self._keys, np.bool_)
        # MPEG-4 part 2 may have two pictures in one block, whose times nobody knows.
        return Timeline.of(ticks, self._tick_ns, real, keys, is_exact=not self._is_mpeg4())

    def _check_rest(self, segment: Element) -> None:
        """Refuse a segment that ends before its last cluster does."""
        if segment.end is None or segment.end + 4 > self._num_bytes:
            return
        if self._read(segment.end, 4) in [i.to_bytes(4, "big") for i in (CLUSTER, 0x1C53BB6B)]:
            raise BrokenError("its segment goes on behind its end")

    def _read_info(self, info: Element) -> None:
        for element in self._children(info):
            if element.identity == TIMESTAMP_SCALE:
                self._tick_ns = self._number(element) or 1_000_000

    def _read_tracks(self, tracks: Element) -> None:
        for entry in self._children(tracks):
            if entry.identity != TRACK:
                continue
            parts = {e.identity: e for e in self._children(entry)}
            if TRACK_NUMBER not in parts or TRACK_TYPE not in parts:
                raise BrokenError("a track has no number")
            number = self._number(parts[TRACK_NUMBER])
            self._tracks.add(number)
            if self._number(parts[TRACK_TYPE]) == 1 and self._video is None:
                self._video = number
                self._codec = self._content(parts[CODEC_ID]) if CODEC_ID in parts else b""

    def _read_cluster(self, cluster: Element) -> None:
        time = 0
        for element in self._children(cluster, IN_CLUSTER):
            if element.identity in NUMBERS and self._length(element) > 8:
                raise BrokenError(f"the element before byte {element.start} is damaged")
            if element.identity == TIMESTAMP:
                time = self._number(element)
            elif element.identity == SIMPLE_BLOCK:
                self._read_block(element, time, None)
            elif element.identity == BLOCK_GROUP:
                parts = {e.identity: e for e in self._children(element, IN_GROUP)}
                if BLOCK not in parts:
                    raise BrokenError(f"the group before byte {element.start} has no block")
                self._read_block(parts[BLOCK], time, REFERENCE not in parts)
            elif element.identity == VOID and any(self._content(element)):
                raise BrokenError(f"the element before byte {element.start} is damaged")

    def _read_block(self, block: Element, time: int, is_key: bool | None) -> None:
        """Note a block: number of the track, time, flags, and (if laced) how many pictures less 1.

        `is_key` is None where the flags tell it.
        """
        head = self._read(block.start, 16)
        number, width = self._vint(head, block.start)
        if number not in self._tracks or self._length(block) < width + 3:
            raise BrokenError(f"the block at byte {block.start} belongs to no track")
        if number != self._video:
            return
        if len(self._ticks) >= MAX_PICTURES:
            raise BrokenError("it claims too many frames")
        ticks = time + int.from_bytes(head[width : width + 2], "big", signed=True)
        flags, payload = head[width + 2], head[width + 3 :]
        count = 1 + payload[0] if flags & 0x06 and payload else 1
        self._ticks += [ticks] * count
        self._real += [self._holds_picture(payload, self._length(block) - width - 3)] * count
        self._keys += [bool(flags & 0x80) if is_key is None else is_key] * count

    def _holds_picture(self, payload: bytes, num_bytes: int) -> bool:
        """Say whether a block must bring a picture.

        VP8 marks reference pictures that are never shown (RFC 6386, 9.1), and MPEG-4 part 2 has
        placeholders of a few bytes.
        """
        if self._codec == b"V_VP8":
            return num_bytes > 0 and bool(payload[0] & 0x10)
        return num_bytes >= (SMALLEST_MPEG4 if self._is_mpeg4() else 1)

    def _is_mpeg4(self) -> bool:
        """Say whether the codec is MPEG-4 part 2, or unknown behind a name of Windows."""
        return self._codec.startswith((b"V_MPEG4/ISO/SP", b"V_MPEG4/ISO/ASP", b"V_MS"))

    def _children(self, parent: Element, known: set[int] | None = None) -> Iterator[Element]:
        """Yield the elements inside another; what the end of the file cuts off ends them.

        An element of unknown size ends where one begins that cannot be inside it.
        """
        at, end = parent.start, self._num_bytes if parent.end is None else parent.end
        while at < min(end, self._num_bytes):
            element = self._element(at)
            is_known = known is None or element.identity in known
            if not is_known and parent.end is None and element.identity in IN_SEGMENT | {EBML}:
                return
            if not is_known or (element.end is not None and element.end > end):
                if at + 12 < self._num_bytes:
                    raise BrokenError(f"the element at byte {at} is damaged")
                return
            if (element.end or 0) > self._num_bytes and known != IN_SEGMENT:
                raise BrokenError(f"the element at byte {at} is cut off")
            yield element
            at = self._end(element)

    def _end(self, element: Element) -> int:
        """Return where an element ends; that of unknown size is walked through."""
        if element.end is not None:
            return element.end
        last = element.start
        for child in self._children(element, IN_CLUSTER):
            last = self._num_bytes if child.end is None else child.end
        return last

    def _element(self, at: int) -> Element:
        """Read the identity and the size of the element at a place."""
        head = self._read(at, 12)
        identity, width = self._vint(head, at, keep_marker=True)
        if width > 4:
            raise BrokenError(f"the element at byte {at} is damaged")
        size, size_width = self._vint(head[width:], at)
        start = at + width + size_width
        is_unknown = size == (1 << 7 * size_width) - 1
        return Element(identity, start, None if is_unknown else start + size)

    def _vint(self, data: bytes, at: int, keep_marker: bool = False) -> tuple[int, int]:
        """Read a number and its width: its leading zero bits count its further bytes (8794, 4)."""
        width = 9 - data[0].bit_length() if data else 9
        if width > 8 or len(data) < width:
            raise BrokenError(f"the element at byte {at} is damaged")
        value = int.from_bytes(data[:width], "big")
        return (value if keep_marker else value & ((1 << 7 * width) - 1)), width

    def _length(self, element: Element) -> int:
        return (self._num_bytes if element.end is None else element.end) - element.start

    def _number(self, element: Element) -> int:
        return int.from_bytes(self._content(element)[:8], "big")

    def _content(self, element: Element) -> bytes:
        return self._read(element.start, min(self._length(element), 1 << 20))

    def _read(self, start: int, num_bytes: int) -> bytes:
        self._file.seek(start)
        return self._file.read(num_bytes)
