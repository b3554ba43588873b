"""Reads a camera's calibration: our YAML, and OpenCV's YAML and XML (also ROS's camera_info YAML).

Ours (`intrinsics.yaml`) has width, height, fx, fy, cx, cy, distortion_model (none or radtan) and
distortion_coeffs (k1 k2 p1 p2 [k3 ...]). OpenCV's has image_width, image_height, camera_matrix and
distortion_coefficients in a FileStorage.
"""

import difflib
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nodes.sources.files import require_file
from nodes.vision.camera import Camera
from pipeline.errors import InputError

MAX_BYTES = 1_000_000
NUM_COEFFS = (4, 5, 8, 12, 14)
OUR_KEYS = ("width", "height", "fx", "fy", "cx", "cy", "distortion_model", "distortion_coeffs")
MODELS = ("none", "radtan", "plumb_bob", "rational_polynomial")
"""The last two are ROS's names of the radial-tangential model."""


def read_calibration(path: Path) -> Camera:
    """Read a calibration file of any of the known forms.

    Raises:
        InputError: the file is missing or malformed; the message names file, key and value.
    """
    require_file(path, "calibration file")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has {path.stat().st_size} bytes: not a calibration file")
    try:
        entries = _read_xml(path) if path.suffix.lower() == ".xml" else _read_yaml(path)
        return _opencv_camera(entries) if "camera_matrix" in entries else _our_camera(entries)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


class _Loader(yaml.SafeLoader):
    """YAML in which no key may stand twice, and in which OpenCV's matrices are plain mappings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands there twice")
        return super().construct_mapping(node, deep)


def _opencv_matrix(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _opencv_matrix)


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
        # OpenCV's first line "%YAML:1.0" is not a directive that YAML knows.
        entries = yaml.load(text.removeprefix("%YAML:1.0"), _Loader)
    except UnicodeDecodeError as error:
        raise ValueError("not a text file, so no calibration") from error
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", error)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"not valid YAML{line}: {problem}") from error
    if not isinstance(entries, Mapping):
        raise ValueError("not a calibration: expected the keys " + ", ".join(OUR_KEYS))
    return entries


def _read_xml(path: Path) -> Mapping[str, Any]:
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except ElementTree.ParseError as error:
        raise ValueError(f"not valid XML: {error}") from error
    return {child.tag: _xml_value(child) for child in root}


def _xml_value(element: ElementTree.Element) -> Any:
    data = element.findtext("data")
    return element.text if data is None else {"data": data.split()}


def _our_camera(entries: Mapping[str, Any]) -> Camera:
    model = entries.get("camera_model", "pinhole")
    if model != "pinhole":
        raise ValueError(f"camera_model must be pinhole, not {model!r}")
    fx, fy = (_number(entries, key, positive=True) for key in ("fx", "fy"))
    cx, cy = (_number(entries, key) for key in ("cx", "cy"))
    return Camera(
        _size(entries, "width"), _size(entries, "height"), fx, fy, cx, cy,
        _distortion(entries, "distortion_coeffs"),
    )  # fmt: skip


def _opencv_camera(entries: Mapping[str, Any]) -> Camera:
    k = _matrix(entries, "camera_matrix")
    if len(k) != 9 or k[0] <= 0 or k[4] <= 0 or [k[1], k[3], *k[6:]] != [0, 0, 0, 0, 1]:
        raise ValueError(f"camera_matrix must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], not {k}")
    return Camera(
        _size(entries, "image_width"), _size(entries, "image_height"), k[0], k[4], k[2], k[5],
        _distortion(entries, "distortion_coefficients"),
    )  # fmt: skip


def _distortion(entries: Mapping[str, Any], key: str) -> tuple[float, ...]:
    """Return the coefficients, or () where all of them are zero."""
    optional = {"distortion_model": "radtan"} if "camera_matrix" in entries else {}
    model = _get({**optional, **entries}, "distortion_model")
    if model not in MODELS:
        raise ValueError(f"distortion_model must be none or radtan, not {model!r}")
    if model == "none" and key not in entries:
        return ()
    coeffs = _matrix(entries, key)
    if model == "none" and any(coeffs):
        raise ValueError(f"distortion_model is none, but {key} is {coeffs}")
    if any(coeffs) and len(coeffs) not in NUM_COEFFS:
        raise ValueError(f"{key} must have 4, 5, 8, 12 or 14 numbers, not {len(coeffs)}: {coeffs}")
    return tuple(coeffs) if any(coeffs) else ()


def _matrix(entries: Mapping[str, Any], key: str) -> list[float]:
    """Return the numbers of a list, or of a mapping with rows, cols and data."""
    value = _get(entries, key)
    value = value.get("data") if isinstance(value, Mapping) else value
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list of numbers, not {value!r}")
    return [_number({key: entry}, key) for entry in value]


def _size(entries: Mapping[str, Any], key: str) -> int:
    value = _number(entries, key, positive=True)
    if not value.is_integer():
        raise ValueError(f"{key} must be a whole number of pixels, not {value}")
    return int(value)


def _number(entries: Mapping[str, Any], key: str, positive: bool = False) -> float:
    value = _get(entries, key)
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # YAML takes 1e-4 for a text
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (positive and number <= 0):
        raise ValueError(f"{key} must be a {'positive ' * positive}number, not {value!r}")
    return number


def _get(entries: Mapping[str, Any], key: str) -> Any:
    if key not in entries:
        near = difflib.get_close_matches(key, [str(k) for k in entries], n=1)
        raise ValueError(f"the key {key!r} is missing" + (f"; is it {near[0]!r}?" if near else ""))
    return entries[key]
