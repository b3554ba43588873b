"""Draws what is known about a frame: keypoints, trails of matches, and a bar of text below.

Pictures are (H, W, 3) uint8, RGB; no function changes its arguments. Marks and text grow with the
picture. Colours are told apart by people with any colour vision: Okabe and Ito, Color Universal
Design, 2008.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Colour = tuple[int, int, int]

SKY_BLUE: Colour = (86, 180, 233)
ORANGE: Colour = (230, 159, 0)
YELLOW: Colour = (240, 228, 66)
GREY: Colour = (200, 200, 200)
BLACK: Colour = (0, 0, 0)
BACKGROUND: Colour = (28, 28, 30)

_FRACTION_BITS = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BASE_AREA = 640 * 480
_ROW_HEIGHT = 24
_FONT_SCALE = 0.5


def marks_scale(width: int, height: int) -> float:
    """Return how large marks must be on a picture; 1 for VGA."""
    return max(math.sqrt(width * height / _BASE_AREA), 0.5)


def annotated(image: Image, keypoints: Float32, trails: Float32, inliers: Bools | None) -> Image:
    """Draw keypoints and trails on a copy of a frame: inliers blue, outliers orange, others yellow.

    image: (H, W[, 3])
    keypoints: (N, 2), pixels
    trails: (M, L, 2), pixels; of each match the point now, in the frame before and so on, then NaN
    inliers: (M,), or None where nobody has looked; outliers have no more than their last step drawn
    """
    picture = as_colour(image)
    scale = marks_scale(picture.shape[1], picture.shape[0])
    _draw_dots(picture, keypoints, GREY, 1.2 * scale)
    if inliers is None:
        _draw_trails(picture, trails, YELLOW, scale)
    else:
        _draw_trails(picture, trails[~inliers, :2], ORANGE, scale)
        _draw_trails(picture, trails[inliers], SKY_BLUE, scale)
    return picture


def as_colour(image: Image) -> Image:
    """Return an image (H, W[, 3]) as a picture of its own."""
    return image.copy() if image.ndim == 3 else np.dstack([image] * 3)


def _draw_trails(picture: Image, trails: Float32, colour: Colour, scale: float) -> None:
    """Draw trails in place; the last step has a dark casing that stands out from any ground."""
    thickness = max(round(scale), 1)
    _draw_lines(picture, trails[:, 1:], colour, thickness)
    _draw_lines(picture, trails[:, :2], BLACK, 2 * thickness)
    _draw_lines(picture, trails[:, :2], colour, thickness)
    _draw_dots(picture, trails[:, 0], BLACK, 2.8 * scale)
    _draw_dots(picture, trails[:, 0], colour, 2.0 * scale)


def _draw_lines(picture: Image, lines: Float32, colour: Colour, thickness: int) -> None:
    """Draw lines through points (M, L, 2), each up to its first NaN."""
    num_points = np.cumprod(np.isfinite(lines).all(axis=2), axis=1).sum(axis=1).tolist()
    fixed = _fixed(np.nan_to_num(lines))
    drawn = [line[:num] for line, num in zip(fixed, num_points, strict=True) if num > 1]
    cv2.polylines(picture, drawn, False, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _draw_dots(picture: Image, points: Float32, colour: Colour, radius: float) -> None:
    fixed_radius = round(radius * 2**_FRACTION_BITS)
    for x, y in _fixed(points).tolist():
        cv2.circle(picture, (x, y), fixed_radius, colour, -1, cv2.LINE_AA, _FRACTION_BITS)


def _fixed(points: Float32) -> npt.NDArray[np.int32]:
    """Return points in the fixed-point numbers at which cv2 draws."""
    return np.asarray(np.rint(points * 2**_FRACTION_BITS), np.int32)


def text_bar(width: int, scale: float, rows: list[tuple[str, str, Colour]]) -> Image:
    """Return a bar of `width` with rows of text: left, right, and the colour of both.

    Text that would be too wide is written smaller.
    """
    height, margin = round(_ROW_HEIGHT * scale), round(_ROW_HEIGHT * scale / 3)
    bar = np.full((height * len(rows) + margin, width, 3), BACKGROUND, np.uint8)
    for number, (left, right, colour) in enumerate(rows):
        size = _fitting_size(left, right, width - 4 * margin, _FONT_SCALE * scale)
        baseline = margin // 2 + round((number + 0.72) * height)
        _write(bar, left, margin, baseline, size, colour)
        _write(bar, right, width - margin - _text_width(right, size), baseline, size, colour)
    return bar


def _fitting_size(left: str, right: str, width: int, size: float) -> float:
    needed = _text_width(left, size) + _text_width(right, size)
    return size * min(1.0, width / max(needed, 1))


def _text_width(text: str, size: float) -> int:
    return int(cv2.getTextSize(text, _FONT, size, _pen(size))[0][0])


def _write(bar: Image, text: str, x: int, baseline: int, size: float, colour: Colour) -> None:
    cv2.putText(bar, text, (x, baseline), _FONT, size, colour, _pen(size), cv2.LINE_AA)


def _pen(size: float) -> int:
    return max(round(size * 1.6), 1)


def letterboxed(picture: Image, width: int, height: int) -> Image:
    """Return a picture scaled to fit into `width` x `height`, centred, with black around it."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    new_width = min(max(round(picture.shape[1] * scale), 1), width)
    new_height = min(max(round(picture.shape[0] * scale), 1), height)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    box = np.zeros((height, width, 3), np.uint8)
    x, y = (width - new_width) // 2, (height - new_height) // 2
    box[y : y + new_height, x : x + new_width] = cv2.resize(
        picture, (new_width, new_height), interpolation=method
    )
    return box
