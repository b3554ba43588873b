"""A seeded scene before two cameras and the exact motion between them: the truth of the tests."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nodes.messages import Matches
from nodes.vision.camera import Camera
from nodes.vision.se3 import from_rotation_vector, transform

Float = npt.NDArray[np.float64]

VGA = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
BARREL = Camera(752, 480, 420.5, 420.6, 355.2, 250.3, (-0.2966, 0.0808, 0.0, 0.0))
"""A strong wide-angle lens, as of a small industrial camera."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Points (M, 3) in the frame of the camera prev, and where both cameras see them, in pixels."""

    camera: Camera
    T_cur_prev: Float
    points: Float
    pixels_prev: Float
    pixels_cur: Float
    is_true: npt.NDArray[np.bool_]
    """(M,), False where the match is wrong."""

    @property
    def ideal(self) -> tuple[Float, Float]:
        """What a camera without distortion would see: prev (M, 2), cur (M, 2)."""
        undistorted = self.camera.undistorted_pixels
        return undistorted(self.pixels_prev), undistorted(self.pixels_cur)

    @property
    def direction(self) -> Float:
        """The direction of the true translation."""
        t = self.T_cur_prev[:3, 3]
        return t / np.linalg.norm(t)


def make_scene(
    seed: int = 0,
    num_points: int = 300,
    *,
    rotation_deg: tuple[float, float, float] = (1.0, 3.0, -2.0),
    translation: tuple[float, float, float] = (0.3, 0.05, 0.2),
    noise_px: float = 0.0,
    outlier_fraction: float = 0.0,
    plane_fraction: float = 0.0,
    camera: Camera = VGA,
) -> Scene:
    """Scatter points at depths 2 to 8, some of them over a slanted plane, seen by both cameras."""
    rng = np.random.default_rng(seed)
    T_cur_prev = from_rotation_vector(np.radians(rotation_deg), np.array(translation, float))
    size = np.array([camera.width, camera.height])
    pixels = rng.uniform(0, size - 1, (4 * num_points, 2))
    rays = np.column_stack([camera.undistort(pixels), np.ones(len(pixels))])
    on_plane = rng.random(len(rays)) < plane_fraction
    plane_depth = 4 / (1 + 0.3 * rays[:, 0] - 0.2 * rays[:, 1])
    depth = np.where(on_plane, plane_depth, rng.uniform(2, 8, len(rays)))
    points = rays * depth[:, None]
    seen = camera.project(transform(T_cur_prev, points))
    visible = np.flatnonzero(np.all((seen >= 0) & (seen <= size - 1), axis=1))[:num_points]
    assert len(visible) == num_points, "the cameras see too little of the same"
    prev, cur = (p[visible] + rng.normal(0, noise_px, (num_points, 2)) for p in (pixels, seen))
    is_true = np.arange(num_points) >= round(outlier_fraction * num_points)
    cur[~is_true] = rng.uniform(0, size - 1, (int(np.sum(~is_true)), 2))
    return Scene(camera, T_cur_prev, points[visible], prev, cur, is_true)


def as_matches(scene: Scene, stream: str = "cam", seq: int = 1) -> Matches:
    """Return the message that a matcher would send for a scene."""
    index = np.arange(len(scene.pixels_prev))
    return Matches(
        stream=stream, seq=seq, stamp_ns=seq * 100, seq_prev=seq - 1, stamp_ns_prev=(seq - 1) * 100,
        keypoints_prev=scene.pixels_prev.astype(np.float32),
        keypoints_cur=scene.pixels_cur.astype(np.float32),
        ids_prev=index, ids_cur=index + len(index),
        matches=np.column_stack([index, index]).astype(np.int32),
        match_scores=np.ones(len(index), np.float32),
        camera=scene.camera,
    )  # fmt: skip


def texture(seed: int = 0, height: int = 240, width: int = 320) -> npt.NDArray[np.uint8]:
    """Return a grey picture (H, W) with blobs of many sizes."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for sigma in (1.5, 3.0, 6.0):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)).astype(np.float32), None, sigma)
        picture += noise / noise.std()
    return np.clip(127 + 40 * picture, 0, 255).astype(np.uint8)
