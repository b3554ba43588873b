"""Labelled pairs of views: matches of a known kind of motion, from a seeded generator.

Every quantity is drawn evenly from its range, the parallax evenly in its logarithm. Matches that are
wrong end anywhere in the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nodes.vision.camera import Camera
from nodes.vision.se3 import from_rotation_vector, transform

Float = npt.NDArray[np.float64]

LABELS = ("static", "rotation", "planar", "general", "lost")
CAMERAS = (
    Camera(640, 480, 500.0, 500.0, 319.5, 239.5),
    Camera(1241, 376, 718.9, 718.9, 607.2, 185.2),
    Camera(752, 480, 458.7, 457.3, 367.2, 248.4),
    Camera(1280, 720, 900.0, 900.0, 639.5, 359.5),
)
NOISE_PX = (0.3, 1.0)
OUTLIERS = (0.0, 0.6)
PARALLAX_DEG = (0.5, 10.0)
ROTATION_DEG = (0.3, 15.0)
MATCHES = (100, 1000)
DEPTHS = (1.0, 5.0)  # nearest and farthest, in any unit


@dataclass(frozen=True, eq=False)
class LabelledPair:
    """Matches in ideal pixels of `camera` and the truth about them."""

    label: str
    camera: Camera
    T_1_0: Float
    points0: Float
    points1: Float
    is_true: npt.NDArray[np.bool_]
    parallax_px: float
    """Median over the true matches of how far they are from where the rotation alone would be."""
    noise_px: float


def make_pairs(seed: int, num_of_each: int) -> Iterator[LabelledPair]:
    """Yield pairs of all kinds in turn."""
    for i in range(num_of_each):
        for k, label in enumerate(LABELS):
            yield make_pair(label, np.random.default_rng([seed, i, k]))


def make_pair(label: str, rng: np.random.Generator) -> LabelledPair:
    """Draw camera, motion, scene, noise and outliers for a kind of motion."""
    camera = CAMERAS[rng.integers(len(CAMERAS))]
    noise_px, num = rng.uniform(*NOISE_PX), int(rng.integers(*MATCHES, endpoint=True))
    share = 1.0 if label == "lost" else rng.uniform(*OUTLIERS)
    pixels, depth = _scene(label, camera, rng)
    T_1_0 = _motion(label, camera, pixels, depth, rng)
    seen = camera.project(transform(T_1_0, _rays(camera, pixels) * depth[:, None]))
    rows = np.flatnonzero(_inside(camera, seen))[:num]
    still = camera.project(_rays(camera, pixels[rows]) @ T_1_0[:3, :3].T)
    parallax = np.median(np.linalg.norm(seen[rows] - still, axis=1))
    points0, points1 = (p[rows] + rng.normal(0, noise_px, (len(rows), 2)) for p in (pixels, seen))
    is_true = np.arange(len(rows)) >= round(share * len(rows))
    num_wrong = int(np.sum(~is_true))
    points1[~is_true] = rng.uniform(0, _size(camera) - 1, (num_wrong, 2))
    return LabelledPair(label, camera, T_1_0, points0, points1, is_true, float(parallax), noise_px)


def _scene(label: str, camera: Camera, rng: np.random.Generator) -> tuple[Float, Float]:
    """Return pixels (N, 2) of view 0 and their depths (N,)."""
    pixels = rng.uniform(0, _size(camera) - 1, (6 * MATCHES[1], 2))
    rays = _rays(camera, pixels)
    if label == "planar":
        slant = rng.uniform(0, np.radians(60))
        turn = rng.uniform(0, 2 * np.pi)
        normal = np.array(
            [np.sin(slant) * np.cos(turn), np.sin(slant) * np.sin(turn), np.cos(slant)]
        )
        inverse = rays @ normal / rng.uniform(*DEPTHS)
        is_seen = inverse > 1 / (4 * DEPTHS[1])
        return pixels[is_seen], 1 / inverse[is_seen]
    return pixels, rng.uniform(*DEPTHS, len(rays))


def _motion(
    label: str, camera: Camera, pixels: Float, depth: Float, rng: np.random.Generator
) -> Float:
    """Return T_1_0 (4, 4); a translation is as long as the median parallax demands."""
    axis, direction = (_direction(rng) for _ in range(2))
    angle = 0.0 if label == "static" else np.radians(rng.uniform(*ROTATION_DEG))
    T_1_0 = from_rotation_vector(axis * angle, np.zeros(3))
    if label not in ("planar", "general"):
        return T_1_0
    wanted = np.radians(np.exp(rng.uniform(*np.log(PARALLAX_DEG))))
    points = transform(T_1_0, _rays(camera, pixels) * depth[:, None])[:2000]
    low, high = 0.0, float(DEPTHS[0])
    for _ in range(20):
        length = (low + high) / 2
        low, high = (
            (length, high) if _parallax(points, direction * length) < wanted else (low, length)
        )
    T_1_0[:3, 3] = direction * (low + high) / 2
    return T_1_0


def _parallax(points: Float, t: Float) -> float:
    """Return the median angle in radians between the rays of both views to the points (N, 3)."""
    moved = points + t
    cosine = np.sum(points * moved, axis=1) / np.linalg.norm(points, axis=1)
    return float(np.median(np.arccos(np.clip(cosine / np.linalg.norm(moved, axis=1), -1, 1))))


def _direction(rng: np.random.Generator) -> Float:
    v = rng.normal(size=3)
    return np.asarray(v / np.linalg.norm(v), np.float64)


def _rays(camera: Camera, pixels: Float) -> Float:
    return np.column_stack([camera.undistort(pixels), np.ones(len(pixels))])


def _inside(camera: Camera, pixels: Float) -> npt.NDArray[np.bool_]:
    known = np.nan_to_num(pixels, nan=-1.0)
    return np.asarray(np.all((known >= 0) & (known <= _size(camera) - 1), axis=1))


def _size(camera: Camera) -> Float:
    return np.array([camera.width, camera.height], np.float64)
