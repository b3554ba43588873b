"""`trajectory.tum` holds the placed frames, and each segment has a file."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.se3 import from_rotation_translation
from nodes.writers import PlacedFrame, StreamFiles
from nodes.writers.trajectory import Trajectory, format_seconds

HEADER = "# T_world_cam of segment {}; one scale within the segment, its unit is unknown\n"


def _placed(seq: int, segment: int, is_known: bool = True) -> PlacedFrame:
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    T = from_rotation_translation(turn, np.array([seq, 0.0, 0.5])) if is_known else None
    return PlacedFrame(seq=seq, stamp_ns=seq * 10**8, segment=segment, T_world_cam=T)


def _write(folder: Path, segments: list[int | None], *, is_only: bool = True) -> None:
    """Write a frame for each segment; None is a frame without a place."""
    writer = Trajectory()
    writer.open(StreamFiles(folder, "cam", is_only))
    last = -1
    for seq, segment in enumerate(segments):
        last = last if segment is None else segment
        writer.write(_placed(seq, last, segment is not None))
    writer.close()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _stamps(path: Path) -> list[float]:
    return np.loadtxt(path, ndmin=2)[:, 0].tolist()


def test_a_placed_frame_is_a_line_of_time_position_and_quaternion(tmp_path: Path) -> None:
    _write(tmp_path, [0, 0])
    header, first, second = (tmp_path / "trajectory.tum").read_text().splitlines()
    assert header + "\n" == HEADER.format(0)
    assert first.startswith("0.000000000 0.0 0.0 0.5 0.0 0.707106781186547")
    assert [float(word) for word in second.split()] == pytest.approx(
        [0.1, 1, 0, 0.5, 0, np.sqrt(0.5), 0, np.sqrt(0.5)]
    )


def test_a_frame_without_a_place_has_no_line_and_the_segment_goes_on(tmp_path: Path) -> None:
    _write(tmp_path, [None, 0, None, None, 0])
    assert _names(tmp_path) == ["trajectory.tum"]
    assert _stamps(tmp_path / "trajectory.tum") == [0.1, 0.4]


def test_every_segment_is_kept_and_the_longest_has_the_plain_name(tmp_path: Path) -> None:
    _write(tmp_path, [0, 0, 1, 1, 1, None, 2])
    assert _names(tmp_path) == ["trajectory.tum", "trajectory_cam_0.tum", "trajectory_cam_2.tum"]
    assert _stamps(tmp_path / "trajectory.tum") == pytest.approx([0.2, 0.3, 0.4])
    assert (tmp_path / "trajectory.tum").read_text().startswith(HEADER.format(1))
    assert _stamps(tmp_path / "trajectory_cam_2.tum") == [0.6]


def test_a_camera_that_finds_back_goes_on_with_its_old_segment(tmp_path: Path) -> None:
    _write(tmp_path, [0, 0, 1, 1, 0])
    assert _stamps(tmp_path / "trajectory.tum") == [0.0, 0.1, 0.4]
    assert (tmp_path / "trajectory.tum").read_text().count("#") == 1


def test_of_two_equal_segments_the_earlier_has_the_plain_name(tmp_path: Path) -> None:
    _write(tmp_path, [0, 1])
    assert _stamps(tmp_path / "trajectory.tum") == [0.0]
    assert _names(tmp_path) == ["trajectory.tum", "trajectory_cam_1.tum"]


@pytest.mark.parametrize("segments", [[], [None, None]])
def test_a_stream_without_places_leaves_a_file_of_no_lines(
    tmp_path: Path, segments: list[int | None]
) -> None:
    _write(tmp_path, segments)
    assert (tmp_path / "trajectory.tum").read_text() == "# no frame was placed\n"


def test_one_of_several_streams_has_its_name_in_the_files(tmp_path: Path) -> None:
    _write(tmp_path, [0, 1, 1], is_only=False)
    assert _names(tmp_path) == ["trajectory_cam.tum", "trajectory_cam_0.tum"]


def test_segments_stand_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "trajectory_cam_0.tum").write_text("of an older run\n")
    writer = Trajectory()
    writer.open(StreamFiles(tmp_path, "cam"))
    writer.write(_placed(0, 0))
    text = (tmp_path / "trajectory_cam_0.tum").read_text()
    assert text.startswith(HEADER.format(0))
    assert len(text.splitlines()) == 2
    writer.close()


@pytest.mark.parametrize(
    ("stamp_ns", "seconds"),
    [
        (0, "0.000000000"),
        (1_341_847_980_722_987_891, "1341847980.722987891"),
        (-1_500_000_000, "-1.500000000"),
    ],
)
def test_seconds_keep_every_nanosecond(stamp_ns: int, seconds: str) -> None:
    assert format_seconds(stamp_ns) == seconds
