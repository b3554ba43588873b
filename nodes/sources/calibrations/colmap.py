"""COLMAP's `cameras.txt`: CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[] a line.

COLMAP (https://colmap.github.io/format.html) has (0.5, 0.5) at the centre of the top-left pixel, we
have (0, 0) there: half a pixel is taken off the principal point, in decimals, so that none is lost.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from nodes.sources.calibrations.choice import choose
from nodes.sources.calibrations.fields import coefficients, size
from nodes.vision.camera import Camera, Model

HALF = Decimal("0.5")

# name -> (whether fx and fy are one, our model, where our coefficients stand behind cx and cy;
# None is a zero)
Form = tuple[bool, Model, tuple[int | None, ...]]
FORMS: dict[str, Form] = {
    "SIMPLE_PINHOLE": (True, "pinhole", ()),
    "PINHOLE": (False, "pinhole", ()),
    "SIMPLE_RADIAL": (True, "pinhole", (0, None, None, None)),
    "RADIAL": (True, "pinhole", (0, 1, None, None)),
    "OPENCV": (False, "pinhole", (0, 1, 2, 3)),
    "FULL_OPENCV": (False, "pinhole", (0, 1, 2, 3, 4, 5, 6, 7)),
    "OPENCV_FISHEYE": (False, "fisheye", (0, 1, 2, 3)),
    "SIMPLE_RADIAL_FISHEYE": (True, "fisheye", (0, None, None, None)),
    "RADIAL_FISHEYE": (True, "fisheye", (0, 1, None, None)),
}


def is_colmap(text: str) -> bool:
    """Say whether the first line that is no comment could be one of `cameras.txt`."""
    lines = _lines(text)
    return bool(lines) and len(lines[0]) >= 4 and lines[0][0].isdigit() and ":" not in lines[0][1]


def colmap_camera(text: str, choice: str | None, path: Path) -> Camera:
    """Read the chosen camera, or the only one.

    Raises:
        ValueError: a line is malformed, or the choice is not clear.
    """
    cameras = {words[0]: words[1:] for words in _lines(text)}
    name, words = choose(cameras, choice, path)
    try:
        return _camera(words)
    except ValueError as error:
        raise ValueError(f"camera {name}: {error}") from error


def _lines(text: str) -> list[list[str]]:
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [words for words in lines if words]


def _camera(words: Sequence[str]) -> Camera:
    model = words[0] if words else ""
    if model not in FORMS:
        raise ValueError(f"the model must be one of {', '.join(FORMS)}, not {model!r}")
    has_one_focal, our_model, places = FORMS[model]
    values = [_decimal(word) for word in words[3:]]
    focals = values[: 1 if has_one_focal else 2]
    centre, coeffs = values[len(focals) : len(focals) + 2], values[len(focals) + 2 :]
    expected = len(focals) + 2 + sum(place is not None for place in places)
    if len(values) != expected:
        raise ValueError(f"{model} has {expected} parameters, not {len(values)}")
    if min(focals) <= 0:
        raise ValueError(f"the focal length must be a positive number, not {min(focals)}")
    cx, cy = (float(value - HALF) for value in centre)
    distortion = [0.0 if place is None else float(coeffs[place]) for place in places]
    return Camera(
        size({"WIDTH": words[1]}, "WIDTH"), size({"HEIGHT": words[2]}, "HEIGHT"),
        float(focals[0]), float(focals[-1]), cx, cy,
        coefficients(distortion, "PARAMS", our_model == "fisheye"), model=our_model,
    )  # fmt: skip


def _decimal(word: str) -> Decimal:
    try:
        value = Decimal(word)
    except InvalidOperation:
        value = Decimal("NaN")
    if not math.isfinite(value):
        raise ValueError(f"{word!r} is not a number")
    return value
