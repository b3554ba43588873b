import struct

import cv2
import numpy as np
import pytest

from nodes.sources.image_headers import CutOffError, image_size

KINDS = [".png", ".jpg", ".bmp", ".tif", ".webp", ".pgm", ".ppm"]


def encoded(suffix: str, width: int = 37, height: int = 21, *flags: int) -> bytes:
    channels = () if suffix == ".pgm" else (3,)
    image = np.random.default_rng(0).integers(0, 255, (height, width, *channels), np.uint8)
    ok, data = cv2.imencode(suffix, image, list(flags))
    assert ok
    return bytes(data)


@pytest.mark.parametrize("suffix", KINDS)
def test_size_is_that_of_the_decoded_image(suffix: str) -> None:
    assert image_size(encoded(suffix)) == (37, 21)


def test_size_of_a_progressive_jpeg_with_a_thumbnail_before_it() -> None:
    data = encoded(".jpg", 300, 200, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    thumbnail = encoded(".jpg", 16, 12)
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert image_size(data[:2] + segment + data[2:]) == (300, 200)


def test_size_of_lossless_webp() -> None:
    assert image_size(encoded(".webp", 300, 200, cv2.IMWRITE_WEBP_QUALITY, 101)) == (300, 200)


def test_size_of_extended_webp() -> None:
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (299).to_bytes(3, "little")
    data = b"RIFF" + bytes(4) + b"WEBP" + chunk + (199).to_bytes(3, "little")
    assert image_size(data) == (300, 200)


def test_size_of_a_big_endian_tiff() -> None:
    entries = struct.pack(">HHIHHHHII", 256, 3, 1, 300, 0, 257, 4, 1, 200)
    assert image_size(b"MM\0*" + struct.pack(">IH", 8, 2) + entries) == (300, 200)


def test_comments_of_a_pnm_are_skipped() -> None:
    assert image_size(b"P5\n# made by hand\n300 # width\n200\n255\n") == (300, 200)


@pytest.mark.parametrize("suffix", KINDS)
def test_a_header_that_is_cut_is_no_size(suffix: str) -> None:
    for length in (3, 5, 7):
        data = encoded(suffix)[:length]
        try:
            assert image_size(data) is None
        except CutOffError:
            continue


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_without_its_end_is_cut_off(suffix: str) -> None:
    with pytest.raises(CutOffError):
        image_size(encoded(suffix)[:-20])


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(20), b"\0" * 40])
def test_what_is_no_image_has_no_size(data: bytes) -> None:
    assert image_size(data) is None
