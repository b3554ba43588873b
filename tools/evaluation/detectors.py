"""Detectors by name with options, `NAME` or `NAME:key=value,key=value`, limited to a number."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from nodes.detectors import DETECTORS, FindsKeypoints
from nodes.networks.weights import FOLDER_VARIABLE
from nodes.vision.keypoints import Keypoints
from pipeline.config.strict_yaml import read_scalar
from pipeline.errors import ConfigError
from pipeline.registry import suggest

Image = npt.NDArray[np.uint8]

LIMITS = ("max_keypoints", "nfeatures")
"""What detectors call the number of keypoints that they keep."""
WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Contestant:
    """A detector under the name of its row, which finds a limited number of keypoints."""

    label: str
    spec: str
    detector: FindsKeypoints
    max_keypoints: int

    def detect(self, image: Image) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3])."""
        found = self.detector.detect(image)
        return found.take(np.arange(min(len(found.scores), self.max_keypoints)))


def create_all(specs: Sequence[str], max_keypoints: int) -> list[Contestant]:
    """Build detectors.

    Raises:
        ConfigError: a name, an option or a value is wrong, or one comes twice.
        MissingDependencyError: a package or a file of weights is missing.
    """
    twice = next((spec for i, spec in enumerate(specs) if spec in specs[:i]), None)
    if twice is not None:
        raise ConfigError(f"--detectors: {twice} comes twice")
    short = [_short(spec) for spec in specs]
    labels = [a if short.count(a) == 1 else spec for a, spec in zip(short, specs, strict=True)]
    return [
        Contestant(label, spec, create(spec, max_keypoints), max_keypoints)
        for label, spec in zip(labels, specs, strict=True)
    ]


def create(spec: str, max_keypoints: int) -> FindsKeypoints:
    """Build one detector; it is told the limit unless its own is given.

    Raises:
        ConfigError, MissingDependencyError: as `create_all` says.
    """
    name, _, text = spec.partition(":")
    cls = DETECTORS.load(name)
    known = {field.name for field in dataclasses.fields(cls.Options)}
    given = _read_options(spec, text, cls.Options)
    limit = {key: max_keypoints for key in LIMITS if key in known}
    try:
        options = cls.Options(**{**limit, **given})
    except ValueError as error:
        raise ConfigError(f"--detectors {spec}: {error}") from error
    detector: FindsKeypoints = DETECTORS.create(name, options)
    return detector


def find_weights_beside(data: Path) -> None:
    """Let detectors find weights in `weights` beside the data, where nothing else is said."""
    folder = data.absolute().parent / "weights"
    if not os.environ.get(FOLDER_VARIABLE) and folder.is_dir():
        os.environ[FOLDER_VARIABLE] = str(folder)


def _read_options(spec: str, text: str, options: type) -> dict[str, Any]:
    hints = get_type_hints(options)
    given: dict[str, Any] = {}
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--detectors {spec}: write options as NAME:key=value,key=value")
        if key not in hints:
            raise ConfigError(f"--detectors {spec}: unknown option {key!r}. {suggest(key, hints)}")
        given[key] = _value(f"--detectors {spec}: {key}", value, hints[key])
    return given


def _value(where: str, text: str, hint: Any) -> Any:
    """Return a value as a setting's type wants it."""
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise ConfigError(f"{where} is {text!r}. {suggest(text, get_args(hint))}")
        return text
    if hint is str:
        return text
    try:
        value = read_scalar(text)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        wanted = WORDS.get(hint, str(hint))
        raise ConfigError(f"{where} must be {wanted}, not {text!r}")
    return value


def _short(spec: str) -> str:
    """Return a spec without the folders of files."""
    name, colon, text = spec.partition(":")
    parts = (part.partition("=") for part in text.split(",")) if text else ()
    return name + colon + ",".join(f"{key}{eq}{Path(value).name}" for key, eq, value in parts)
