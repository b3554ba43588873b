"""Concatenated images from standard input or a named pipe."""

import os
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import picture

from nodes.sources import SOURCES, stdin
from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection
from nodes.sources.image_stream import ImageStream
from pipeline.errors import InputError

ALL = Selection()


def encoded(index: int, suffix: str, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture(index), options)[1])


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
IMAGES = [
    encoded(0, ".jpg"),
    encoded(1, ".jpg", *PROGRESSIVE),
    encoded(2, ".png"),
    encoded(3, ".ppm"),
    bytes(cv2.imencode(".pgm", picture(4)[..., 0])[1]),
    b"P5\n# 16 bits\n3 2\n65535\n" + bytes(12),
    encoded(6, ".jpg"),
]


def split(data: bytes, size: int = 7) -> list[bytes]:
    """Cut a stream into its images, read in small pieces."""
    stream = BytesIO(data)
    return [image for image in ImageStream(lambda: stream.read(size), "it") if image is not None]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put a pipe in the place of standard input; give the end to write to."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream:
        monkeypatch.setattr("sys.stdin", stream)
        yield write


def write_all(descriptor: int, data: bytes) -> threading.Thread:
    def write() -> None:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def opened(**options: Any) -> FrameSource:
    source: FrameSource = SOURCES.create("stdin", options)
    source.open(lambda text: None)
    return source


@pytest.mark.parametrize("size", [1, 2, 1000, 10**7])
def test_a_stream_is_cut_into_its_images(size: int) -> None:
    assert split(b"".join(IMAGES), size) == IMAGES
    assert split(b"\0\n".join(IMAGES) + b"\r\n", size) == IMAGES
    assert split(b"", size) == []


def test_a_thumbnail_in_a_jpeg_does_not_end_it() -> None:
    thumbnail = encoded(9, ".jpg")[:2000] + b"\xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    image = IMAGES[0][:2] + segment + IMAGES[0][2:]
    assert split(image + IMAGES[2]) == [image, IMAGES[2]]


@given(st.integers(0, sum(map(len, IMAGES))))
def test_a_stream_cut_anywhere_gives_what_is_whole_and_says_so(length: int) -> None:
    ends = np.cumsum([len(image) for image in IMAGES]).tolist()
    whole = sum(end <= length for end in ends)
    stream, found = BytesIO(b"".join(IMAGES)[:length]), []
    try:
        found.extend(ImageStream(lambda: stream.read(4096), "it"))
        assert length == 0 or length in ends
    except EndedEarlyError as error:
        begin = ends[whole - 1] if whole else 0
        assert str(error) == (
            f"it ends inside image {whole}, {length - begin} bytes after its beginning"
        )
    assert found == IMAGES[:whole]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"rubbish!", "it: byte 0, at its beginning, is not an image (72 75 62 62 69 73 68 21): expected JPEG, PNG, PPM (P6) or PGM (P5) images"),
        (IMAGES[2] + b"GIF89a..", f"it: byte {len(IMAGES[2])}, after image 0, is not an image (47 49 46 38 39 61 2e 2e): expected JPEG, PNG, PPM (P6) or PGM (P5) images"),
        (b"P6 20000 20000 255 ", "it: image 0 claims 20000x20000 pixels, more than the limit of 150000000 pixels"),
        (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT....", "it: image 0 claims more than the limit of 536870912 bytes"),
        (b"P5 " + b"# x\n" * 2000, "it: byte 0, at its beginning, is not an image (50 35 20 23 20 78 0a 23): expected JPEG, PNG, PPM (P6) or PGM (P5) images"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_named_with_its_byte(data: bytes, message: str) -> None:
    with pytest.raises(InputError) as caught:
        split(data, 1000)
    assert str(caught.value) == message


def test_standard_input_gives_frames_in_time(pipe: int) -> None:
    source = opened(fps=20.0)
    assert (source.live, source.length(), source.name) == (False, None, "standard input")
    writer = write_all(pipe, b"".join(IMAGES))
    found = [p for p in source.frames(Selection(1, 6, 2)) if p]
    writer.join()
    assert [(p.index, p.stamp_ns) for p in found] == [
        (1, 5 * 10**7),
        (3, 15 * 10**7),
        (5, 25 * 10**7),
    ]
    np.testing.assert_array_equal(found[1].image, picture(3)[..., ::-1])
    with pytest.raises(InputError, match=r"^standard input can be read only once: set loop to 1$"):
        list(source.frames(ALL))


def test_a_damaged_image_is_a_frame_with_a_reason(pipe: int) -> None:
    bad = bytearray(IMAGES[2])
    bad[60:200] = bytes(140)
    writer = write_all(pipe, IMAGES[0] + bad + IMAGES[2])
    found = [p for p in opened().frames(ALL) if p]
    writer.join()
    assert [p.reason for p in found] == ["", "image 1 is damaged: it cannot be decoded", ""]


def test_while_nothing_comes_nothing_is_given(pipe: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin, "WAIT_S", 0.01)
    frames = opened().frames(ALL)
    os.write(pipe, IMAGES[0] + IMAGES[2][:100])
    first = next(frames)
    assert isinstance(first, Picture) and first.index == 0
    assert [next(frames), next(frames)] == [None, None]
    os.write(pipe, IMAGES[2][100:])
    second = next(p for p in frames if p)
    assert second.index == 1 and second.image is not None
    os.close(pipe)
    assert list(frames) == []


def test_a_named_pipe_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdin, "WAIT_S", 0.01)
    path = tmp_path / "images"
    os.mkfifo(path)
    source = opened(path=str(path))
    frames = source.frames(ALL)
    assert [next(frames), next(frames)] == [None, None]  # nobody writes yet
    writer = write_all(os.open(path, os.O_WRONLY), b"".join(IMAGES[:3]))
    assert [p.index for p in frames if p] == [0, 1, 2]
    writer.join()
    assert source.name == str(path)


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(b"".join(IMAGES[:3]))
    source = opened(path=str(tmp_path / "images"))
    assert [len(list(source.frames(ALL))) for _ in range(2)] == [3, 3]


def test_where_standard_input_is_not_to_be_had_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Terminal(BytesIO):
        def isatty(self) -> bool:
            return True

    for there, message in (
        (None, "standard input cannot be read in a process of its own: leave the source in the main process, without --placement processes"),
        (Terminal(), "standard input is the keyboard: pipe images into it, such as 'cat *.jpg | posestream run -'"),
    ):  # fmt: skip
        monkeypatch.setattr("sys.stdin", there)
        with pytest.raises(InputError) as caught:
            opened()
        assert str(caught.value) == message
    with pytest.raises(InputError) as caught:
        opened(path=f"{tmp_path}/no")
    assert str(caught.value) == f"no such pipe: {tmp_path}/no"
    with pytest.raises(InputError) as caught:
        opened(path=str(tmp_path))
    assert str(caught.value) == f"{tmp_path} is a folder, not a pipe"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "path must name a pipe, or be - for standard input, not ''"),
        ({"fps": 0.0}, "fps must be above 0 and at most 1000000 Hz, not 0.0"),
    ],
)
def test_wrong_options_of_standard_input_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        SOURCES.create("stdin", options)
    assert str(caught.value) == message
