"""The recorder: writes results into the run folder, in the forms that others read.

Use it with `join: none`. `poses.jsonl` has one row for each frame but the stream's first; where
there is no pose the row says why. Frames that a `latest` link dropped were never looked at and have
no row: `stats.json` counts them, and `seq_prev` and `seq_cur` of the next row show the jump.
The trajectory has a line for each frame whose place is known, in a file for each segment.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Any

import numpy as np

from nodes.messages import Frame, Keyframe, Matches, Mosaic, RelativePose, Trajectory
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
from pipeline.errors import ConfigError
from pipeline.node import Message, Node, Notice, Resources


class Recorder(Node):
    """Writes poses, trajectories, matches and panoramas of each stream that it hears of."""

    @dataclass(frozen=True)
    class Params:
        """Settings of the recorder."""

        writers: Annotated[
            tuple[str, ...], WRITERS, "what to write, as far as the inputs bring it"
        ] = ("poses", "trajectory", "keyframes", "matches", "panorama")
        max_matches: Annotated[int, "matches kept of each pair of frames, spread evenly"] = 128

        def __post_init__(self) -> None:
            if len(set(self.writers)) < len(self.writers):
                raise ValueError(f"writers must differ, not {list(self.writers)}")
            if self.max_matches < 1:
                raise ValueError(f"max_matches must be at least 1, not {self.max_matches}")

    def __init__(self, params: Params | None = None) -> None:
        super().__init__(params)
        self._writers: dict[tuple[str, str], list[Writer[Any]]] = {}  # by port and stream
        self._ports: dict[str, str] = {}  # writer -> the port it lives on
        self._closing = ExitStack()
        self._last: dict[str, tuple[int, int]] = {}  # (seq, stamp_ns) of each stream's last frame
        self._num_poses = self._num_missing = 0
        self._segments: set[tuple[str, int]] = set()

    def open(self, resources: Resources) -> None:
        """Check that the run folder can be written, and that no two files share a name."""
        super().open(resources)
        self._ports = {name: WRITERS.load(name).port for name in self.params.writers}
        _check_file_names(resources.streams)
        _check_writable(resources.out)
        for path in _evaluations(resources):
            path.unlink(missing_ok=True)  # it was of another run

    def process(
        self,
        frame: Frame | None = None,
        pose: RelativePose | None = None,
        trajectory: Trajectory | None = None,
        keyframe: Keyframe | None = None,
        matches: Matches | None = None,
        mosaic: Mosaic | None = None,
    ) -> Iterable[Message]:
        """Write what came; a frame may be joined to the rest, but no writer needs it."""
        if pose is not None:
            self._write("pose", pose.stream, _pose_row(pose))
            self._last[pose.stream] = pose.seq, pose.stamp_ns
        if trajectory is not None:
            self._write("trajectory", trajectory.stream, _placed_frame(trajectory))
        if keyframe is not None:
            self._write("keyframe", keyframe.stream, _keyframe_row(keyframe))
        if matches is not None:
            self._write(
                "matches", matches.stream, _matched_points(matches, self.params.max_matches)
            )
        if mosaic is not None:
            self._write("mosaic", mosaic.stream, _tile(mosaic))
        return ()

    def notice(self, port: str, notice: Notice) -> None:
        """Begin the stream's files, and write the row of a frame that brought no pose."""
        self._writers_of(port, notice.stream)
        if port == "pose" and not _was_dropped(notice):
            self._write_absence(notice)

    def close(self) -> None:
        """Finish all files."""
        self._closing.close()

    def _write_absence(self, notice: Notice) -> None:
        is_unreadable = notice.kind == "error"
        last = self._last.get(notice.stream)
        if last is not None or is_unreadable:
            self._write("pose", notice.stream, _row_without_pose(notice, last))
        if not is_unreadable:
            self._last[notice.stream] = notice.seq, notice.stamp_ns

    def _write(self, port: str, stream: str, record: object) -> None:
        if isinstance(record, PoseRow):
            self._num_poses += record.T_cur_prev is not None
            self._num_missing += record.T_cur_prev is None
            self.resources.report("poses", self._num_poses)
            self.resources.report("missing", self._num_missing)
        if isinstance(record, PlacedFrame) and record.T_world_cam is not None:
            self._segments.add((stream, record.segment))
            self.resources.report("segments", len(self._segments))
        for writer in self._writers_of(port, stream):
            writer.write(record)

    def _writers_of(self, port: str, stream: str) -> list[Writer[Any]]:
        """Return the open writers of a port for a stream."""
        if (port, stream) not in self._writers:
            self._writers[port, stream] = []
            names = [name for name in self._ports if self._ports[name] == port]
            files = StreamFiles(self.resources.out, stream, len(self.resources.streams) <= 1)
            for name in names:
                writer = WRITERS.create(name)
                writer.open(files)
                self._closing.callback(writer.close)
                self._writers[port, stream].append(writer)
        return self._writers[port, stream]


