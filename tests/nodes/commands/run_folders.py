"""A run folder as the recorder's writers leave it, and the dataset that it came from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from nodes.vision.evaluation import relative_pose
from nodes.vision.se3 import from_rotation_translation
from nodes.writers import MatchedPoints, PlacedFrame, PoseRow, StreamFiles
from nodes.writers.matches import MatchArchive
from nodes.writers.poses import Poses
from nodes.writers.trajectory import Trajectory, format_tum

NUM_FRAMES = 11
PERIOD_NS = 33_333_333
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
DISTORTION = np.array([-0.2, 0.05, 0.001, 0])
INTRINSICS = """
width: 640
height: 480
fx: 500
fy: 500
cx: 320
cy: 240
distortion_model: radtan
distortion_coeffs: [-0.2, 0.05, 0.001, 0]
"""


def stamp(seq: int) -> int:
    return 1_600_000_000 * 10**9 + seq * PERIOD_NS


def walk(step_m: float = 0.1) -> list[np.ndarray]:
    """Return T_world_cam of a camera that goes sideways and turns a little each time."""
    R = Rotation.from_rotvec([0.01, 0.03, -0.01]).as_matrix()
    T_prev_cur = from_rotation_translation(R, np.array([step_m, 0, 0]))
    path = [np.eye(4)]
    for _ in range(NUM_FRAMES - 1):
        path.append(path[-1] @ T_prev_cur)
    return path


def _points(T_cur_prev: np.ndarray) -> np.ndarray:
    """Return matches (M, 4) in distorted pixels of points 4 m away."""
    points = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 4], (30, 3))
    seen = []
    for T in (np.eye(4), T_cur_prev):
        rotation = Rotation.from_matrix(T[:3, :3]).as_rotvec()
        seen.append(cv2.projectPoints(points, rotation, T[:3, 3], K, DISTORTION)[0].reshape(-1, 2))
    return np.hstack(seen).astype(np.float32)


class Run:
    """A run folder made by the recorder's writers, and the dataset that it came from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"
        self.dataset = folder / "dataset"
        self.folder.mkdir()
        self.dataset.mkdir()
        (self.dataset / "intrinsics.yaml").write_text(INTRINSICS)
        (self.folder / "config.yaml").write_text("")
        self.nodes: dict[str, Any] = {}
        self.add_input("cam")

    def add_input(self, stream: str) -> None:
        params = {"source": "dataset", "options": {"path": str(self.dataset)}}
        self.nodes[stream] = {"type": "capture", "params": params}

    def write_truth(self, path: list[np.ndarray], name: str = "groundtruth.txt") -> Path:
        lines = [format_tum(stamp(seq), T) for seq, T in enumerate(path)]
        (self.dataset / name).write_text("# stamp tx ty tz qx qy qz qw\n\n" + "".join(lines))
        return self.dataset / name

    def write(
        self,
        path: list[np.ndarray],
        *,
        wrong: Mapping[int, np.ndarray | None] | None = None,
        stream: str = "cam",
        is_only: bool = True,
        matches: bool = True,
        label: str = "general",
        covariance: np.ndarray | None = None,
    ) -> None:
        """Record unit steps of a path; `wrong` replaces the pose of frame seq."""
        files = StreamFiles(self.folder, stream, is_only)
        poses, archive = Poses(), MatchArchive()
        poses.open(files)
        archive.open(files)
        for seq in range(1, NUM_FRAMES):
            true_T_cur_prev = relative_pose(path[seq - 1], path[seq])
            T_cur_prev = true_T_cur_prev.copy()
            T_cur_prev[:3, 3] /= np.linalg.norm(T_cur_prev[:3, 3]) or 1
            poses.write(
                PoseRow(
                    stream=stream,
                    seq_prev=seq - 1,
                    seq_cur=seq,
                    stamp_ns_prev=stamp(seq - 1),
                    stamp_ns_cur=stamp(seq),
                    T_cur_prev=(pose := {seq: T_cur_prev, **(wrong or {})}[seq]),
                    label="lost" if pose is None else label,
                    covariance=None if pose is None else covariance,
                )
            )
            points = _points(true_T_cur_prev)
            archive.write(MatchedPoints(seq_prev=seq - 1, seq_cur=seq, points=points))
        poses.close()
        archive.close()
        if not matches:
            (self.folder / files.path("matches", ".npz")).unlink()

    def write_trajectory(
        self, placed: Sequence[tuple[int, int, np.ndarray]], stream: str = "cam", **files: bool
    ) -> None:
        """Record (segment, seq, T_world_cam) of each placed frame."""
        writer = Trajectory()
        writer.open(StreamFiles(self.folder, stream, **files))
        for segment, seq, T in placed:
            writer.write(PlacedFrame(seq=seq, stamp_ns=stamp(seq), segment=segment, T_world_cam=T))
        writer.close()
