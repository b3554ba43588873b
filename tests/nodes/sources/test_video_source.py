import os
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import matroska, picture

from nodes.sources.base import EndedEarlyError, Picture, Selection
from nodes.sources.ffmpeg import CONTAINERS, FILE_SETTINGS, environment
from nodes.sources.video import Video, probe
from pipeline.errors import InputError

Writer = Callable[..., Path]
DataDir = Callable[[str], Path]
ALL = Selection()


def opened(path: Path, warnings: list[str] | None = None) -> Video:
    video = Video(Video.Options(str(path)))
    video.open((warnings if warnings is not None else []).append)
    return video


def numbers(pictures: list[Picture]) -> list[int]:
    """Read the number that each picture shows in its brightness."""
    return [
        round((float(np.mean(p.image[:8])) - 18.5) / 5) for p in pictures if p.image is not None
    ]


def cut(path: Path, share: float) -> Path:
    shorter = path.with_name("cut_" + path.name)
    shorter.write_bytes(path.read_bytes()[: round(path.stat().st_size * share)])
    return shorter


def boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """Return (kind, start, end) of the boxes of an MP4 file or box."""
    found, at = [], 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, at, at + size))
        at += size
    return found


def moved_to_front(path: Path) -> Path:
    """Put the moov box before the mdat box, as files made for the web have it."""
    data = path.read_bytes()
    parts = {kind: data[start:end] for kind, start, end in boxes(data)}
    moov = bytearray(parts[b"moov"])
    at = moov.index(b"stco") + 8
    count = struct.unpack_from(">I", moov, at)[0]
    for i in range(count):
        offset = struct.unpack_from(">I", moov, at + 4 + 4 * i)[0]
        struct.pack_into(">I", moov, at + 4 + 4 * i, offset + len(moov))
    rest = [kind for kind in parts if kind not in (b"ftyp", b"moov")]
    path.write_bytes(parts[b"ftyp"] + moov + b"".join(parts[kind] for kind in rest))
    return path


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.mov"])
def test_frames_come_in_order_with_the_times_of_the_container(
    name: str, write_video: Writer
) -> None:
    video = opened(write_video(name, frames=20, fps=25))
    pictures = list(video.frames(ALL))
    assert [p.index for p in pictures] == list(range(20))
    assert [p.stamp_ns for p in pictures] == [i * 40_000_000 for i in range(20)]
    assert numbers(pictures) == list(range(20))
    assert (video.length(), video.size) == (20, (64, 48))


def test_colour_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48)
    )
    writer.write(np.full((48, 64, 3), (10, 20, 200), np.uint8))  # OpenCV writes BGR
    writer.release()
    (picture,) = opened(path).frames(ALL)
    assert picture.image is not None
    np.testing.assert_allclose(picture.image.mean(axis=(0, 1)), (200, 20, 10), atol=4)


def test_selection_takes_start_stop_step_by_index(write_video: Writer) -> None:
    pictures = list(opened(write_video(frames=20)).frames(Selection(3, 14, 5)))
    assert [p.index for p in pictures] == [3, 8, 13] == numbers(pictures)
    assert [p.stamp_ns for p in pictures] == [120_000_000, 320_000_000, 520_000_000]


def test_frames_begins_anew_at_every_call(write_video: Writer) -> None:
    video = opened(write_video(frames=4))
    assert numbers(list(video.frames(ALL))) == numbers(list(video.frames(ALL))) == [0, 1, 2, 3]


def test_times_follow_a_variable_frame_rate(write_mkv: Writer) -> None:
    stamps_ms = [0, 10, 110, 120, 500, 533]
    pictures = list(opened(write_mkv(stamps_ms)).frames(ALL))
    assert [p.stamp_ns for p in pictures] == [ms * 1_000_000 for ms in stamps_ms]


def test_times_that_do_not_rise_are_made_to_and_reported(write_mkv: Writer) -> None:
    warnings: list[str] = []
    path = write_mkv([0, 40, 40, 80])
    stamps = [p.stamp_ns for p in opened(path, warnings).frames(ALL)]
    assert stamps == [0, 40_000_000, 40_000_001, 80_000_000]
    assert set(warnings) == {f"{path}: the container's times do not rise from frame to frame"}


def test_rotation_of_the_container_is_applied(write_video: Writer) -> None:
    path = write_video("turned.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # the matrix stands 40 bytes into version 0
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[at : at + 36] = matrix
    path.write_bytes(data)
    video = opened(path)
    picture = next(video.frames(ALL))
    assert picture.image is not None and picture.image.shape == (64, 48, 3)
    assert video.size == (48, 64)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "front.mp4"])
