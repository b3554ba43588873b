"""`trajectory.tum`: the camera's path in unit steps, one file for each segment without a gap.

Lines are `timestamp_s tx ty tz qx qy qz qw` (T_world_cam), the format of the TUM RGB-D benchmark
(Sturm et al., IROS 2012). Which segment is the longest is known only at the end: until then all
stand as `trajectory_<stream>_<segment>.tum`, and the run needs no memory for them.
"""

from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from nodes.vision.se3 import quaternion
from nodes.vision.trajectory import StepChain
from nodes.writers import PoseRow, StreamFiles, Writer

HEADER = "# unit steps\n"


class Trajectory(Writer[PoseRow]):
    """Writes the longest segment as `trajectory.tum` and the others beside it, numbered in time."""

    port = "pose"
    _files: StreamFiles

    def open(self, files: StreamFiles) -> None:
        """Begin with an empty chain."""
        self._files = files
        self._chain = StepChain()
        self._file: TextIO | None = None
        self._segment = -1
        self._num_poses = 0
        self._longest = -1
        self._num_poses_longest = 0

    def write(self, record: PoseRow) -> None:
        """Place the camera of the current frame; a pose that is missing leaves a gap."""
        if record.T_cur_prev is None or record.seq_prev is None or record.stamp_ns_prev is None:
            return
        stamps_ns = {
            record.seq_prev: record.stamp_ns_prev,
            record.seq_cur: record.stamp_ns_cur,
        }
        for camera in self._chain.add(record.seq_prev, record.seq_cur, record.T_cur_prev):
            line = format_tum(stamps_ns[camera.seq], camera.T_world_cam)
            self._segment_file(camera.segment).write(line)
            self._num_poses += 1

    def close(self) -> None:
        """Give the longest segment its name."""
        self._end_file()
        path = self._files.path("trajectory", ".tum")
        if self._longest < 0:
            path.write_text(HEADER, encoding="utf-8", newline="\n")
        else:
            self._segment_path(self._longest).replace(path)

    def _segment_file(self, segment: int) -> TextIO:
        if self._file is None or segment != self._segment:
            self._end_file()
            self._segment = segment
            path = self._segment_path(segment)
            self._file = path.open("w", encoding="utf-8", newline="\n", buffering=1)
            self._file.write(HEADER)
        return self._file

    def _end_file(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._num_poses > self._num_poses_longest:
            self._longest, self._num_poses_longest = self._segment, self._num_poses
        self._num_poses = 0

    def _segment_path(self, segment: int) -> Path:
        return self._files.numbered_path("trajectory", segment, ".tum")


def format_tum(stamp_ns: int, T_world_cam: npt.NDArray[np.float64]) -> str:
    """Return a line of a TUM file; the time is exact to the nanosecond."""
    t = T_world_cam[:3, 3] + 0.0  # no -0.0
    numbers = [*t.tolist(), *quaternion(T_world_cam).tolist()]
    return f"{format_seconds(stamp_ns)} {' '.join(map(repr, numbers))}\n"


def format_seconds(stamp_ns: int) -> str:
    """Return nanoseconds as decimal seconds, without passing through a float."""
    seconds, rest_ns = divmod(abs(stamp_ns), 10**9)
    return f"{'-' if stamp_ns < 0 else ''}{seconds}.{rest_ns:09d}"
