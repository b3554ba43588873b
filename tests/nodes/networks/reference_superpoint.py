"""The published post-processing of SuperPoint in plain numpy, one keypoint after the other."""

import numpy as np

CELL = 8


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
