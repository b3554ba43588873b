"""Looks for what in a calibration can hardly be right: plausibility, not proof."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nodes.sources import SOURCES, recognise
from nodes.sources.base import FrameSource, Selection
from nodes.vision.camera import Camera
from nodes.vision.field_of_view import angles_deg, field_of_view, max_angle_deg, picture_grid
from pipeline.errors import ConfigError, InputError

MAX_OFFSET = 0.1
"""Of the principal point from the centre, as a share of the width or the height."""
MAX_ASPECT = 0.05
FOV_RANGE_DEG = {"pinhole": (2.0, 150.0), "fisheye": (10.0, 280.0)}
MAX_STEPS = 20
"""How often to ask an input for a picture; a silent camera says "nothing yet" twice a second."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Finding:
    """One line to the user; a note is worth knowing, and no fault."""

    kind: Literal["problem", "note"]
    name: str
    text: str


def findings(camera: Camera, file: Path, size: Size | None = None) -> list[Finding]:
    """Return what is odd in the camera of a file, each with its cure.

    size: (width, height) of the pictures that it is for, if known.
    """
    return [
        *(_size(camera, file, size) if size else ()),
        *_principal_point(camera, file),
        *_aspect(camera, file),
        *_view(camera),
        *_folds(camera),
    ]


def _size(camera: Camera, file: Path, size: Size) -> Iterator[Finding]:
    (width, height), own = size, f"{camera.width}x{camera.height}"
    if size == (camera.width, camera.height):
        return
    convert = f"posestream camera convert {file} --to ours --out NEW.yaml"
    cure = "calibrate at this size"
    if abs(width * camera.height - height * camera.width) < max(width, height):
        cure += f", or, if they were resized: {convert} --resize {width}x{height}"
    elif width <= camera.width and height <= camera.height:
        cure += f", or, if they were cropped: {convert} --crop X,Y,{width},{height}"
    text = f"it is for {own} pixels, but the pictures have {width}x{height}; {cure}"
    yield Finding("problem", "size", text)


def _principal_point(camera: Camera, file: Path) -> Iterator[Finding]:
    centre = (camera.width - 1) / 2, (camera.height - 1) / 2
    shares = (camera.cx - centre[0]) / camera.width, (camera.cy - centre[1]) / camera.height
    if max(map(abs, shares)) > MAX_OFFSET:
        yield Finding(
            "problem", "principal_point",
            f"the principal point ({camera.cx:.1f}, {camera.cy:.1f}) is {100 * shares[0]:+.0f} % of"
            f" the width and {100 * shares[1]:+.0f} % of the height from the centre; is it for "
            "pictures of another size or crop? posestream camera convert "
            f"{file} --to ours --crop X,Y,W,H or --resize WxH; else calibrate again",
        )  # fmt: skip


def _aspect(camera: Camera, file: Path) -> Iterator[Finding]:
    ratio = camera.fx / camera.fy
    if abs(ratio - 1) > MAX_ASPECT:
        yield Finding(
            "problem", "aspect",
            f"fx / fy is {ratio:.3f}, but pixels are square in nearly all cameras; if the pictures "
            f"were stretched after the calibration: posestream camera convert {file} --to ours "
            "--resize WxH; else calibrate again",
        )  # fmt: skip


def _view(camera: Camera) -> Iterator[Finding]:
    low, high = FOV_RANGE_DEG[camera.model]
    seen = field_of_view(camera).horizontal_deg
    if seen < low or seen > high:
        yield Finding(
            "problem", "field_of_view",
            f"a {camera.model} that sees {seen:.1f} deg horizontally; are fx and fy in pixels of "
            "this size, and is the model right? calibrate again",
        )  # fmt: skip


def _folds(camera: Camera) -> Iterator[Finding]:
    pixels = picture_grid(camera)
    angles = angles_deg(camera, pixels)
    has_no_ray = np.isnan(angles)
    if has_no_ray.any():
        from_axis = np.hypot(*(pixels[has_no_ray] - (camera.cx, camera.cy)).T)
        yield Finding(
            "problem", "folds",
            f"the lens model has no ray for {100 * has_no_ray.mean():.0f} % of the picture, from "
            f"{from_axis.min():.0f} px off the principal point outwards: it can be undistorted up "
            f"to {max_angle_deg(camera):.0f} deg; calibrate with the target in the corners too",
        )  # fmt: skip
    is_beside = np.isnan(camera.undistort(pixels)).any(axis=1) & ~has_no_ray
    if is_beside.any():
        yield Finding(
            "note", "beside",
            f"{100 * is_beside.mean():.0f} % of the picture looks 90 deg or more from the axis; "
            "keypoints there are not used for poses",
        )  # fmt: skip


def input_size(target: str) -> Size:
    """Return (width, height) of the pictures of an input.

    Raises:
        ConfigError: it is a graph.
        InputError: it cannot be opened, or holds no picture.
    """
    found = recognise(target)
    if found is None:
        raise ConfigError(f"{target} is no input: give a video, a folder, a glob or a camera")
    settings = dict(override.split("=", 1) for override in found.overrides)
    options = json.loads(settings["params.options"])
    source: FrameSource = SOURCES.create(settings["params.source"], options)
    try:
        source.open(lambda text: None)
        return source.size or _first_size(source, target)
    finally:
        source.close()


def _first_size(source: FrameSource, target: str) -> Size:
    for picture in itertools.islice(source.frames(Selection()), MAX_STEPS):
        if picture is not None and picture.image is not None:
            return picture.image.shape[1], picture.image.shape[0]
    raise InputError(f"{target} gave no picture that can be decoded")
