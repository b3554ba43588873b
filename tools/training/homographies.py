"""Random homographies, and what they do to pixels. H_b_a takes pixels of image a to image b."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from nodes.networks.superpoint import CELL

Float = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8]
Size = tuple[int, int]

SHARP = 0.6
"""Below this scale, bilinear sampling misses pixels; the image is halved first."""


@dataclass(frozen=True)
class Spread:
    """How far homographies go from the identity."""

    rotation_deg: float = 0.0
    """Largest rotation to either side."""
    scale: float = 1.0
    """Largest factor; the smallest is its inverse; even on a logarithmic scale."""
    stretch: float = 1.0
    """Largest factor between two axes, of a random direction, as by a tilted plane."""
    perspective: float = 0.0
    """Largest share by which the depth at the border differs from that at the centre."""
    shift: float = 0.0
    """Largest shift, as a share of the size."""

    def __post_init__(self) -> None:
        for name, smallest, limit in (
            ("rotation_deg", 0, 180), ("scale", 1, 8), ("stretch", 1, 4), ("perspective", 0, 0.7),
            ("shift", 0, 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if not smallest <= value <= limit:
                raise ValueError(f"{name} must be from {smallest} to {limit}, not {value}")


def sample(rng: np.random.Generator, size: Size, spread: Spread) -> Float:
    """Return a homography (3, 3) of an image of a size (height, width), about its centre."""
    height, width = size
    angle = np.radians(rng.uniform(-1, 1) * spread.rotation_deg)
    axis = rng.uniform(0, np.pi)
    stretch = spread.stretch ** (rng.uniform(-1, 1) / 2)
    scale = spread.scale ** rng.uniform(-1, 1)
    tilt = rng.uniform(-1, 1, 2) * spread.perspective / (np.array([width, height]) / 2)
    shift = rng.uniform(-1, 1, 2) * spread.shift * np.array([width, height])
    A = np.eye(3)
    along = _rotation(axis)
    A[:2, :2] = scale * _rotation(angle) @ along.T @ np.diag([stretch, 1 / stretch]) @ along
    P = np.eye(3)
    P[2, :2] = tilt
    return moved(centre(size) + shift) @ A @ P @ moved(-centre(size))


def fitting(from_size: Size, to_size: Size) -> Float:
    """Return the similarity (3, 3) that lays one image over another, centre on centre, covering it.

    The shorter side, compared with what is to be covered, fits.
    """
    scale = max(t / f for t, f in zip(to_size, from_size, strict=True))
    return moved(centre(to_size)) @ np.diag([scale, scale, 1.0]) @ moved(-centre(from_size))


def centre(size: Size) -> Float:
    """Return the centre (x, y) of an image of a size (height, width)."""
    return np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])


def moved(by: Float) -> Float:
    """Return the translation (3, 3) by (x, y)."""
    T = np.eye(3)
    T[:2, 2] = by
    return T


def inverse(H: Float) -> Float:
    """Return the homography (3, 3) of the other direction."""
    return np.asarray(np.linalg.inv(H), np.float64)


def cell_centres(size: Size) -> Float:
    """Return the centres (h, w, 2) of the cells of an image (height, width)."""
    y, x = np.mgrid[: size[0] : CELL, : size[1] : CELL]
    return np.stack([x, y], axis=-1) + (CELL - 1) / 2


def is_inside(points: Float, size: Size, margin: float = 0.0) -> npt.NDArray[np.bool_]:
    """Return which points (..., 2) lie in an image (height, width), so far from its border."""
    high = np.array([size[1] - 1, size[0] - 1]) - margin
    return np.asarray(((points >= margin) & (points <= high)).all(axis=-1))


def warp_image(image: Image, H: Float, size: Size) -> Image:
    """Return an image (H, W) under a homography, of a size (height, width).

    Beyond its border it is mirrored, so that no edge appears. Where the homography reduces much,
    the image is halved first, as often as needed: nothing aliases.
    """
    H = H.copy()
    while min(image.shape) >= 16 and _scale_at_centre(H, (image.shape[0], image.shape[1])) < SHARP:
        height, width = image.shape
        halved = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        image = np.asarray(halved, np.uint8)
        doubled = np.array([width / (width // 2), height / (height // 2)])
        double = np.diag([*doubled, 1.0])
        double[:2, 2] = (doubled - 1) / 2
        H = H @ double
    warped = cv2.warpPerspective(
        image, H, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(warped, np.uint8)


def _rotation(angle: float) -> Float:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def _scale_at_centre(H: Float, size: Size) -> float:
    """Return by how much lengths grow at the centre of an image."""
    x, y = centre(size)
    depth = H[2] @ (x, y, 1)
    return float(np.sqrt(abs(np.linalg.det(H)) / abs(depth) ** 3))
