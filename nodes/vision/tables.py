"""Tables that repeat in both directions: padded, interpolated, differentiated."""

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

PAD = 2
"""Entries repeated around a table, for the interpolation at its border."""


def derivative(table: npt.NDArray[np.floating], direction: int) -> Float:
    """Return central differences of a table that repeats, per entry."""
    return np.asarray((np.roll(table, -1, direction) - np.roll(table, 1, direction)) / 2)


def wrapped(table: npt.NDArray[np.generic]) -> Float32:
    """Repeat the borders of a table, for the interpolation."""
    padded = cv2.copyMakeBorder(np.asarray(table), PAD, PAD, PAD, PAD, cv2.BORDER_WRAP)
    return np.asarray(padded)


def looked_up(table: Float32, shape: tuple[int, int], fraction: tuple[Float32, Float32]) -> Float32:
    """Interpolate a wrapped table, whose own size is `shape`, at parts of its height and width."""
    y, x = (f * np.float32(n) + np.float32(PAD) for f, n in zip(fraction, shape, strict=True))
    return np.asarray(cv2.remap(table, x, y, cv2.INTER_LINEAR), np.float32)


def levels(picture: Image, count: int) -> tuple[Image, Float32]:
    """Lay the picture, in halving sizes, on one sheet; return it and the row of each."""
    width, tops, parts, top = picture.shape[1] + 2 * PAD, [], [], 0
    for level in range(count):
        size = (picture.shape[1] >> level, picture.shape[0] >> level)
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        part = cv2.copyMakeBorder(small, PAD, PAD, PAD, PAD, cv2.BORDER_WRAP)
        parts.append(cv2.copyMakeBorder(part, 0, 0, 0, width - part.shape[1], cv2.BORDER_CONSTANT))
        tops.append(top)
        top += part.shape[0]
    return np.vstack(parts), np.array(tops, np.float32)
