"""Cuts a stream of bytes into the images that it concatenates: JPEG, PNG, PPM and PGM.

Every format says where an image ends, so that nothing has to be searched for: JPEG by its segments
(ITU T.81, annex B), PNG by its chunks (RFC 2083, section 3), PPM and PGM (P6, P5) by their size.
"""

import re
import struct
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

from nodes.sources.base import EndedEarlyError
from nodes.sources.images import MAX_PIXELS
from pipeline.errors import InputError

MAX_IMAGE_BYTES = 512 * 2**20
PADDING = b"\0 \t\r\n"
"""What some programs write between images."""
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""JPEG markers without a length."""
MAX_PNM_HEADER_BYTES = 4096


T = TypeVar("T")
Waiting = Generator[None, None, T]
"""Returns a T in the end, and yields None as often as it has to wait for it."""


class _CutOffError(Exception):
    """The stream ends inside an image."""


class ImageStream:
    """Yields the bytes of one image after the other.

    Args:
        read: returns some bytes, b"" at the end, None where there are none yet; it is called only
            when more are needed.
        name: what messages call the stream.
    """

    def __init__(self, read: Callable[[], bytes | None], name: str) -> None:
        self._read = read
        self._name = name
        self._buffer = bytearray()
        self._offset = 0
        """How many bytes of the stream came before the buffer."""
        self._count = 0

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield the images, and None as often as `read` does.

        Raises:
            EndedEarlyError: the stream ends inside an image.
            InputError: there is something else than an image.
        """
        while (yield from self._skip_padding()):
            try:
                length = yield from self._length()
            except _CutOffError as error:
                raise EndedEarlyError(
                    f"{self._name} ends inside image {self._count}, "
                    f"{len(self._buffer)} bytes after its beginning"
                ) from error
            yield bytes(self._buffer[:length])
            self._drop(length)
            self._count += 1

    def _skip_padding(self) -> Waiting[bool]:
        """Go to the next image; return whether there is one."""
        while True:
            self._drop(len(self._buffer) - len(self._buffer.lstrip(PADDING)))
            if self._buffer:
                return True
            if not (yield from self._more()):
                return False

    def _length(self) -> Waiting[int]:
        """Return how many bytes the image at the beginning of the buffer has."""
        yield from self._need(2)
        start = bytes(self._buffer[:2])
        if start == _JPEG[:2]:
            return (yield from self._jpeg())
        if start == _PNG[:2]:
            return (yield from self._png())
        if start in (b"P5", b"P6"):
            return (yield from self._pnm())
        raise self._not_an_image(0)

    def _jpeg(self) -> Waiting[int]:
        position = 2
        while True:
            yield from self._need(position + 2)
            if self._buffer[position] != 0xFF:
                raise self._not_an_image(position)
            marker = self._buffer[position + 1]
            if marker == 0xD9:
                return position + 2
            if marker == 0xFF:  # a fill byte
                position += 1
                continue
            position += 2
            if marker not in _ALONE:
                yield from self._need(position + 2)
                position += struct.unpack_from(">H", self._buffer, position)[0]
            if marker == 0xDA:
                position = yield from self._scan_end(position)

    def _scan_end(self, position: int) -> Waiting[int]:
        """Return where the entropy-coded data that begin at `position` end: at the next marker."""
        while True:
            yield from self._need(position + 2)
            found = _SCAN_END.search(self._buffer, position)
            if found:
                return found.start()
            position = len(self._buffer) - 1
            yield from self._need(position + 2)

    def _png(self) -> Waiting[int]:
        yield from self._need(len(_PNG))
        if not self._buffer.startswith(_PNG):
            raise self._not_an_image(0)
        position, kind = len(_PNG), b""
        while kind != b"IEND":
            yield from self._need(position + 12)
            size, kind = struct.unpack_from(">I4s", self._buffer, position)
            position += 12 + size  # length, kind and checksum
            yield from self._need(position)
        return position

    def _pnm(self) -> Waiting[int]:
        while (size := self._pnm_size()) is None:
            if len(self._buffer) >= MAX_PNM_HEADER_BYTES:
                raise self._not_an_image(0)
            yield from self._need(len(self._buffer) + 1)
        yield from self._need(size)
        return size

    def _pnm_size(self) -> int | None:
        """Return the bytes of header and pixels; None where the header is not all there."""
        data = bytes(self._buffer[:MAX_PNM_HEADER_BYTES])
        gap = rb"(?:\s|#[^\n]*\n)+"
        found = re.match(rb"P[56]" + (gap + rb"(\d{1,9})") * 3 + rb"\s", data)
        if not found:
            return None
        width, height, highest = (int(number) for number in found.groups())
        if width * height > MAX_PIXELS:
            raise InputError(
                f"{self._name}: image {self._count} claims {width}x{height} pixels, more than the "
                f"limit of {MAX_PIXELS} pixels"
            )
        depth = (3 if data.startswith(b"P6") else 1) * (2 if highest > 255 else 1)
        return found.end() + width * height * depth

    def _need(self, count: int) -> Waiting[None]:
        """Read until the buffer has `count` bytes."""
        if count > MAX_IMAGE_BYTES:
            raise InputError(
                f"{self._name}: image {self._count} claims more than the limit of "
                f"{MAX_IMAGE_BYTES} bytes"
            )
        while len(self._buffer) < count:
            if not (yield from self._more()):
                raise _CutOffError

    def _more(self) -> Waiting[bool]:
        while (data := self._read()) is None:
            yield None
        self._buffer += data
        return bool(data)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._offset += count

    def _not_an_image(self, position: int) -> InputError:
        found = bytes(self._buffer[position : position + 8]).hex(" ")
        where = f"after image {self._count - 1}" if self._count else "at its beginning"
        return InputError(
            f"{self._name}: byte {self._offset + position}, {where}, is not an image "
            f"({found}): expected JPEG, PNG, PPM (P6) or PGM (P5) images"
        )
