"""A seeded world of points and a camera that moves through it: the truth of the odometry's tests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.odometry.odometer import Placed
from nodes.vision.odometry.view import Descriptors, Seen
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


def shifted(*position: float) -> Float:
    """Return T_world_cam (4, 4) of a camera that looks ahead from a place (x, y, z)."""
    return from_rotation_vector(np.zeros(3), np.array(position))


@dataclass
class World:
    """Points all round, 3 to 12 away from the origin, each with a descriptor of its own."""

    seed: int = 0
    noise_px: float = 0.3
    outlier_fraction: float = 0.0
    has_descriptors: bool = True
    is_binary: bool = False
    """Whether the descriptors are 256 bits instead of 32 floats."""
    camera: Camera = CAMERA
    wrong_share: Mapping[int, float] = field(default_factory=dict)
    """By frame of the film, how many of its keypoints are off by 20 to 60 px."""
    match_share: float = 1.0
    """How many of the keypoints that could be matched to the frame before are."""
    points: Float = field(init=False)
    descriptors: Descriptors = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.points = self._scatter()
        self.descriptors = self._describe(len(self.points))

    def _scatter(self) -> Float:
        directions = self.rng.normal(size=(NUM_POINTS, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return np.asarray(directions * self.rng.uniform(3, 12, (NUM_POINTS, 1)))

    def _describe(self, num: int) -> Descriptors:
        if self.is_binary:
            return self.rng.integers(0, 256, (num, 32)).astype(np.uint8)
        values = self.rng.normal(size=(num, 32))
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    def look(self, T_world_cam: Float, wrong_share: float = 0.0) -> tuple[Int, Float]:
        """Return which points the camera sees, and where (N, 2), with noise and outliers."""
        seen = transform(inverse(T_world_cam), self.points)
        in_front = np.flatnonzero((seen[:, 2] > 0.5) & (seen[:, 2] < 25))
        pixels = self.camera.project(seen[in_front])
        size = np.array([self.camera.width, self.camera.height])
        inside = np.all((pixels >= 0) & (pixels < size), axis=1)
        inside &= self._is_unfolded(seen[in_front], pixels)
        ids, pixels = in_front[inside][:MAX_SEEN], pixels[inside][:MAX_SEEN]
        pixels = pixels + self.rng.normal(0, self.noise_px, pixels.shape)
        wrong = self.rng.random(len(ids)) < self.outlier_fraction
        pixels[wrong] = self.rng.uniform(0, size, (int(wrong.sum()), 2))
        if wrong_share:
            wrong = self.rng.random(len(ids)) < wrong_share
            pixels[wrong] += self.rng.uniform(20, 60, (int(wrong.sum()), 2))
        return ids.astype(np.int64), pixels

    def _is_unfolded(self, points: Float, pixels: Float) -> npt.NDArray[np.bool_]:
        """Say which points the lens shows: its polynomial folds what is far outside back in."""
        if not any(self.camera.distortion):
            return np.ones(len(points), np.bool_)
        rays = points[:, :2] / points[:, 2:]
        found = np.full_like(rays, np.nan)
        inside = np.hypot(*(pixels - (self.camera.cx, self.camera.cy)).T) < self.camera.width
        found[inside] = self.camera.undistort(pixels[inside])
        return np.asarray(np.abs(found - rays).max(axis=1) < 1e-6, np.bool_)

    def film(self, poses: Sequence[Float | None], first_seq: int = 0) -> Iterator[Seen]:
        """Yield what the odometry sees of each frame but the first; None is a covered camera.

        Keypoints have new identities in every frame, as a matcher gives them; they are where the
        camera's picture shows them, its lens included.
        """
        ids_prev, keys_prev, next_key = np.zeros(0, np.int64), np.zeros(0, np.int64), 0
        for i, T_world_cam in enumerate(poses):
            ids, pixels = (
                (np.zeros(0, np.int64), np.zeros((0, 2)))
                if T_world_cam is None
                else self.look(T_world_cam, self.wrong_share.get(i, 0.0))
            )
            keys = np.arange(next_key, next_key + len(ids))
            next_key += len(ids)
            _, rows_prev, rows = np.intersect1d(ids_prev, ids, return_indices=True)
            if self.match_share < 1:
                is_matched = self.rng.random(len(rows)) < self.match_share
                rows_prev, rows = rows_prev[is_matched], rows[is_matched]
            if i:
                yield Seen(
                    seq=first_seq + i, K=self.camera.K, width=self.camera.width, seed=first_seq + i,
                    keypoint_ids=keys, keypoints=pixels, ids_prev=keys_prev[rows_prev], rows=rows,
                    descriptors=self.descriptors[ids] if self.has_descriptors else None,
                )  # fmt: skip
            ids_prev, keys_prev = ids, keys


class Corridor(World):
    """Points along the walls of a corridor that leads ahead, nothing on the way."""

    def _scatter(self) -> Float:
        low, high = (-8, -4, -5), (8, 4, 60)
        points = self.rng.uniform(low, high, (4000, 3))
        return points[np.hypot(points[:, 0], points[:, 1]) > 2]


TWIN_FROM, TWIN_SIZE, TWIN_AWAY = 0.0, 8.0, 18.0


class TwinPlaces(World):
    """A long wall; beyond 18 units, three tenths of a part of it are there again, seen alike."""

    def __post_init__(self) -> None:
        super().__post_init__()
        share, x = 0.3, self.points[:, 0]
        is_chosen = self.rng.random(len(x)) < share
        copied = np.flatnonzero((x > TWIN_FROM) & (x < TWIN_FROM + TWIN_SIZE) & is_chosen)
        there = (x > TWIN_AWAY + TWIN_FROM) & (x < TWIN_AWAY + TWIN_FROM + TWIN_SIZE) & is_chosen
        twins = self.descriptors[copied] + 0.02 * self.rng.normal(size=(len(copied), 32))
        order = self.rng.permutation(len(x) - int(there.sum()) + len(copied))
        points = [self.points[~there], self.points[copied] + (TWIN_AWAY, 0, 0)]
        self.points = np.concatenate(points)[order]
        descriptors = [self.descriptors[~there], twins.astype(np.float32)]
        self.descriptors = np.concatenate(descriptors)[order]

    def _scatter(self) -> Float:
        return self.rng.uniform((-4, -3, 3), (34, 3, 6), (9000, 3))


def step_errors(placed: Sequence[Placed], poses: Sequence[Float | None]) -> tuple[Float, Float]:
    """Return how far each placed step (S,) is from the true one, and how differently it turns.

    A step leads from one placed frame to the next of the same segment; each segment has its scale.
    `placed[i]` belongs to `poses[i + 1]`.

    Returns:
        Differences of the translations in the camera's frame, length and direction, as shares of
        the median step; and angles between the rotations in degrees.
    """
    shares, angles_deg = [np.zeros(0)], [np.zeros(0)]
    for segment in {p.segment for p in placed if p.T_world_cam is not None}:
        rows = [
            i for i, p in enumerate(placed) if p.segment == segment and _is_known(p, poses[i + 1])
        ]
        if len(rows) < 3:
            continue
        found = _steps([placed[i].T_world_cam for i in rows])
        true = _steps([poses[i + 1] for i in rows])
        lengths, true_lengths = (np.linalg.norm(s[:, :3, 3], axis=1) for s in (found, true))
        scale = np.sum(true_lengths**2) / np.sum(lengths * true_lengths)
        apart = np.linalg.norm(scale * found[:, :3, 3] - true[:, :3, 3], axis=1)
        shares.append(apart / np.median(true_lengths))
        cosines = (np.einsum("nij,nij->n", found[:, :3, :3], true[:, :3, :3]) - 1) / 2
        angles_deg.append(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
    return np.concatenate(shares), np.concatenate(angles_deg)


def _steps(poses: Sequence[Float | None]) -> Float:
    """Return the motions (S, 4, 4) from each pose T_world_cam to the next."""
    known = np.array(poses)
    return np.linalg.inv(known[:-1]) @ known[1:]


def _is_known(placed: Placed, pose: Float | None) -> bool:
    return placed.T_world_cam is not None and pose is not None
