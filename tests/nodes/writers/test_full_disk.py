"""Where the disk fills up every file is named, and holds whole records only."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from injection import files_of_at_most

from nodes.writers import (
    WRITERS,
    KeyframeRow,
    MatchedPoints,
    PlacedFrame,
    PoseRow,
    StreamFiles,
    Tile,
    Writer,
)
from nodes.writers.stored_zip import StoredZip
from nodes.writers.trajectory import Trajectory
from pipeline.errors import NodeError

LIMIT = 5000  # bytes of a file
CURE = "raise the limit (ulimit -f), or choose another --out; what was written before is whole"
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)


def pose_row(i: int) -> PoseRow:
    return PoseRow(
        stream="cam", seq_prev=i, seq_cur=i + 1, stamp_ns_prev=0, stamp_ns_cur=1, label="general",
        T_cur_prev=np.eye(4),
    )  # fmt: skip


RECORDS: dict[str, Callable[[int], Any]] = {
    "poses": pose_row,
    "keyframes": lambda i: KeyframeRow(
        stream="cam", seq=i, stamp_ns=i, segment=0, T_world_cam=np.eye(4), reason="far",
        num_landmarks=i,
    ),
    "trajectory": lambda i: PlacedFrame(seq=i, stamp_ns=i, segment=0, T_world_cam=np.eye(4)),
    "matches": lambda i: MatchedPoints(
        seq_prev=i, seq_cur=i + 1, points=np.full((9, 4), i, np.float32)
    ),
    "panorama": lambda i: Tile(
        image=NOISE, mask=np.full((64, 64), 255, np.uint8), origin=(0, 0), canvas_size=(64, 64)
    ),
}  # fmt: skip


def num_read(name: str, folder: Path) -> int:
    """Return how many records of a writer can be read back."""
    (path,) = folder.iterdir()
    assert path.stat().st_size <= LIMIT
    if name == "matches":
        with np.load(path) as archive:
            return sum((archive[n] == i).all() for i, n in enumerate(archive.files))
    lines = path.read_text().splitlines(keepends=True)
    assert all(line.endswith("\n") for line in lines)
    if name == "trajectory":
        assert all(len(line.split()) == 8 for line in lines[1:])
        return len(lines) - 1
    return len([json.loads(line) for line in lines])


def write_until_full(writer: Writer[Any], make: Callable[[int], Any]) -> int:
    """Return how many records were written before one was refused."""
    for index in range(200):
        try:
            writer.write(make(index))
        except NodeError:
            return index
    raise AssertionError("there was room for all")


@pytest.mark.parametrize("name", [name for name in RECORDS if name != "panorama"])
def test_all_records_before_the_one_without_room_can_be_read(name: str, tmp_path: Path) -> None:
    writer = WRITERS.create(name)
    writer.open(StreamFiles(tmp_path, "cam"))
    with files_of_at_most(LIMIT):
        num_written = write_until_full(writer, RECORDS[name])
        with pytest.raises(NodeError) as caught:
            writer.write(RECORDS[name](num_written))
        with suppress(NodeError):  # an archive says that it had to drop some
            writer.close()
    path = r"/(poses|keyframes|trajectory_cam_0|matches)\.(jsonl|tum|npz)"
    expected = f"cannot write {re.escape(str(tmp_path))}{path}: File too large: {re.escape(CURE)}"
    assert re.fullmatch(expected, str(caught.value))
    found = num_read(name, tmp_path)
    assert num_written > 8
    # Of an archive some give way to its table of contents, where that finds no room.
    assert found == num_written if name != "matches" else 8 < found <= num_written


def test_an_archive_whose_table_of_contents_takes_the_last_room_keeps_all(tmp_path: Path) -> None:
    made = StoredZip(tmp_path / "a.npz")
    for index in range(9):
        made.add(f"{index}", b"x" * 100)
    with files_of_at_most(9 * 131 + 9 * 47 + 22):
        made.close()
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == [str(index) for index in range(9)]


def test_an_archive_without_room_for_its_table_of_contents_keeps_what_it_can(
    tmp_path: Path,
) -> None:
    made = StoredZip(tmp_path / "a.npz")
    for index in range(9):
        made.add(f"{index}", b"x" * 100)
    with files_of_at_most(9 * 131), pytest.raises(NodeError, match=r"a.npz: File too large"):
        made.close()
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == [str(index) for index in range(6)]


def test_a_panorama_without_room_is_named_and_leaves_no_torn_picture(tmp_path: Path) -> None:
    writer = WRITERS.create("panorama")
    writer.open(StreamFiles(tmp_path, "cam"))
    writer.write(RECORDS["panorama"](0))
    with files_of_at_most(LIMIT), pytest.raises(NodeError) as caught:
        writer.close()
    assert str(caught.value) == f"cannot write {tmp_path / 'panorama.png'}: File too large: {CURE}"
    assert list(tmp_path.iterdir()) == []
    writer.close()
    assert cv2.imread(str(tmp_path / "panorama.png")) is not None


def test_a_segment_that_the_camera_comes_back_to_goes_on_in_its_file(tmp_path: Path) -> None:
    writer = Trajectory()
    writer.open(StreamFiles(tmp_path, "cam"))
    for seq, segment in enumerate((0, 1, 0, 1, 0)):
        writer.write(PlacedFrame(seq=seq, stamp_ns=seq, segment=segment, T_world_cam=np.eye(4)))
    writer.close()
    lines = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["0.000000000", "0.000000002", "0.000000004"]
