"""Pictures to look at while training: keypoints, matches, and sheets of many pictures.

Pictures are (H, W, 3) uint8, BGR; no function changes its arguments. Colours are told apart by
people with any colour vision: Okabe and Ito, Color Universal Design, 2008.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from training.files import write_whole

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

GREEN: Colour = (115, 190, 0)
RED: Colour = (0, 80, 230)
LINE_PX = 2
FRACTION_BITS = 4
"""cv2 draws in numbers of 1/16 pixel."""
RING = 3 << FRACTION_BITS
DOT = 2 << FRACTION_BITS


def draw_keypoints(image: Image, keypoints: Floats, scores: Floats | None = None) -> Image:
    """Return a picture of an image (H, W) with a ring around each keypoint (N, 2) in pixels.

    scores: (N,), higher is better; the rings go by rank from blue (worst) to red (best), which is
    drawn last. None: all are green.
    """
    picture = as_colour(image)
    if scores is None:
        order, colours = range(len(keypoints)), [GREEN] * len(keypoints)
    else:
        order = np.argsort(scores, kind="stable").tolist()
        colours = _ramp(len(keypoints))
    for i, colour in zip(order, colours, strict=True):
        place = _fixed(keypoints[i])
        cv2.circle(picture, place, RING, colour, 1, cv2.LINE_AA, FRACTION_BITS)
    return picture


def draw_matches(
    image0: Image, image1: Image, points0: Floats, points1: Floats, correct: Bools
) -> Image:
    """Return two images (H, W) side by side with a line for each match: right green, wrong red.

    points0, points1: (M, 2), pixels of their images
    correct: (M,); wrong matches are drawn below the right ones
    """
    picture = sheet([as_colour(image0), as_colour(image1)], columns=2)
    offset = (max(image0.shape[1], image1.shape[1]) + LINE_PX, 0)
    for i in np.argsort(correct, kind="stable").tolist():
        colour = GREEN if correct[i] else RED
        ends = points0[i], points1[i] + offset
        cv2.line(picture, _fixed(ends[0]), _fixed(ends[1]), colour, 1, cv2.LINE_AA, FRACTION_BITS)
        for end in ends:
            cv2.circle(picture, _fixed(end), DOT, colour, -1, cv2.LINE_AA, FRACTION_BITS)
    return picture


def sheet(pictures: Sequence[Image], columns: int) -> Image:
    """Return pictures, row after row, in equal cells with white lines between them.

    A cell is as large as the largest picture; what a smaller one leaves free, right and below, is
    black.
    """
    if not pictures or columns < 1:
        raise ValueError(f"a sheet has pictures and columns, not {len(pictures)} and {columns}")
    columns = min(columns, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    height = max(picture.shape[0] for picture in pictures) + LINE_PX
    width = max(picture.shape[1] for picture in pictures) + LINE_PX
    made = np.full((rows * height - LINE_PX, columns * width - LINE_PX, 3), 255, np.uint8)
    for cell in range(rows * columns):
        top, left = cell // columns * height, cell % columns * width
        made[top : top + height - LINE_PX, left : left + width - LINE_PX] = 0
        if cell < len(pictures):
            picture = as_colour(pictures[cell])
            made[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return made


def save(path: Path, picture: Image) -> None:
    """Write a picture whole or not at all, in the format that its suffix names."""
    written, data = cv2.imencode(path.suffix, picture)
    if not written:
        raise ValueError(f"a picture of shape {picture.shape} cannot be written as {path.name}")
    write_whole(path, data.tobytes())


def as_colour(image: Image) -> Image:
    """Return an image (H, W[, 3]) as a BGR picture of its own."""
    return image.copy() if image.ndim == 3 else np.dstack([image] * 3)


def _ramp(num: int) -> list[Colour]:
    """Return colours from blue to red."""
    steps = np.linspace(30, 240, num).astype(np.uint8)
    table = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_TURBO) if num else np.zeros((0, 1, 3))
    return [(int(b), int(g), int(r)) for b, g, r in table[:, 0]]


def _fixed(point: Floats) -> tuple[int, int]:
    """Return a point (2,) in the fixed-point numbers at which cv2 draws."""
    x, y = (point * 2.0**FRACTION_BITS).tolist()
    return round(x), round(y)
