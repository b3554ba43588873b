"""`keyframes.jsonl` holds its documented form."""

from pathlib import Path

import numpy as np

from nodes.writers import KeyframeRow, StreamFiles
from nodes.writers.keyframes import Keyframes


def test_a_keyframe_has_the_documented_fields_in_their_order(tmp_path: Path) -> None:
    writer = Keyframes()
    writer.open(StreamFiles(tmp_path, "cam"))
    writer.write(
        KeyframeRow(
            stream="cam",
            seq=7,
            stamp_ns=700,
            segment=1,
            T_world_cam=np.eye(4),
            reason="parallax 2.1 deg",
            num_landmarks=120,
        )
    )
    on_disk = (tmp_path / "keyframes.jsonl").read_text()
    writer.close()
    assert on_disk == (
        '{"stream": "cam", "seq": 7, "stamp_ns": 700, "segment": 1, "T_world_cam": '
        "[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]], "
        '"reason": "parallax 2.1 deg", "num_landmarks": 120}\n'
    )
