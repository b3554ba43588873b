"""What a video file says about itself: how many bytes it should have, and which pictures it holds.

A decoder meets the end of a cut AVI or Matroska file as if it were the true end, and skips what is
damaged, so the container's own claims are the only proof. Read here: MP4/MOV (ISO 14496-12), AVI
(RIFF), and Matroska/WebM (RFC 9559); of other containers nothing is known.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from nodes.sources.containers import avi, matroska, mp4
from nodes.sources.containers.boxes import walk
from nodes.sources.containers.timeline import BrokenError, Timeline

UNKNOWN_32 = (0, 0xFFFFFFFF)
"""Sizes that a recorder writes while it does not know better."""
FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


@dataclass(frozen=True, eq=False)
class Claim:
    """What the container claims.

    `num_bytes` is None where it does not say; `has_index` whether it can be decoded at all;
    `timeline` its pictures, where they are known; `fault` how it contradicts itself.
    """

    num_bytes: int | None = None
    has_index: bool = True
    timeline: Timeline | None = None
    fault: str = ""


def read_claim(path: Path) -> Claim:
    """Read what a video file of any kind claims, without its pictures."""
    num_bytes = path.stat().st_size
    with path.open("rb", buffering=1024) as file:
        magic = file.read(12)
        if magic[4:8] in FIRST_BOXES:
            return _mp4(file, num_bytes)
        if magic[:4] == b"RIFF" and magic[8:] == b"AVI ":
            return _avi(file, num_bytes)
        if magic[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(file, num_bytes)
    return Claim()


def _mp4(file: BinaryIO, num_bytes: int) -> Claim:
    claimed = None
    try:
        boxes = list(walk(file, 0, num_bytes, is_open=True))
        claimed = boxes[-1].end
        whole = [box for box in boxes if box.end <= num_bytes]
        if not any(box.kind == b"moov" for box in whole):
            return Claim(claimed, has_index=False)
        return Claim(claimed, timeline=mp4.read_timeline(file, whole, num_bytes))
    except BrokenError as error:
        return Claim(claimed, fault=str(error))


def _avi(file: BinaryIO, num_bytes: int) -> Claim:
    """Walk RIFF chunks (OpenDML has several): "RIFF", size (4, little endian), form (4)."""
    offset = 0
    while offset + 8 <= num_bytes:
        file.seek(offset)
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind != b"RIFF" or size in UNKNOWN_32:
            break
        offset += 8 + size + size % 2
    try:
        return Claim(offset or None, timeline=avi.read_timeline(file, num_bytes))
    except BrokenError as error:
        return Claim(offset or None, fault=str(error))


def _matroska(file: BinaryIO, num_bytes: int) -> Claim:
    claimed = matroska.read_size(file)
    try:
        return Claim(claimed, timeline=matroska.read_timeline(file, num_bytes))
    except BrokenError as error:
        return Claim(claimed, fault=str(error))
