"""Corners that a patch can be followed by, spread evenly over a picture.

The strength of a corner is the square root of the smaller eigenvalue of its structure tensor: how
steep the picture is in the direction in which it is flattest, in grey levels a pixel.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

TENSOR_PX = 5
SOBEL_GAIN = 8.0  # a 3 x 3 Sobel filter sums up eight times the slope


def corner_strength(grey: Image) -> Float32:
    """Return the strength (H, W) of the corner at every pixel, grey levels a pixel.

    Shi & Tomasi, "Good features to track", CVPR 1994, section 4. OpenCV's cornerMinEigenVal gives
    its square up to scale, and takes three times as long on a picture with flat parts.
    """
    if min(grey.shape) < 2:
        return np.zeros(grey.shape, np.float32)
    dx, dy = (np.asarray(slope, np.int16) for slope in cv2.spatialGradient(grey))
    xx, yy, xy = (_local_mean_product(a, b) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    # Twice the smaller eigenvalue: xx + yy - sqrt((xx - yy)^2 + (2 xy)^2). All in place: a fresh
    # picture of floats costs more than what is computed with it.
    strength = xx + yy
    xx -= yy
    strength -= cv2.magnitude(xx, cv2.add(xy, xy, dst=xy), magnitude=yy)
    np.maximum(strength, 0, out=strength)
    strength *= np.float32(0.5 / SOBEL_GAIN**2)
    return np.asarray(cv2.sqrt(strength, dst=strength), np.float32)


def cell_side(height: int, width: int, smallest_px: int, max_cells: int) -> int:
    """Return the side of the square cells, at least `smallest_px`, that are at most `max_cells`."""
    side = max(smallest_px, math.isqrt(height * width // max_cells))
    while math.ceil(height / side) * math.ceil(width / side) > max_cells:
        side += 1
    return side


def cells_of(points: Float32, width: int, cell_px: int) -> Int:
    """Return the number (N,) of the cell that each point (N, 2) lies in, row by row of cells."""
    x, y = np.rint(points).astype(np.int64).T // cell_px
    return np.asarray(y * math.ceil(width / cell_px) + x, np.int64)


def find_corners(
    strength: Float32, allowed: Bool, occupied: Float32, cell_px: int, min_strength: float
) -> Float32:
    """Return the strongest corner (N, 2) of each cell that holds none of the `occupied` points.

    Args:
        strength: (H, W) float32, of `corner_strength`.
        allowed: (H, W), where a corner may lie.
        occupied: (P, 2) float32, pixels inside the picture.
        cell_px: side of the cells; a corner keeps a quarter of it from others and from `occupied`.
        min_strength: of a corner.

    Returns:
        Whole pixels, strongest first. A fraction would be lost: a corner is followed from wherever
        it was found, and around a whole pixel its patch can be cut out without interpolation.
    """
    width = strength.shape[1]
    spacing = max(1, cell_px // 4)
    is_corner = _is_peak(strength, spacing) & (strength >= min_strength)
    is_corner &= allowed & _is_clear(occupied, strength.shape, spacing)
    y, x = np.divmod(np.flatnonzero(is_corner), width)  # np.nonzero takes ten times as long
    order = np.argsort(-strength[y, x], kind="stable")
    corners = np.column_stack([x, y])[order].astype(np.float32)
    cells = cells_of(corners, width, cell_px)
    _, first = np.unique(cells, return_index=True)
    first = first[~np.isin(cells[first], cells_of(occupied, width, cell_px))]
    return corners[np.sort(first)]


def first_of_each_cell(points: Float32, width: int, cell_px: int) -> Int:
    """Return the rows, rising, of the points (N, 2) that are the first in their cell."""
    _, first = np.unique(cells_of(points, width, cell_px), return_index=True)
    return np.sort(first)


def _local_mean_product(a: npt.NDArray[np.int16], b: npt.NDArray[np.int16]) -> Float32:
    product = cv2.multiply(a, b, dtype=cv2.CV_32F)
    size = TENSOR_PX, TENSOR_PX
    return np.asarray(cv2.boxFilter(product, -1, size, dst=product), np.float32)


def _is_peak(strength: Float32, radius: int) -> Bool:
    return np.asarray(strength == cv2.dilate(strength, _square(radius)), np.bool_)


def _is_clear(points: Float32, shape: tuple[int, ...], radius: int) -> Bool:
    """Return where (H, W) no point is as near as `radius` in x and y."""
    taken = np.zeros(shape, np.uint8)
    x, y = np.rint(points).astype(np.int64).T
    taken[y, x] = 1
    return np.asarray(cv2.dilate(taken, _square(radius)) == 0, np.bool_)


def _square(radius: int) -> Image:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
