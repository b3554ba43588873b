import struct
from pathlib import Path

import pytest
from recordings import element, matroska

from nodes.sources.containers.claim import Claim, read_claim


def read(folder: Path, content: bytes) -> Claim:
    path = folder / "file"
    path.write_bytes(content)
    return read_claim(path)


def claim(folder: Path, content: bytes) -> tuple[int | None, bool]:
    """Return the bytes that are claimed, and whether there is an index."""
    found = read(folder, content)
    return found.num_bytes, found.has_index


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


FTYP = box(b"ftyp", b"isom")


def test_mp4_claims_the_end_of_its_last_box(tmp_path: Path) -> None:
    data = FTYP + box(b"moov", bytes(40)) + box(b"mdat", bytes(100))
    assert claim(tmp_path, data) == (len(data), True)
    assert claim(tmp_path, data[:-50]) == (len(data), True)


def test_mp4_of_more_than_4_gigabytes(tmp_path: Path) -> None:
    data = FTYP + struct.pack(">I4sQ", 1, b"mdat", 5 * 2**30) + bytes(50)
    assert claim(tmp_path, data) == (len(FTYP) + 5 * 2**30, False)


def test_mp4_whose_last_box_leads_to_the_end_claims_the_file(tmp_path: Path) -> None:
    data = FTYP + box(b"moov", bytes(40)) + struct.pack(">I4s", 0, b"mdat") + bytes(30)
    assert claim(tmp_path, data) == (len(data), True)


@pytest.mark.parametrize("kept", [4, 30])
def test_mp4_has_no_index_where_it_is_cut(kept: int, tmp_path: Path) -> None:
    data = FTYP + box(b"mdat", bytes(100)) + box(b"moov", bytes(40))[:kept]
    assert not claim(tmp_path, data)[1]


def test_avi_claims_all_its_riff_chunks(tmp_path: Path) -> None:
    def riff(form: bytes, size: int) -> bytes:
        return b"RIFF" + struct.pack("<I", size + 4) + form + bytes(size)

    data = riff(b"AVI ", 100) + riff(b"AVIX", 60)
    assert claim(tmp_path, data) == claim(tmp_path, data[:-30]) == (len(data), True)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_avi_that_was_never_finished_claims_nothing(size: int, tmp_path: Path) -> None:
    data = b"RIFF" + struct.pack("<I", size) + b"AVI " + bytes(50)
    assert claim(tmp_path, data) == (None, True)


def test_matroska_claims_its_segment(tmp_path: Path) -> None:
    data = matroska([0, 40, 80])
    assert claim(tmp_path, data) == claim(tmp_path, data[:-9]) == (len(data), True)


def test_matroska_of_unknown_length_claims_nothing(tmp_path: Path) -> None:
    header = element("1A45DFA3", element("4282", b"matroska"))
    for unknown in (b"\x01" + b"\xff" * 7, b"\xff"):
        assert claim(tmp_path, header + b"\x18\x53\x80\x67" + unknown + bytes(50)) == (None, True)


@pytest.mark.parametrize("data", [b"", b"x", b"hello, this is a letter", b"\x1a\x45\xdf\xa3"])
def test_what_is_no_container_claims_nothing(data: bytes, tmp_path: Path) -> None:
    assert claim(tmp_path, data) == (None, True)


def test_matroska_counts_its_blocks_and_their_times(tmp_path: Path) -> None:
    timeline = read(tmp_path, matroska([0, 40, 110])).timeline
    assert timeline is not None
    assert timeline.times_ns.tolist() == [0, 40_000_000, 110_000_000]
    assert timeline.num_required == 3


@pytest.mark.parametrize("byte", [b"\xa3", b"\x81\0\0\x80"])
def test_matroska_whose_block_has_lost_its_name_or_track_is_broken(
    byte: bytes, tmp_path: Path
) -> None:
    data = bytearray(matroska([0, 40, 80]))
    at = data.rindex(b"\xa3" + (1 << 56).to_bytes(8, "big")[:6]) if byte == b"\xa3" else None
    at = data.rindex(byte) if at is None else at
    data[at] ^= 0x44
    found = read(tmp_path, bytes(data))
    assert found.timeline is None and found.fault


@pytest.mark.parametrize("count", [3, 4, 10**9, 2**32 - 1])
def test_an_mp4_cannot_claim_more_frames_than_it_has_room_for(count: int, tmp_path: Path) -> None:
    def full(kind: bytes, *numbers: int) -> bytes:
        return box(kind, struct.pack(f">{len(numbers) + 1}I", 0, *numbers))

    tables = full(b"stsd", 1, 16) + full(b"stts", 1, 3, 40) + full(b"stsc", 1, 1, 3, 1)
    tables += full(b"stco", 1, 0) + full(b"stsz", 0, count, 50, 50, 50)
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    head = full(b"mdhd", 0, 0, 1000, 120)
    media = box(b"mdia", head + handler + box(b"minf", box(b"stbl", tables)))
    data = FTYP + box(b"moov", box(b"trak", full(b"tkhd", 0, 0, 1, 0, 120) + media))
    found = read(tmp_path, data)
    if count == 3:
        assert found.timeline is not None and not found.fault
        assert found.timeline.times_ns.tolist() == [0, 40_000_000, 80_000_000]
    else:
        assert found.fault == f"it claims {count} frames, more than it has room for"