@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_a_file_that_is_cut_gives_its_whole_frames_and_then_says_so(
    name: str, share: float, write_video: Writer
) -> None:
    whole = write_video(name, frames=40)
    if name == "front.mp4":
        moved_to_front(whole)
    path = cut(whole, share)
    pictures = []
    with pytest.raises(EndedEarlyError) as caught:
        for picture in opened(path).frames(ALL):
            pictures.append(picture)
    assert 0.2 * 40 < len(pictures) < 40
    assert str(caught.value) == (
        f"{path} is cut off after {len(pictures)} of 40 frames: "
        f"{path.stat().st_size} of {whole.stat().st_size} bytes are there"
    )
    for got, true in zip(pictures, opened(whole).frames(ALL), strict=False):
        np.testing.assert_array_equal(got.image, true.image)


def test_a_cut_behind_the_last_frame_taken_is_no_fault(write_video: Writer) -> None:
    path = cut(write_video(frames=40), 0.6)
    assert len(list(opened(path).frames(Selection(stop=10)))) == 10


def test_a_file_that_lacks_only_the_index_at_its_end_is_whole(write_video: Writer) -> None:
    path = write_video(frames=20)
    shorter = path.with_name("no_index.avi")
    shorter.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"idx1")])
    assert len(list(opened(shorter).frames(ALL))) == 20


def test_a_file_whose_end_is_empty_ends_early(write_video: Writer) -> None:
    path = write_video(frames=40, fps=8)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    pictures = []
    with pytest.raises(EndedEarlyError, match=r"is damaged: the chunk at byte \d+ is damaged; "):
        for picture in opened(path).frames(ALL):
            pictures.append(picture)
    assert 10 < len(pictures) < 30


def test_a_whole_file_brings_no_warning(write_video: Writer) -> None:
    warnings: list[str] = []
    assert len(list(opened(write_video(frames=40, fps=8), warnings).frames(ALL))) == 40
    assert not warnings


def test_one_frame_is_a_video(write_video: Writer) -> None:
    assert numbers(list(opened(write_video(frames=1)).frames(ALL))) == [0]


def test_a_frame_that_changes_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "sizes.mkv"
    path.write_bytes(matroska([0, 40], [picture(0), picture(1, 32, 24)]))
    shapes = [p.image.shape for p in opened(path).frames(ALL) if p.image is not None]
    assert shapes == [(48, 64, 3), (48, 64, 3)]


def test_an_mp4_without_its_index_is_refused_with_the_cause(write_video: Writer) -> None:
    path = cut(write_video("clip.mp4"), 0.7)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert str(caught.value) == (
        f"{path} is cut off: the index of the video (its moov box, usually at the end) is missing, "
        "so nothing can be decoded; copy or record the file again"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} is empty (0 bytes)"),
        (b"plain text\n" * 50, "{path} is not a video that can be decoded"),
        (b"RIFF\x10\0\0\0AVI LIST", "{path} is not a video that can be decoded"),
    ],
)
def test_what_is_no_video_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        probe(path)
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat"])
def test_a_playlist_opens_neither_an_address_nor_another_file(
    name: str, write_video: Writer, tmp_path: Path
) -> None:
    other = write_video("other.avi")
    texts = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n",
        "list.mp4": f"ffconcat version 1.0\nfile {other.name}\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {other.name}\n",
    }
    path = tmp_path / name
    path.write_text(texts[name])
    with pytest.raises(InputError, match=r"is not a video that can be decoded$"):
        probe(path)


def test_ffmpeg_settings_of_the_user_are_kept(
    write_video: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "fflags;nobuffer|threads;1")
    probe(write_video())
    with environment(FILE_SETTINGS):
        assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"].split("|")[1:] == [
            f"format_whitelist;{CONTAINERS}", "fflags;nobuffer", "threads;1"
        ]  # fmt: skip
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "fflags;nobuffer|threads;1"


def test_a_broken_file_makes_no_noise(
    write_video: Writer, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EndedEarlyError):
        list(opened(cut(write_video("a.mkv", frames=40), 0.6)).frames(ALL))
    with pytest.raises(InputError):
        probe(cut(write_video("b.mp4"), 0.6))
    assert capfd.readouterr() == ("", "")


def test_a_missing_path_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ValueError, match=r"^path must name a video file, not ''$"):
        Video.Options()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "file", "count", "first_ns", "last_ns", "longest_ms"),
    [
        ("laparoscopy", "video.mp4", 250, 0, 9_960_000_000, 40),
        ("vid_handheld_room", "video.mp4", 459, 0, 15_405_188_889, 176),
        ("vid_static_people", "video.avi", 100, 40_000_000, 4_000_000_000, 40),
    ],
)
def test_real_videos_have_their_counts_and_rising_times(
    name: str,
    file: str,
    count: int,
    first_ns: int,
    last_ns: int,
    longest_ms: float,
    data_dir: DataDir,
) -> None:
    pictures = [(p.index, p.stamp_ns) for p in opened(data_dir(name) / file).frames(ALL)]
    index, stamp_ns = np.array(pictures).T
    assert index.tolist() == list(range(count))
    assert (stamp_ns[0], stamp_ns[-1]) == (first_ns, last_ns)
    assert np.diff(stamp_ns).min() > 0
    assert np.diff(stamp_ns).max() <= longest_ms * 1e6
