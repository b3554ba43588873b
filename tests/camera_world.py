"""A seeded world of points and a camera that moves through it: the truth of the odometry's tests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.odometry.odometer import Placed
from nodes.vision.odometry.view import Seen
from nodes.vision.se3 import from_rotation_vector, inverse, transform

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

CAMERA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
NUM_POINTS = 6000
MAX_SEEN = 400


def path(num_frames: int, *, step: float = 0.06, turn_deg: float = 0.6) -> list[Float]:
    """Return T_world_cam (4, 4) of a camera that walks along a curve, swaying a little."""
    poses = [np.eye(4)]
    for i in range(1, num_frames):
        sway = 0.02 * np.sin(i / 3)
        turn = np.radians([0.3 * np.sin(i / 5), turn_deg, 0.2 * np.cos(i / 4)])
        poses.append(poses[-1] @ from_rotation_vector(turn, np.array([step, sway, 0.4 * step])))
    return poses


def rotation_path(num_frames: int, turn_deg: float = 0.8) -> list[Float]:
    """Return T_world_cam (4, 4) of a camera that only turns."""
    turn = from_rotation_vector(np.radians([0, turn_deg, 0]), np.zeros(3))
    poses = [np.eye(4)]
    for _ in range(1, num_frames):
        poses.append(poses[-1] @ turn)
    return poses


@dataclass
class World:
    """Points all round, 3 to 12 away from the origin, each with a descriptor of its own."""

    seed: int = 0
    noise_px: float = 0.3
    outlier_fraction: float = 0.0
    has_descriptors: bool = True
    points: Float = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        directions = self.rng.normal(size=(NUM_POINTS, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self.points = directions * self.rng.uniform(3, 12, (NUM_POINTS, 1))
        descriptors = self.rng.normal(size=(NUM_POINTS, 32))
        self.descriptors = (
            descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
        ).astype(np.float32)

    def look(self, T_world_cam: Float) -> tuple[Int, Float]:
        """Return which points the camera sees, and where (N, 2), with noise and outliers."""
        seen = transform(inverse(T_world_cam), self.points)
        in_front = np.flatnonzero(seen[:, 2] > 0.5)
        pixels = CAMERA.project(seen[in_front])
        size = np.array([CAMERA.width, CAMERA.height])
        inside = np.all((pixels >= 0) & (pixels < size), axis=1)
        ids, pixels = in_front[inside][:MAX_SEEN], pixels[inside][:MAX_SEEN]
        pixels = pixels + self.rng.normal(0, self.noise_px, pixels.shape)
        wrong = self.rng.random(len(ids)) < self.outlier_fraction
        pixels[wrong] = self.rng.uniform(0, size, (int(wrong.sum()), 2))
        return ids.astype(np.int64), pixels

    def film(self, poses: Sequence[Float | None], first_seq: int = 0) -> Iterator[Seen]:
        """Yield what the odometry sees of each frame but the first; None is a covered camera.

        Keypoints have new identities in every frame, as a matcher gives them.
        """
        ids_prev, keys_prev, next_key = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
        for i, T_world_cam in enumerate(poses):
            ids, pixels = (
                (np.zeros(0, np.int64), np.zeros((0, 2)))
                if T_world_cam is None
                else self.look(T_world_cam)
            )
            keys = np.arange(next_key, next_key + len(ids))
            next_key += len(ids)
            _, rows_prev, rows = np.intersect1d(ids_prev, ids, return_indices=True)
            if i:
                yield Seen(
                    seq=first_seq + i, K=CAMERA.K, width=CAMERA.width, seed=first_seq + i,
                    keypoint_ids=keys, keypoints=pixels, ids_prev=keys_prev[rows_prev], rows=rows,
                    descriptors=self.descriptors[ids] if self.has_descriptors else None,
                )  # fmt: skip
            ids_prev, keys_prev = ids, keys


def step_errors(placed: Sequence[Placed], poses: Sequence[Float | None]) -> Float:
    """Return how far each placed step is from the true one, as a share of the median step.

    A step leads from one placed frame to the next of the same segment; each segment has its scale.
    `placed[i]` belongs to `poses[i + 1]`.
    """
    errors: list[float] = []
    for segment in {p.segment for p in placed if p.T_world_cam is not None}:
        rows = [
            i for i, p in enumerate(placed) if p.segment == segment and _is_known(p, poses[i + 1])
        ]
        found = np.array([placed[i].T_world_cam[:3, 3] for i in rows])  # type: ignore[index]
        true = np.array([poses[i + 1][:3, 3] for i in rows])  # type: ignore[index]
        if len(rows) < 3:
            continue
        steps, true_steps = (np.linalg.norm(np.diff(x, axis=0), axis=1) for x in (found, true))
        scale = np.sum(true_steps**2) / np.sum(steps * true_steps)
        errors += list(np.abs(scale * steps - true_steps) / np.median(true_steps))
    return np.array(errors)


def _is_known(placed: Placed, pose: Float | None) -> bool:
    return placed.T_world_cam is not None and pose is not None
