"""Endless synthetic shapes with exact corner labels, which teach a network what a corner is.

Stage one of SuperPoint (DeTone et al., CVPRW 2018, section 4): simple shapes on busy grounds, then
blur, light and noise. Everything comes from one generator: the same state gives the same bytes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from training.shape_canvas import Canvas
from training.shape_geometry import Points
from training.shape_kinds import KINDS

Grey = npt.NDArray[np.float32]

MIN_CONTRAST = 10.0  # grey levels of the weakest right-angled corner that is a label
# Root of the corner measure at a right angle, per grey level: 0.4 where sharp, this where blurred.
RESPONSE = 0.25
MIN_DISTANCE_PX = 2.0  # labels nearer to one another are thinned to one


@dataclass(frozen=True)
class Drawing:
    """One picture and its truth.

    Attributes:
        image: (H, W) uint8, grey.
        corners: (N, 2) float64, (x, y) in pixels, 0 <= x <= W - 1, 0 <= y <= H - 1.
        kind: what was drawn, one of KINDS.
    """

    image: npt.NDArray[np.uint8]
    corners: npt.NDArray[np.float64]
    kind: str


def draw(rng: np.random.Generator, size: tuple[int, int], kind: str | None = None) -> Drawing:
    """Draw a picture of `size` (height, width) and the `kind` of shapes, or of a random kind.

    Raises:
        ValueError: there is no such kind.
    """
    name = str(rng.choice(list(KINDS))) if kind is None else kind
    if name not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {name!r}")
    canvas = Canvas(background(rng, size))
    KINDS[name](rng, canvas)
    clean = blurred(rng, lit(rng, canvas.reduced().astype(np.float32)))
    sigma = rng.uniform(0, 8) if rng.random() < 0.5 else rng.uniform(0, 2)
    noisy = clean + np.float32(sigma) * rng.standard_normal(size, dtype=np.float32)
    corners = labels(canvas.corners, clean, max(MIN_CONTRAST, 1.5 * sigma))
    return Drawing(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), corners, name)


def background(rng: np.random.Generator, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return an (H, W) ground without corners: a gradient, blobs and fine texture, all soft."""
    height, width = size
    image: Grey = np.full(size, rng.uniform(20, 235), dtype=np.float32)
    for _ in range(rng.integers(0, 4)):
        cells = int(rng.integers(2, 11))
        blobs = rng.standard_normal((cells, cells + cells // 3), dtype=np.float32)
        blobs *= np.float32(rng.uniform(0, 80 / cells))
        image += np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.5:
        texture = rng.standard_normal(size, dtype=np.float32)
        sigma = rng.uniform(0.7, 2.5)
        # Blurring divides the deviation by about 3.5 sigma, which is given back here.
        texture = np.asarray(cv2.GaussianBlur(texture, (0, 0), sigma), dtype=np.float32)
        image += texture * np.float32(3.5 * sigma * rng.uniform(0, 6))
    return np.clip(image, 0, 255).astype(np.uint8)


def lit(rng: np.random.Generator, image: Grey) -> Grey:
    """Return `image` (H, W) under another light: contrast, brightness, a gradient of light."""
    height, width = image.shape
    contrast = rng.uniform(0.5, 1.0)
    image = (image - 128) * np.float32(contrast) + np.float32(128 + rng.uniform(-25, 25))
    slope = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    x = np.linspace(-1, 1, width, dtype=np.float32) * slope[0]
    y = np.linspace(-1, 1, height, dtype=np.float32) * slope[1]
    return np.asarray(np.clip(image * (1 + x + y[:, None]), 0, 255), dtype=np.float32)


def blurred(rng: np.random.Generator, image: Grey) -> Grey:
    """Return `image` (H, W) out of focus, now and then moved while the shutter was open."""
    if rng.random() < 0.6:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5)).astype(np.float32)
    if rng.random() < 0.15:
        image = cv2.filter2D(image, -1, _motion(rng)).astype(np.float32)
    return image


def _motion(rng: np.random.Generator) -> Grey:
    """Return the (9, 9) kernel of a straight motion, which leaves centres in place."""
    angle, half = rng.uniform(0, np.pi), rng.uniform(1, 3)
    y, x = np.mgrid[-4:5, -4:5]
    along = x * np.cos(angle) + y * np.sin(angle)
    across = x * np.sin(angle) - y * np.cos(angle)
    kernel = np.exp(-2 * across**2) * np.clip(half + 0.5 - np.abs(along), 0, 1)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def labels(corners: Points, image: Grey, contrast: float) -> Points:
    """Return those of `corners` (N, 2) inside `image` (H, W) and seen in it, none beside another.

    Seen is what answers the corner measure of Shi and Tomasi (CVPR 1994) as a blurred right-angled
    corner of `contrast` grey levels does: along a mere edge it is nought, whatever its contrast.
    """
    height, width = image.shape
    corners = corners[((corners >= 0) & (corners <= (width - 1, height - 1))).all(axis=1)]
    measure = cv2.cornerMinEigenVal(image, 5, ksize=3)
    measure = cv2.dilate(measure, np.ones((3, 3), dtype=np.uint8))
    x, y = np.rint(corners).astype(np.intp).T
    corners = corners[measure[y, x] >= (RESPONSE * contrast) ** 2]
    keep = np.ones(len(corners), dtype=np.bool_)
    for first, second in sorted(cKDTree(corners).query_pairs(MIN_DISTANCE_PX)):
        keep[second] &= not keep[first]
    return corners[keep]
