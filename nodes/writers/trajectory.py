"""`trajectory.tum`: where the camera was, one file for each segment.

Lines are `timestamp_s tx ty tz qx qy qz qw` (T_world_cam), the format of the TUM RGB-D benchmark
(Sturm et al., IROS 2012). Which segment is the longest is known only at the end: until then all
stand as `trajectory_<stream>_<segment>.tum`, and the run needs no memory for them.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nodes.vision.se3 import quaternion
from nodes.writers import PlacedFrame, StreamFiles, Writer
from nodes.writers.output import OutputFile, naming, write_whole

HEADER = "# T_world_cam of segment {}; one scale within the segment, its unit is unknown\n"
EMPTY_HEADER = "# no frame was placed\n"


class Trajectory(Writer[PlacedFrame]):
    """Writes the longest segment as `trajectory.tum` and the others beside it, by number."""

    port = "trajectory"
    _files: StreamFiles

    def open(self, files: StreamFiles) -> None:
        """Begin without a segment."""
        self._files = files
        self._file: OutputFile | None = None
        self._segment = -1
        self._num_poses: dict[int, int] = {}  # segment -> its lines

    def write(self, record: PlacedFrame) -> None:
        """Add a line; a frame whose place is unknown has none, and its segment may go on."""
        if record.T_world_cam is None:
            return
        line = format_tum(record.stamp_ns, record.T_world_cam)
        self._segment_file(record.segment).write(line.encode())
        self._num_poses[record.segment] += 1

    def close(self) -> None:
        """Give the longest segment its name; of equal ones the first."""
        self._end_file()
        path = self._files.path("trajectory", ".tum")
        if self._num_poses:
            longest = max(self._num_poses, key=lambda segment: (self._num_poses[segment], -segment))
            with naming(path):
                self._segment_path(longest).replace(path)
        else:
            write_whole(path, EMPTY_HEADER.encode())

    def _segment_file(self, segment: int) -> OutputFile:
        """Return the file of a segment, to which a lost camera may have come back."""
        if self._file is None or segment != self._segment:
            self._end_file()
            self._segment = segment
            is_known = segment in self._num_poses
            self._file = OutputFile(self._segment_path(segment), goes_on=is_known)
            if not is_known:
                self._num_poses[segment] = 0
                self._file.write(HEADER.format(segment).encode())
        return self._file

    def _end_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

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
