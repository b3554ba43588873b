"""Writers: each turns one kind of result of one stream into files of the run folder.

The recorder makes one writer for each stream from which it hears, and hands it the records below.
A writer makes its file in `open`, once the stream is heard of, so that one without results leaves
a valid, empty file (but `panorama.png`: a picture cannot be empty). What is written holds no wall
time.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline.registry import Registry

WRITERS = Registry(
    "writer",
    {
        "poses": "nodes.writers.poses:Poses",
        "trajectory": "nodes.writers.trajectory:Trajectory",
        "keyframes": "nodes.writers.keyframes:Keyframes",
        "matches": "nodes.writers.matches:MatchArchive",
        "panorama": "nodes.writers.panorama:Panorama",
    },
    group="posestream.writers",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class PoseRow:
    """The motion between two frames, or why it is unknown; fields in the order of `poses.jsonl`.

    `seq_prev` and `stamp_ns_prev` are None where no frame came before.
    """

    stream: str
    seq_prev: int | None
    seq_cur: int
    stamp_ns_prev: int | None
    stamp_ns_cur: int
    T_cur_prev: npt.NDArray[np.float64] | None = None
    T_cur_prev_alt: npt.NDArray[np.float64] | None = None
    scale: float | None = None
    label: str
    reason: str | None = None
    num_matches: int = 0
    num_inliers: int = 0
    covariance: npt.NDArray[np.float64] | None = None
    calibrated: bool | None = None
    """Whether somebody measured the camera that the motion rests on."""
    focal_px: float | None = None
    """Its focal length fx."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PlacedFrame:
    """Where the camera was at a frame, in the world of its segment; None where that is unknown."""

    seq: int
    stamp_ns: int
    segment: int
    T_world_cam: npt.NDArray[np.float64] | None
    reason: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class KeyframeRow:
    """A keyframe; fields in the order of `keyframes.jsonl`."""

    stream: str
    seq: int
    stamp_ns: int
    segment: int
    T_world_cam: npt.NDArray[np.float64]
    reason: str
    num_landmarks: int


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchedPoints:
    """Points that two frames have in common."""

    seq_prev: int
    seq_cur: int
    points: npt.NDArray[np.float32]
    """(M, 4): x_prev, y_prev, x_cur, y_cur; pixels of the original images."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tile:
    """A rectangle of a panorama whose top-left pixel lies at `origin` (x, y) of the canvas."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3), RGB."""
    mask: npt.NDArray[np.uint8]
    """(H, W), nonzero where a frame covers the canvas."""
    origin: tuple[int, int]
    canvas_size: tuple[int, int]
    """(width, height), pixels."""


@dataclass(frozen=True)
class StreamFiles:
    """Names the files of one stream; where it is the only one its name is left out."""

    folder: Path
    stream: str
    is_only: bool = True

    def path(self, stem: str, suffix: str) -> Path:
        """Return the path of a file, such as `poses.jsonl` or `poses_left.jsonl`."""
        return self.folder / (
            f"{stem}{suffix}" if self.is_only else f"{stem}_{self.stream}{suffix}"
        )

    def numbered_path(self, stem: str, number: int, suffix: str) -> Path:
        """Return the path of one of several files, such as `trajectory_left_3.tum`."""
        return self.folder / f"{stem}_{self.stream}_{number}{suffix}"


@dataclass(frozen=True)
class NoOptions:
    """The options of a writer that has none."""


Record = TypeVar("Record")


class Writer(Generic[Record]):
    """Base of all writers; one writes the records of one stream, in order."""

    Options: ClassVar[type] = NoOptions
    port: ClassVar[str]
    """The recorder's input that it lives on: pose, trajectory, keyframe, matches or mosaic."""

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    def open(self, files: StreamFiles) -> None:
        """Begin the file."""
        raise NotImplementedError  # every writer overrides it

    def write(self, record: Record) -> None:
        """Add a record."""
        raise NotImplementedError  # every writer overrides it

    def close(self) -> None:
        """Finish the file, also when the run fails."""
