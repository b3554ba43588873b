"""Cut and damaged recordings, read by a process of their own: no crash, and never "complete"."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from damage import Reading, cuts, flips, read_apart
from recordings import matroska, picture

from nodes.sources.base import EndedEarlyError, Picture, Selection
from nodes.sources.ffmpeg import prepare_environment
from nodes.sources.video import Video

Writer = Callable[..., Path]
KINDS = [
    ("a.mp4", "mp4v"),
    ("a.avi", "MJPG"),
    ("b.avi", "XVID"),
    ("a.mkv", "MJPG"),
    ("b.mkv", "VP80"),
]
ENCODERS = {
    "bframes.mp4": "-c:v libx264 -bf 2",
    "audio.mp4": "-f lavfi -i sine=duration=2 -c:v libx264 -bf 2 -c:a aac",
    "fragments.mp4": "-c:v libx264 -bf 2 -g 10 -movflags frag_keyframe+empty_moov",
    "front.mov": "-c:v libx264 -bf 2 -movflags +faststart",
    "bframes.mkv": "-c:v libx264 -bf 3",
    "bframes.avi": "-c:v mpeg4 -bf 2",
    "packed.avi": "-c:v libxvid -bf 2",
    "packed.mkv": "-c:v libxvid -bf 2",
    "hidden.webm": "-c:v libvpx -auto-alt-ref 1 -lag-in-frames 16",
    "vp9.webm": "-c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16",
    "live.mkv": "-c:v libx264 -live 1",
    "variable.mp4": "-vf select='not(mod(n,3))' -fps_mode vfr -c:v libx264 -bf 2",
    "dropped.avi": "-vf select='not(mod(n,3))' -fps_mode vfr -c:v mjpeg",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=0:keyint=15",
}


def read_all(path: Path, selection: Selection | None = None) -> tuple[list[Picture], str]:
    """Return the pictures of a video and why it ended early."""
    video = Video(Video.Options(str(path)))
    video.open(lambda text: None)
    pictures = []
    try:
        for found in video.frames(selection or Selection()):
            pictures.append(found)
    except EndedEarlyError as error:
        return pictures, str(error)
    return pictures, ""


def check(paths: list[Path], whole: Reading) -> Counter[str]:
    """Hold the rule for each: fewer frames than the whole file has are never "complete"."""
    readings = read_apart(paths)
    for path, reading in zip(paths, readings, strict=True):
        assert reading.end != "crash", f"{path.name}: {reading.message}"
        assert reading.took_s < 10, path.name
        if reading.num_frames < whole.num_frames:
            assert reading.end != "complete", f"{path.name}: {reading}"
    return Counter(reading.end for reading in readings)


def moving_video(path: Path, codec: str) -> Path:
    """Write 60 frames in which a texture moves, so that frames depend on each other."""
    prepare_environment()  # FFmpeg takes its log level at its first use
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, (160, 120)
    )
    grain = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    texture = cv2.resize(grain, (400, 300), interpolation=cv2.INTER_CUBIC)
    for i in range(60):
        writer.write(np.ascontiguousarray(texture[i : i + 120, 2 * i : 2 * i + 160]))
    writer.release()
    return path


@pytest.mark.parametrize(("name", "codec"), [KINDS[0], KINDS[1], KINDS[4]])
def test_a_few_cuts_and_flips_are_never_taken_for_the_whole(
    name: str, codec: str, tmp_path: Path
) -> None:
    path = moving_video(tmp_path / name, codec)
    (whole,) = read_apart([path])
    assert (whole.end, whole.num_frames) == ("complete", 60)
    found = check([*cuts(path, 4, tmp_path), *flips(path, 12, tmp_path)], whole)
    assert found["truncated"] + found["refused"] >= 4


@pytest.mark.long
@pytest.mark.parametrize(("name", "codec"), KINDS)
def test_20_cuts_and_200_flips_are_never_taken_for_the_whole(
    name: str, codec: str, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    path = moving_video(tmp_path / name, codec)
    (whole,) = read_apart([path])
    for damaged in (list(cuts(path, 20, tmp_path)), list(flips(path, 200, tmp_path))):
        record_property(f"{name} {codec} {damaged[0].name[:3]}", dict(check(damaged, whole)))


def test_a_missing_frame_keeps_its_place_and_its_number(tmp_path: Path) -> None:
    jpegs = [picture(i) for i in range(8)]
    data = bytearray(matroska([40 * i for i in range(8)], jpegs))
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\xff\xd8\xff"]
    for i in (3, 4):
        data[starts[i] : starts[i] + 400] = bytes(400)
    path = tmp_path / "holes.mkv"
    path.write_bytes(data)
    pictures, why = read_all(path)
    assert [p.index for p in pictures] == list(range(8))
    assert [p.stamp_ns for p in pictures] == [i * 40_000_000 for i in range(8)]
    assert [p.reason for p in pictures if p.image is None] == [
        f"frame {i} is missing: the file is damaged" for i in (3, 4)
    ]
    assert why == f"{path} is damaged: 2 of 8 frames are missing, the first one at 0.120 s"
    taken, why = read_all(path, Selection(1, 6, 2))
    assert [(p.index, p.image is None) for p in taken] == [(1, False), (3, True), (5, False)]
    assert why == f"{path} is damaged: 2 of 6 frames are missing, the first one at 0.120 s"
    assert read_all(path, Selection(stop=3))[1] == ""


def test_damage_within_a_picture_that_still_decodes_is_no_fault(tmp_path: Path) -> None:
    path = moving_video(tmp_path / "whole.avi", "MJPG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    pictures, why = read_all(path)
    assert len(pictures) == 60 and not why


@pytest.mark.parametrize("name", ENCODERS)
def test_an_intact_file_of_any_encoder_is_complete(name: str, tmp_path: Path) -> None:
    path = encoded(name, tmp_path)
    pictures, why = read_all(path)
    assert why == "" and all(p.image is not None for p in pictures)
    assert len(pictures) > 15


@pytest.mark.parametrize("start", [0.5, 1.03])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_trimmed_file_is_complete(start: float, suffix: str, tmp_path: Path) -> None:
    whole = encoded("bframes.mp4", tmp_path)
    path = tmp_path / f"trimmed{suffix}"
    _ffmpeg(f"-ss {start} -i {whole} -t 0.8 -c copy {path}")
    pictures, why = read_all(path)
    assert why == "" and all(p.image is not None for p in pictures)
    assert len(pictures) >= 20


def encoded(name: str, folder: Path) -> Path:
    """Encode 2 s of moving picture with the ffmpeg of the system."""
    path = folder / name
    _ffmpeg(f"-f lavfi -i testsrc2=size=96x64:rate=25:duration=2 {ENCODERS[name]} "
            f"-pix_fmt yuv420p {path}")  # fmt: skip
    return path


def _ffmpeg(arguments: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg")
    given = [part.replace("'", "") for part in arguments.split()]
    given = [part.replace("mod(n,3)", r"mod(n\,3)") for part in given]
    done = subprocess.run(
        ["ffmpeg", "-y", "-v", "error", *given], capture_output=True, text=True, check=False
    )
    if "Unknown encoder" in done.stderr:
        pytest.skip("this ffmpeg lacks the encoder")
    assert done.returncode == 0, done.stderr


def test_a_flipped_time_in_a_trimmed_file_never_hides_a_frame(tmp_path: Path) -> None:
    whole = encoded("bframes.mp4", tmp_path)
    path = tmp_path / "trimmed.mp4"
    _ffmpeg(f"-ss 0.5 -i {whole} -t 1.2 -c copy {path}")
    data = path.read_bytes()
    (sound,) = read_apart([path])
    start = data.index(b"ctts") + 12
    size = int.from_bytes(data[start - 16 : start - 12], "big") - 16
    paths = []
    for place in range(start + 6, start + size, 8):  # the third byte of each shift: half frames up
        changed = bytearray(data)
        changed[place] ^= 0x20
        paths.append(tmp_path / f"flip_{place}.mp4")
        paths[-1].write_bytes(changed)
    check(paths, sound)
