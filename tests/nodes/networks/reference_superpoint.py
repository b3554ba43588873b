"""The published post-processing of SuperPoint in plain numpy, one keypoint after the other."""

import cv2
import numpy as np

CELL = 8


def logits_like_real_ones(seed: int, rows: int = 15, columns: int = 20) -> np.ndarray:
    """Return logits (65, rows, columns) of a blurred field: ridges and blobs, as networks give."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(size=(rows * CELL, columns * CELL)), (0, 0), 1.5)
    cells = (field / field.std() * 3).reshape(rows, 8, columns, 8).transpose(1, 3, 0, 2)
    dustbin = np.full((1, rows, columns), 6.0)
    return np.concatenate([cells.reshape(64, rows, columns), dustbin]).astype(np.float32)


def heat_of(logits: np.ndarray) -> np.ndarray:
    """Return the heat map (8 h, 8 w) of logits (65, h, w)."""
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    shares /= shares.sum(axis=0)
    _, rows, columns = logits.shape
    heat = np.empty((rows * CELL, columns * CELL))
    for y in range(CELL):
        for x in range(CELL):
            heat[y::CELL, x::CELL] = shares[CELL * y + x]
    return heat


def greedy(heat: np.ndarray, threshold: float, radius: int) -> list[tuple[int, int]]:
    """Return the (x, y) that greedy suppression keeps, best first; the upper left one of equals."""
    ys, xs = np.nonzero(heat >= threshold)
    order = np.lexsort((xs, ys, -heat[ys, xs]))
    is_free = np.ones(heat.shape, bool)
    kept = []
    for x, y in zip(xs[order].tolist(), ys[order].tolist(), strict=True):
        if is_free[y, x]:
            kept.append((x, y))
            is_free[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = (
                False
            )
    return kept


def without_border(
    points: list[tuple[int, int]], width: int, height: int, border: int
) -> list[tuple[int, int]]:
    """Return the points that are not within the border."""
    return [
        (x, y) for x, y in points if border <= x < width - border and border <= y < height - border
    ]


def unit(vector: np.ndarray) -> np.ndarray:
    """Return a vector with unit norm."""
    return vector / max(np.linalg.norm(vector), 1e-12)


def describe(descriptors: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the descriptor at a pixel, interpolated between cells (D, h, w)."""
    _, rows, columns = descriptors.shape
    column = min(max((x - 3.5) / CELL, 0), columns - 1)
    row = min(max((y - 3.5) / CELL, 0), rows - 1)
    total = np.zeros(len(descriptors))
    for i in range(rows):
        for j in range(columns):
            weight = max(0, 1 - abs(i - row)) * max(0, 1 - abs(j - column))
            if weight:
                total += weight * unit(descriptors[:, i, j].astype(np.float64))
    return unit(total)


def refined(heat: np.ndarray, x: int, y: int) -> tuple[float, float]:
    """Return the peak of the parabola through the logarithms of 3 x 3 scores, at most 0.49 away."""
    height, width = heat.shape
    if not (1 <= x <= width - 2 and 1 <= y <= height - 2):
        return x, y
    steps = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    table = [[1, dx, dy, dx * dx / 2, dx * dy, dy * dy / 2] for dx, dy in steps]
    logs = [np.log(max(float(heat[y + dy, x + dx]), 1e-30)) for dx, dy in steps]
    _, gx, gy, xx, xy, yy = np.linalg.lstsq(np.array(table), np.array(logs), rcond=None)[0]
    hessian = np.array([[xx, xy], [xy, yy]])
    if np.linalg.eigvalsh(hessian).max() >= 0:
        return x, y
    dx, dy = np.clip(-np.linalg.solve(hessian, [gx, gy]), -0.49, 0.49)
    return x + dx, y + dy
