"""Says what a user's input is: a camera, an address, a file, a folder, a pipe, a data set."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodes.sources.calibrations.choice import split_choice
from nodes.sources.exif import common_focal
from nodes.sources.files import (
    find_recording,
    is_glob,
    is_image_name,
    list_images,
    missing,
    require_file,
)
from nodes.sources.layouts import DescribedSource, SeveralTopicsError, find_layout
from nodes.sources.live.addresses import PROTOCOLS, masked, scheme_of
from nodes.sources.sidecars import Sidecars
from pipeline.errors import InputError

CONFIG_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Recognised:
    """What an input was taken for: words for the user, and settings for a capture node.

    `overrides` are values for `--set` without the name of the node: `params.source=video`. The
    options are set as a whole, so that none is left over from another source.
    """

    kind: str
    overrides: list[str]


def recognise(target: str, camera: str | None = None) -> Recognised | None:
    """Say what `target` is; None where it is not an input but a configuration.

    Args:
        target: what the user typed: a path, a glob, an address, "-", "0", "camera:0", "synthetic".
        camera: calibration file that the user gave, if any.

    Raises:
        InputError: the input is missing, empty, or of no known kind.
        MissingDependencyError: it is read by a package that is not installed.
    """
    try:
        found = _recognise(_spelt(target), camera)
        if found is None or camera is None:
            return found
        require_file(split_choice(Path(_spelt(camera)))[0], "calibration file")
    except OSError as error:
        raise InputError(f"{error.filename or target} cannot be read: {error.strerror}") from error
    return Recognised(found.kind, [*found.overrides, _set("params.camera", _absolute(camera))])


def _spelt(path: str) -> str:
    """Return a path, which must be UTF-8: OpenCV dies of others, and no configuration holds them.

    Raises:
        InputError: it is not.
    """
    if path.isprintable() or path.encode(errors="ignore").decode() == path:
        return path
    shown = path.encode(errors="replace").decode()
    raise InputError(f"the name {shown!r} is not UTF-8: rename it, or its folder")


def _recognise(target: str, camera: str | None) -> Recognised | None:
    if target == "synthetic":
        return _recognised("synthetic scene with exact poses", "synthetic")
    device = re.fullmatch(r"(?:camera:)?(\d{1,4})", target)
    if device and not Path(target).exists():
        return _recognised(f"camera {device[1]}", "camera", device=int(device[1]))
    if "://" in target:
        return _address(target)
    if target == "-":
        return _recognised("images from standard input, uncalibrated", "stdin", path="-")
    path = Path(target)
    if path.is_fifo():
        return _recognised("images from a pipe, uncalibrated", "stdin", path=_absolute(target))
    layout = find_layout(path)
    if layout:
        return _opened(*layout, camera)
    if path.is_dir():
        return _folder(path, camera)
    if is_glob(target):
        return _images(target, Sidecars.of_images(path.parent), camera, "glob")
    if not path.exists():
        raise missing(path)
    return None if path.suffix.lower() in CONFIG_SUFFIXES else _video(path, camera)


def _address(target: str) -> Recognised:
    schemes = [f"{scheme}://" for scheme in PROTOCOLS]
    if scheme_of(target) not in PROTOCOLS:
        raise InputError(
            f"{masked(target)} cannot be read: an address must begin with {', '.join(schemes)}"
        )
    return _recognised(f"stream from {masked(target)}, uncalibrated", "url", url=target)


def _opened(source: str, path: Path, camera: str | None) -> Recognised:
    """Open a data set or a bag, so that what is wrong with it is told at once."""
    from nodes.sources import SOURCES  # the table needs this module

    options = {"path": _absolute(str(path))}
    found: DescribedSource = SOURCES.create(source, options)
    try:
        found.open(lambda text: None)
    except SeveralTopicsError:  # the run says so, unless its settings name one
        return _recognised("bag with several topics of images", source, **options)
    names = _names(
        {
            "calibration": camera or found.camera,
            "ground truth": found.groundtruth_file,
            "mask": found.sidecars.mask,
        }
    )
    return _recognised(found.describe() + names, source, **options)


def _folder(path: Path, camera: str | None) -> Recognised:
    recording = find_recording(path)
    if recording is None:
        return _images(str(path), Sidecars.of_images(path), camera, "folder")
    images = str(recording) if recording.is_dir() else None
    beside = _beside(Sidecars.beside(path), camera, images)
    what = _count(images) if images else _describe_video(recording)
    return _recognised(f"dataset folder: {what}{beside}", "dataset", path=_absolute(str(path)))


def _images(target: str, sidecars: Sidecars, camera: str | None, kind: str) -> Recognised:
    text = f"{kind} of {_count(target)}{_beside(sidecars, camera, target)}"
    return _recognised(text, "folder", path=_absolute(target))


def _video(path: Path, camera: str | None) -> Recognised:
    if is_image_name(path):
        raise InputError(
            f"{path} is a single image: give its folder, or a glob such as '*{path.suffix}'"
        )
    text = _describe_video(path) + _beside(Sidecars.beside(path.parent), camera)
    return _recognised(text, "video", path=_absolute(str(path)))


def _describe_video(path: Path) -> str:
    from nodes.sources.video import probe  # imports cv2

    info = probe(path)
    frames = f" of {_plural(info.num_frames, 'frame')}" if info.num_frames else ""
    return f"video{frames}, {info.width}x{info.height}"


def _count(target: str) -> str:
    return _plural(len(list_images(target)), "image")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _beside(sidecars: Sidecars, camera: str | None, images: str | None = None) -> str:
    """Say what belongs to the input: " with calibration, timestamps and ground truth".

    `images` is the folder or glob of a recording that consists of images.
    """
    parts = {
        "calibration": camera or sidecars.calibration,
        "timestamps": sidecars.timestamps,
        "ground truth": sidecars.groundtruth,
        "mask": sidecars.mask,
    }
    return _names(parts) + ("" if parts["calibration"] else _exif(images))


def _names(parts: Mapping[str, object]) -> str:
    """Write which parts there are: " with ground truth and mask, uncalibrated"."""
    names = [name for name, there in parts.items() if there]
    text = " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
    return (f" with {text}" if text else "") + ("" if parts["calibration"] else ", uncalibrated")


def _exif(images: str | None) -> str:
    focal, _ = common_focal(list_images(images)) if images else (None, True)
    return ", focal length from EXIF" if focal else ""


def _recognised(kind: str, source: str, **options: object) -> Recognised:
    return Recognised(kind, [f"params.source={source}", _set("params.options", options)])


def _set(key: str, value: object) -> str:
    """Write a value as JSON, which is YAML too, so that no path can be mistaken."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def _absolute(path: str) -> str:
    return str(Path(path).absolute())
