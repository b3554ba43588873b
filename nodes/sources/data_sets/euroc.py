"""EuRoC MAV sequences: mav0/cam0/{data.csv, data/, sensor.yaml} and the truth of the body.

Layout: Burri et al., "The EuRoC micro aerial vehicle datasets", IJRR 2016.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.sources.base import GroundTruth
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.data_sets.listed import Entry, Listed
from nodes.sources.data_sets.truth import at_images
from nodes.sources.files import missing, require_file
from nodes.sources.text_files import check_rises, read_lines
from nodes.vision.camera import Camera
from nodes.vision.se3 import from_quaternion
from pipeline.errors import InputError

TRUTH = Path("state_groundtruth_estimate0", "data.csv")
MAX_STAMP_NS = 9 * 10**18

Float = npt.NDArray[np.float64]


class Euroc(Listed):
    """One camera of a sequence, with the times of its data.csv."""

    @dataclass(frozen=True)
    class Options:
        """Which sequence, and which of its cameras."""

        path: Annotated[str, "folder with mav0/, or mav0 itself"] = ""
        camera: Annotated[str, "folder of the camera, such as cam1"] = "cam0"

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a folder with mav0/, not ''")
            if not self.camera or "/" in self.camera:
                raise ValueError(f"camera must name a folder of mav0/, not {self.camera!r}")

    @cached_property
    def folder(self) -> Path:
        """Return mav0/."""
        path = Path(self.options.path)
        return path / "mav0" if (path / "mav0").is_dir() else path

    @cached_property
    def images(self) -> Path:
        """Return the folder of the camera."""
        path = self.folder / str(self.options.camera)
        if not path.is_dir():
            raise missing(path, "folder")
        return path

    @cached_property
    def entries(self) -> list[Entry]:
        """Return the images that data.csv lists."""
        path, entries = self.images / "data.csv", list[Entry]()
        for number, words in read_lines(path):
            stamp = _stamp(words[0])
            if stamp is None or len(words) != 2:
                line = " ".join(words)
                raise InputError(f"{path}:{number}: expected 'stamp_ns,file', not {line!r}")
            check_rises(path, number, words[0], stamp, [entry.stamp_ns for entry in entries[-1:]])
            entries.append(Entry(stamp, self.images / "data" / words[1]))
        return entries

    def describe(self) -> str:
        """Say what it is, and which camera is read."""
        return f"EuRoC sequence of {self.length()} images of {self.images.name}"

    def published_camera(self) -> Camera | None:
        """Return the camera of sensor.yaml; None where there is no such file."""
        path = self.images / "sensor.yaml"
        return read_calibration(path) if path.is_file() else None

    @property
    def groundtruth_file(self) -> Path | None:
        """Return the estimated states of the body."""
        path = self.folder / TRUTH
        return path if path.is_file() else None

    def groundtruth(self) -> GroundTruth | None:
        """Return T_world_cam at the times of the images, from the poses of the body."""
        path = self.groundtruth_file
        if path is None:
            return None
        stamps_ns, T_world_body = read_states(path)
        truth = stamps_ns, T_world_body @ self._sensor_in_body()
        return at_images(truth, [entry.stamp_ns for entry in self.entries])

    def _sensor_in_body(self) -> Float:
        """Return T_BS, which maps points of the sensor to the body."""
        path = self.images / "sensor.yaml"
        require_file(path)
        found = re.search(r"T_BS:.*?data:\s*\[([^]]*)\]", path.read_text("utf-8"), re.DOTALL)
        try:
            values = np.array([float(word) for word in found[1].split(",")] if found else [])
        except ValueError:
            values = np.empty(0)
        if values.shape != (16,) or not np.isfinite(values).all():
            raise InputError(
                f"{path}: T_BS must have 16 numbers under data: the truth is that of the body"
            )
        return values.reshape(4, 4)


def read_states(path: Path) -> GroundTruth:
    """Read T_world_body from lines `stamp_ns, p_x, p_y, p_z, q_w, q_x, q_y, q_z, ...`.

    Raises:
        InputError: a line is no such state.
    """
    stamps, poses = [], []
    for number, words in read_lines(path):
        stamp = _stamp(words[0])
        try:
            values = np.array([float(word) for word in words[1:8]])
        except ValueError:
            values = np.empty(0)
        if stamp is None or values.shape != (7,) or not 0.9 < np.linalg.norm(values[3:]) < 1.1:
            raise InputError(f"{path}:{number}: expected 'stamp_ns, p x y z, q w x y z, ...'")
        stamps.append(stamp)
        poses.append(from_quaternion(values[:3], values[[4, 5, 6, 3]]))
    return np.array(stamps, np.int64), np.array(poses, np.float64).reshape(-1, 4, 4)


def _stamp(word: str) -> int | None:
    return int(word) if word.isdecimal() and int(word) < MAX_STAMP_NS else None
