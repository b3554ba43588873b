"""`trajectory.tum` chains unit steps, and each segment without a gap has a file."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nodes.vision.se3 import from_rotation_translation, inverse
from nodes.writers import PoseRow, StreamFiles
from nodes.writers.trajectory import Trajectory, format_seconds

FORWARD = inverse(
    from_rotation_translation(np.eye(3), np.array([0.0, 0, 1]))
)  # cur is 1 ahead of prev


def _write(folder: Path, poses: list[np.ndarray | None], *, is_only: bool = True) -> None:
    writer = Trajectory()
    writer.open(StreamFiles(folder, "cam", is_only))
    for seq, T_cur_prev in enumerate(poses, start=1):
        times = {"stamp_ns_prev": (seq - 1) * 10**8, "stamp_ns_cur": seq * 10**8}
        writer.write(
            PoseRow(stream="cam", seq_prev=seq - 1, seq_cur=seq, T_cur_prev=T_cur_prev, **times)
        )
    writer.close()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unit_steps_forward_move_the_camera_along_z(tmp_path: Path) -> None:
    _write(tmp_path, [FORWARD, FORWARD])
    assert (tmp_path / "trajectory.tum").read_text() == (
        "# unit steps\n"
        "0.000000000 0.0 0.0 0.0 0.0 0.0 0.0 1.0\n"
        "0.100000000 0.0 0.0 1.0 0.0 0.0 0.0 1.0\n"
        "0.200000000 0.0 0.0 2.0 0.0 0.0 0.0 1.0\n"
    )


def test_four_quarter_turns_with_a_step_each_end_where_they_began(tmp_path: Path) -> None:
    turn = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    T_prev_cur = from_rotation_translation(turn, np.array([0.0, 0, 1]))
    _write(tmp_path, [inverse(T_prev_cur)] * 4)
    lines = np.loadtxt(tmp_path / "trajectory.tum")
    assert np.allclose(lines[1, 1:4], [0, 0, 1])
    assert np.allclose(lines[2, 1:4], [1, 0, 1])
    assert np.allclose(lines[4, 1:], [0, 0, 0, 0, 0, 0, 1])


def test_a_missing_pose_begins_a_new_segment_and_the_longest_has_the_plain_name(
    tmp_path: Path,
) -> None:
    _write(tmp_path, [FORWARD, None, FORWARD, FORWARD, FORWARD, None, None, FORWARD])
    assert _names(tmp_path) == ["trajectory.tum", "trajectory_cam_0.tum", "trajectory_cam_2.tum"]
    assert np.loadtxt(tmp_path / "trajectory.tum")[:, 0].tolist() == [0.2, 0.3, 0.4, 0.5]
    assert np.loadtxt(tmp_path / "trajectory_cam_0.tum")[:, 0].tolist() == [0.0, 0.1]
    assert np.loadtxt(tmp_path / "trajectory_cam_2.tum")[:, 0].tolist() == [0.7, 0.8]


def test_of_two_equal_segments_the_earlier_has_the_plain_name(tmp_path: Path) -> None:
    _write(tmp_path, [FORWARD, None, FORWARD])
    assert np.loadtxt(tmp_path / "trajectory.tum")[0, 0] == 0.0
    assert _names(tmp_path) == ["trajectory.tum", "trajectory_cam_1.tum"]


@pytest.mark.parametrize("poses", [[], [None, None]])
def test_a_stream_without_poses_leaves_a_file_of_no_lines(
    tmp_path: Path, poses: list[np.ndarray | None]
) -> None:
    _write(tmp_path, poses)
    assert (tmp_path / "trajectory.tum").read_text() == "# unit steps\n"


def test_one_of_several_streams_has_its_name_in_the_files(tmp_path: Path) -> None:
    _write(tmp_path, [FORWARD, None, FORWARD, FORWARD], is_only=False)
    assert _names(tmp_path) == ["trajectory_cam.tum", "trajectory_cam_0.tum"]


def test_segments_stand_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    writer = Trajectory()
    writer.open(StreamFiles(tmp_path, "cam"))
    row = PoseRow(
        stream="cam", seq_prev=0, seq_cur=1, stamp_ns_prev=0, stamp_ns_cur=1, T_cur_prev=FORWARD
    )
    writer.write(row)
    assert len((tmp_path / "trajectory_cam_0.tum").read_text().splitlines()) == 3
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
