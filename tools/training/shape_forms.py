"""Random forms, places and grey levels for the synthetic shapes, all from the given generator."""

import cv2
import numpy as np
import numpy.typing as npt

from training.shape_geometry import Points, directions, rotation, well_shaped

MIN_CONTRAST = 35.0  # grey levels between a shape and what lies below it
TURN = 2 * np.pi
TRIES = 12  # forms drawn at once, of which the first good one is taken

# A box's corners, and its faces as indices of them, each in order around.
CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
FACES = np.array(
    [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]]
)


def contrasting(rng: np.random.Generator, level: float, count: int = 1) -> list[float]:
    """Return random grey levels at least MIN_CONTRAST from `level` and from one another."""
    spare = 255 - (count + 1) * MIN_CONTRAST
    steps = np.sort(rng.uniform(0, spare, count)) + MIN_CONTRAST * np.arange(1, count + 1)
    # Grey is taken as a circle: what is that far around it is at least that far along it.
    return [float(grey) for grey in rng.permutation((level + steps) % 255)]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number between `low` and `high`, every factor as probable; `low` if none is."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(low, high)))))


def anywhere(rng: np.random.Generator, size: tuple[int, int], margin: float = 0.0) -> Points:
    """Return a random point (2,) of a picture of `size` (H, W), `margin` of its sides inwards."""
    return np.asarray(rng.uniform(margin, 1 - margin, 2) * (size[1] - 1, size[0] - 1))


def outline(rng: np.random.Generator, centre: Points, radius: float) -> Points:
    """Return a simple polygon (N, 2) around `centre`, convex or not, without needles."""
    count = int(rng.integers(3, 8))
    gaps = rng.dirichlet(np.full(count, 4.0), TRIES) * TURN
    turns = np.cumsum(gaps, axis=1) + rng.uniform(0, TURN)
    polygons = centre + radius * rng.uniform(0.4, 1.0, (TRIES, count, 1)) * directions(turns)
    good = np.nonzero(well_shaped(polygons) & (gaps.max(axis=1) < np.pi))[0]
    if len(good):
        return np.asarray(polygons[good[0]])
    return np.asarray(centre + radius * directions(turns[0, 0] + np.arange(4) * TURN / 4))


def perspective(
    rng: np.random.Generator, centre: Points, shape: tuple[int, ...], side: float
) -> Points:
    """Return the homography (3, 3) of a board of `shape` fields, about `side` px each, to a view.

    The board's coordinates are (column, row), the upper left corner of its first field is (0, 0).
    """
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * shape[::-1]
    half = np.array(shape[::-1]) / 2
    skew = rng.uniform(-1, 1, (4, 2)) * half * rng.choice([0.1, 0.3, 0.45])
    quad = side * (corners - half + skew) @ rotation(rng.uniform(0, TURN)) + centre
    H = cv2.getPerspectiveTransform(corners.astype(np.float32), quad.astype(np.float32))
    return np.asarray(H, dtype=np.float64)


def box(
    rng: np.random.Generator, centre: Points, radius: float
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Return a box's corners (8, 2) in a view, and its three faces (3, 4) in sight."""
    while True:
        # A view more or less along a diagonal shows three faces.
        ahead = rng.uniform(0.3, 1.0, (TRIES, 3)) * rng.choice([-1.0, 1.0], (TRIES, 3))
        right = np.cross(ahead, rng.standard_normal((TRIES, 3)))
        axes = np.stack([right, np.cross(ahead, right), ahead], axis=2)
        axes /= np.sqrt((axes**2).sum(axis=1, keepdims=True))
        solid = (CUBE * rng.uniform(0.4, 1.0, (TRIES, 1, 3))) @ axes
        away = np.zeros((TRIES, 1, 3))
        away[..., 2] = rng.uniform(4, 10, (TRIES, 1))
        flat = solid[..., :2] / (solid + away)[..., 2:]
        corners = centre + radius * flat / np.abs(flat).max(axis=(1, 2), keepdims=True)
        outwards = solid[:, FACES].mean(axis=2)
        seen = (outwards * (outwards + away)).sum(axis=2) < 0
        shaped = well_shaped(corners[:, FACES]) | ~seen
        good = np.nonzero((seen.sum(axis=1) == 3) & shaped.all(axis=1))[0]
        if len(good):
            return corners[good[0]], FACES[seen[good[0]]]
