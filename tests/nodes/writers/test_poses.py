"""`poses.jsonl` holds its documented form, and is readable while it grows."""

import json
from pathlib import Path

import numpy as np
import pytest

from nodes.writers import PoseRow, StreamFiles
from nodes.writers.json_lines import format_row
from nodes.writers.poses import Poses

T = np.eye(4)
T[:3, 3] = [0.1, -0.2, 1 / 3]


def _row(seq: int, **fields: object) -> PoseRow:
    known = {"stamp_ns_prev": seq * 100 - 100, "stamp_ns_cur": seq * 100}
    return PoseRow(
        stream="cam", seq_prev=seq - 1, seq_cur=seq, **{"label": "lost", **known, **fields}
    )


def test_a_row_has_the_documented_fields_in_their_order() -> None:
    line = format_row(
        _row(
            5,
            T_cur_prev=np.eye(4),
            label="general",
            num_matches=412,
            num_inliers=371,
            calibrated=False,
            focal_px=512.5,
        )
    )
    assert line == (
        '{"stream": "cam", "seq_prev": 4, "seq_cur": 5, "stamp_ns_prev": 400, "stamp_ns_cur": 500, '
        '"T_cur_prev": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], '
        '[0.0, 0.0, 0.0, 1.0]], "T_cur_prev_alt": null, "scale": null, "label": "general", '
        '"reason": null, "num_matches": 412, "num_inliers": 371, "covariance": null, '
        '"calibrated": false, "focal_px": 512.5}'
    )


def test_floats_read_back_bit_for_bit() -> None:
    fields = json.loads(format_row(_row(1, T_cur_prev=T)))
    assert np.array_equal(fields["T_cur_prev"], T)


def test_a_second_solution_and_a_covariance_read_back_bit_for_bit() -> None:
    covariance = np.diag([1 / 3, 0.1, 1e-9, 1, 2])
    row = _row(1, T_cur_prev=np.eye(4), T_cur_prev_alt=T, covariance=covariance, label="planar")
    fields = json.loads(format_row(row))
    assert np.array_equal(fields["T_cur_prev_alt"], T)
    assert np.array_equal(fields["covariance"], covariance)


def test_a_missing_pose_is_null_with_its_reason() -> None:
    fields = json.loads(format_row(_row(1, reason="too_few_matches: 6 < 8")))
    assert fields["T_cur_prev"] is None
    assert fields["reason"] == "too_few_matches: 6 < 8"


def test_a_pose_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        format_row(_row(1, T_cur_prev=np.full((4, 4), np.nan)))


def test_a_row_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    writer = Poses()
    writer.open(StreamFiles(tmp_path, "cam"))
    writer.write(_row(1))
    assert (tmp_path / "poses.jsonl").read_text().endswith("}\n")
    writer.close()


def test_a_stream_without_rows_leaves_an_empty_file(tmp_path: Path) -> None:
    writer = Poses()
    writer.open(StreamFiles(tmp_path, "left", is_only=False))
    writer.close()
    assert (tmp_path / "poses_left.jsonl").read_bytes() == b""
