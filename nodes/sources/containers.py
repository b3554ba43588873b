"""What a video file says about its own length: a file that was cut is shorter than its own claim.

A decoder meets the end of a cut AVI or Matroska file as if it were the true end, so the sizes in
the container's outermost boxes are the only proof. Read here: MP4/MOV (ISO 14496-12), AVI (RIFF),
and Matroska/WebM (RFC 9559).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

UNKNOWN_32 = (0, 0xFFFFFFFF)
"""Sizes that a recorder writes while it does not know better."""
SEGMENT = 0x18538067


@dataclass(frozen=True)
class Claim:
    """What the container claims: `num_bytes` (None: nothing), and whether its index is there."""

    num_bytes: int | None = None
    has_index: bool = True


def read_claim(path: Path) -> Claim:
    """Read the outermost boxes of a video file of any kind."""
    with path.open("rb") as file:
        magic = file.read(12)
        if magic[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
            return _mp4(file, path.stat().st_size)
        if magic[:4] == b"RIFF" and magic[8:] == b"AVI ":
            return _avi(file, path.stat().st_size)
        if magic[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file)
    return Claim()


def _mp4(file: BinaryIO, num_bytes: int) -> Claim:
    """Walk boxes: size (4 bytes), type (4); size 1 has 8 more bytes, size 0 leads to the end."""
    offset, kinds = 0, set()
    while offset + 8 <= num_bytes:
        file.seek(offset)
        size, kind = _big(file, 4), file.read(4)
        size = _big(file, 8) if size == 1 else size
        if size == 0:
            return Claim(None, has_index=b"moov" in kinds)
        offset += max(size, 8)
        if offset <= num_bytes:
            kinds.add(kind)
    return Claim(offset, has_index=b"moov" in kinds)


def _avi(file: BinaryIO, num_bytes: int) -> Claim:
    """Walk RIFF chunks (OpenDML has several): "RIFF", size (4, little endian), form (4)."""
    offset = 0
    while offset + 8 <= num_bytes:
        file.seek(offset)
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind != b"RIFF" or size in UNKNOWN_32:
            break
        offset += 8 + size + size % 2
    return Claim(offset or None)


def _matroska(file: BinaryIO) -> Claim:
    """Read two elements, the EBML header and the segment: id, size, content."""
    file.seek(0)
    _vint(file, keep_marker=True)
    file.seek(_vint(file), 1)
    if _vint(file, keep_marker=True) != SEGMENT:
        return Claim()
    width_at = file.tell()
    size = _vint(file)
    unknown = size == (1 << 7 * (file.tell() - width_at)) - 1
    return Claim(None if unknown else file.tell() + size)


def _vint(file: BinaryIO, keep_marker: bool = False) -> int:
    """Read an EBML number: its leading zero bits count its further bytes (RFC 8794, 4)."""
    first = file.read(1)[:1] or b"\xff"
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1), "big")
    return value if keep_marker else value & ((1 << 7 * length) - 1)


def _big(file: BinaryIO, num_bytes: int) -> int:
    return int.from_bytes(file.read(num_bytes), "big")