def _was_dropped(notice: Notice) -> bool:
    """Say whether the keys were lost on their way, and not looked at and found without result."""
    return notice.kind == "gap"


def _pose_row(pose: RelativePose) -> PoseRow:
    return PoseRow(
        stream=pose.stream,
        seq_prev=pose.seq_prev,
        seq_cur=pose.seq,
        stamp_ns_prev=pose.stamp_ns_prev,
        stamp_ns_cur=pose.stamp_ns,
        T_cur_prev=pose.T_cur_prev,
        T_cur_prev_alt=pose.T_cur_prev_alt,
        scale=pose.scale,
        label=pose.label,
        reason=pose.reason,
        num_matches=pose.num_matches,
        num_inliers=pose.num_inliers,
        covariance=pose.covariance,
        calibrated=None if pose.camera is None else pose.camera.calibrated,
        focal_px=None if pose.camera is None else pose.camera.fx,
    )


def _row_without_pose(notice: Notice, last: tuple[int, int] | None) -> PoseRow:
    seq_prev, stamp_ns_prev = last or (None, None)
    prefix = "unreadable: " if notice.kind == "error" else ""
    return PoseRow(
        stream=notice.stream,
        seq_prev=seq_prev,
        seq_cur=notice.seq,
        stamp_ns_prev=stamp_ns_prev,
        stamp_ns_cur=notice.stamp_ns,
        label="lost",
        reason=prefix + notice.reason.removeprefix("unreadable: "),
    )


def _placed_frame(trajectory: Trajectory) -> PlacedFrame:
    return PlacedFrame(
        seq=trajectory.seq,
        stamp_ns=trajectory.stamp_ns,
        segment=trajectory.segment,
        T_world_cam=trajectory.T_world_cam,
        reason=trajectory.reason,
    )


def _keyframe_row(keyframe: Keyframe) -> KeyframeRow:
    return KeyframeRow(
        stream=keyframe.stream,
        seq=keyframe.seq,
        stamp_ns=keyframe.stamp_ns,
        segment=keyframe.segment,
        T_world_cam=keyframe.T_world_cam,
        reason=keyframe.reason,
        num_landmarks=len(keyframe.landmarks),
    )


def _matched_points(matches: Matches, max_matches: int) -> MatchedPoints:
    num_matches = len(matches.matches)
    num_kept = min(num_matches, max_matches)
    kept = matches.matches[np.arange(num_kept) * num_matches // max(num_kept, 1)]
    points_prev = matches.keypoints_prev[kept[:, 0]]
    points_cur = matches.keypoints_cur[kept[:, 1]]
    return MatchedPoints(
        seq_prev=matches.seq_prev, seq_cur=matches.seq, points=np.hstack([points_prev, points_cur])
    )


def _tile(mosaic: Mosaic) -> Tile:
    return Tile(
        image=mosaic.image, mask=mosaic.mask, origin=mosaic.origin, canvas_size=mosaic.canvas_size
    )


def _evaluations(resources: Resources) -> Iterator[Path]:
    """Yield the files that `posestream evaluate` leaves in a run folder."""
    yield resources.out / "evaluation.json"
    for stream in resources.streams:
        files = StreamFiles(resources.out, stream, len(resources.streams) <= 1)
        yield files.path("trajectory", ".png")
        yield files.path("errors", ".png")


def _check_writable(folder: Path) -> None:
    """Make the folder if it is missing; refuse it where no file can be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from error


def _check_file_names(streams: tuple[str, ...]) -> None:
    """Refuse names of streams that would leave the run folder or bring two into one file."""
    for stream in streams:
        if "/" in stream or "\\" in stream or stream.startswith("."):
            raise ConfigError(
                f"stream name {stream!r} cannot be part of a file name; rename the node"
            )
        parent, _, number = stream.rpartition("_")
        if number.isdigit() and parent in streams:
            raise ConfigError(
                f"the streams {parent!r} and {stream!r} could share the file "
                f"trajectory_{stream}.tum; rename one of the nodes"
            )
