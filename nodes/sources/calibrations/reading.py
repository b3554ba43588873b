"""Reads a camera's calibration: ours, OpenCV's, ROS's, Kalibr's and COLMAP's.

The forms stand in `forms.py` (YAML and XML) and `colmap.py` (text). Where a
file holds several cameras, one is named behind a "#": `camchain.yaml#cam1`, `cameras.txt#2`.
"""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nodes.sources.calibrations.choice import choose, split_choice
from nodes.sources.calibrations.colmap import colmap_camera, is_colmap
from nodes.sources.calibrations.forms import OUR_KEYS, camera_of, chain, kalibr_camera
from nodes.sources.files import require_file
from nodes.vision.camera import Camera
from pipeline.errors import InputError

MAX_BYTES = 1_000_000


def read_calibration(path: Path) -> Camera:
    """Read a calibration file of any of the known forms; FILE#NAME is one of several cameras.

    Raises:
        InputError: the file is missing or malformed; the message names file, key and value.
    """
    file, choice = split_choice(path)
    require_file(file, "calibration file")
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{file} has {file.stat().st_size} bytes: not a calibration file")
    try:
        return _read(file, choice)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from error


def _read(file: Path, choice: str | None) -> Camera:
    if file.suffix.lower() == ".xml":
        entries = _read_xml(file)
    else:
        text = _text(file)
        if is_colmap(text):
            return colmap_camera(text, choice, file)
        entries = _read_yaml(text)
    cameras = chain(entries)
    if cameras:
        name, entries = choose(cameras, choice, file)
        return _in_chain(name, entries)
    if choice is not None:
        raise ValueError(f"it holds one camera without a name: leave out '#{choice}'")
    return camera_of(entries)


def _in_chain(name: str, entries: Mapping[str, Any]) -> Camera:
    try:
        return kalibr_camera(entries)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("not a text file, so no calibration") from error


class _Loader(yaml.SafeLoader):
    """YAML in which no key may stand twice, and in which OpenCV's matrices are plain mappings."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key, count in Counter(map(repr, keys)).items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"{twice} stands there twice")
        return super().construct_mapping(node, deep)


def _opencv_matrix(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _opencv_matrix)


def _read_yaml(text: str) -> Mapping[str, Any]:
    try:
        # OpenCV's first line "%YAML:1.0" is not a directive that YAML knows.
        # The lone dashes are where `rostopic echo` ends a message.
        entries = yaml.load(text.removeprefix("%YAML:1.0").rstrip().removesuffix("\n---"), _Loader)
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
