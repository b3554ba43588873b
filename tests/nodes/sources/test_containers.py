import struct
from pathlib import Path

import pytest
from recordings import element, matroska

from nodes.sources.containers import Claim, read_claim


def claim(folder: Path, content: bytes) -> Claim:
    path = folder / "file"
    path.write_bytes(content)
    return read_claim(path)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


FTYP = box(b"ftyp", b"isom")


def test_mp4_claims_the_end_of_its_last_box(tmp_path: Path) -> None:
    data = FTYP + box(b"moov", bytes(40)) + box(b"mdat", bytes(100))
    assert claim(tmp_path, data) == Claim(len(data), has_index=True)
    assert claim(tmp_path, data[:-50]) == Claim(len(data), has_index=True)


def test_mp4_of_more_than_4_gigabytes(tmp_path: Path) -> None:
    data = FTYP + struct.pack(">I4sQ", 1, b"mdat", 5 * 2**30) + bytes(50)
    assert claim(tmp_path, data) == Claim(len(FTYP) + 5 * 2**30, has_index=False)


def test_mp4_whose_last_box_leads_to_the_end_claims_nothing(tmp_path: Path) -> None:
    data = FTYP + box(b"moov", bytes(40)) + struct.pack(">I4s", 0, b"mdat") + bytes(30)
    assert claim(tmp_path, data) == Claim(None, has_index=True)


@pytest.mark.parametrize("kept", [4, 30])
def test_mp4_has_no_index_where_it_is_cut(kept: int, tmp_path: Path) -> None:
    data = FTYP + box(b"mdat", bytes(100)) + box(b"moov", bytes(40))[:kept]
    assert not claim(tmp_path, data).has_index


def test_avi_claims_all_its_riff_chunks(tmp_path: Path) -> None:
    def riff(form: bytes, size: int) -> bytes:
        return b"RIFF" + struct.pack("<I", size + 4) + form + bytes(size)

    data = riff(b"AVI ", 100) + riff(b"AVIX", 60)
    assert claim(tmp_path, data) == claim(tmp_path, data[:-30]) == Claim(len(data))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_avi_that_was_never_finished_claims_nothing(size: int, tmp_path: Path) -> None:
    data = b"RIFF" + struct.pack("<I", size) + b"AVI " + bytes(50)
    assert claim(tmp_path, data) == Claim(None)


def test_matroska_claims_its_segment(tmp_path: Path) -> None:
    data = matroska([0, 40, 80])
    assert claim(tmp_path, data) == claim(tmp_path, data[:-9]) == Claim(len(data))


def test_matroska_of_unknown_length_claims_nothing(tmp_path: Path) -> None:
    header = element("1A45DFA3", element("4282", b"matroska"))
    for unknown in (b"\x01" + b"\xff" * 7, b"\xff"):
        assert claim(tmp_path, header + b"\x18\x53\x80\x67" + unknown + bytes(50)) == Claim(None)


@pytest.mark.parametrize("data", [b"", b"x", b"hello, this is a letter", b"\x1a\x45\xdf\xa3"])
def test_what_is_no_container_claims_nothing(data: bytes, tmp_path: Path) -> None:
    assert claim(tmp_path, data) == Claim()
