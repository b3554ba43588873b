"""Reads the size of an image from its first bytes, so that a small file cannot claim gigabytes.

Formats are told by their content, never by their name.
"""

import re
import struct
from collections.abc import Iterator


class CutOffError(ValueError):
    """The image's end is missing."""


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) before any rotation; None for what is no image of a known format.

    Raises:
        CutOffError: a PNG or JPEG file lacks its end.
    """
    try:
        for magic, read in _READERS.items():
            if re.match(magic, data, re.DOTALL):
                return read(data)
    except (struct.error, IndexError) as error:
        raise CutOffError from error
    return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    if data.rfind(b"IEND") < 0:
        raise CutOffError
    return width, height


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """ITU T.81, annex B: the frame header has the size; the end marker follows the last scan."""
    size = None
    for marker, offset in jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, offset + 5)
            size = (width, height)
        elif marker == 0xDA and data.rfind(b"\xff\xd9") < offset:
            raise CutOffError
    return size


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, offset of the marker) of a JPEG file up to its first scan.

    Raises:
        struct.error, IndexError: it ends before.
    """
    offset = 2
    while True:
        if data[offset] != 0xFF:
            return
        marker = data[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        yield marker, offset
        if marker == 0xDA:
            return
        offset += 2 + struct.unpack_from(">H", data, offset + 2)[0]


def _bmp(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> tuple[int, int]:
    """RFC 9649: the first chunk is VP8X (extended), VP8L (lossless) or VP8 (lossy)."""
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int] | None:
    """TIFF 6.0: tags 256 and 257 of the first directory, SHORT (3) or LONG (4)."""
    order = "<" if data[:2] == b"II" else ">"
    start = struct.unpack_from(order + "I", data, 4)[0]
    found = {}
    for i in range(struct.unpack_from(order + "H", data, start)[0]):
        entry = start + 2 + 12 * i
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)[0]
    return (found[256], found[257]) if {256, 257} <= found.keys() else None


def _pnm(data: bytes) -> tuple[int, int] | None:
    match = re.match(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s", data[:4096])
    return (int(match[1]), int(match[2])) if match else None


_READERS = {
    rb"\x89PNG\r\n\x1a\n": _png,
    rb"\xff\xd8\xff": _jpeg,
    rb"BM": _bmp,
    rb"RIFF....WEBP": _webp,
    rb"II\*\0|MM\0\*": _tiff,
    rb"P[1-6]\s": _pnm,
}
