"""KITTI odometry: sequences/NN/{image_0 .. image_3, times.txt, calib.txt} and poses/NN.txt.

Layout: Geiger et al., "Are we ready for Autonomous Driving?", CVPR 2012, and the development kit's
readme. The pictures are rectified; the poses are those of the left grey camera, number 0.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.sources.base import GroundTruth
from nodes.sources.data_sets.listed import Entry, Listed, header_size
from nodes.sources.files import list_images, missing
from nodes.sources.text_files import read_lines, read_timestamps
from nodes.vision.camera import Camera
from nodes.vision.se3 import from_rotation_translation, inverse
from pipeline.errors import InputError

FOLDERS = ("image_0", "image_2", "image_1", "image_3")
"""Left grey, left colour, right grey, right colour: the order of preference."""

Float = npt.NDArray[np.float64]


class Kitti(Listed):
    """One camera of a sequence, with the times of times.txt."""

    @dataclass(frozen=True)
    class Options:
        """Which sequence, and which of its cameras."""

        path: Annotated[str, "folder such as sequences/00"] = ""
        camera_folder: Annotated[str, "image_0 to image_3; empty: the first left one"] = ""

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a folder such as sequences/00, not ''")
            if self.camera_folder and self.camera_folder not in FOLDERS:
                raise ValueError(
                    f"camera_folder must be one of {', '.join(sorted(FOLDERS))}, or '', "
                    f"not {self.camera_folder!r}"
                )

    @cached_property
    def images(self) -> Path:
        """Return the folder of the camera's images."""
        given = self.options.camera_folder
        found = [name for name in FOLDERS if (self.folder / name).is_dir()]
        if given and given not in found:
            raise missing(self.folder / given, "folder")
        if not found:
            raise InputError(f"{self.name} has none of the folders {', '.join(sorted(FOLDERS))}")
        return self.folder / (given or found[0])

    @cached_property
    def entries(self) -> list[Entry]:
        """Return one image for each line of times.txt: 000000.png and so on."""
        path = self.folder / "times.txt"
        stamps = read_timestamps(path)
        found = list_images(str(self.images))
        names = [f"{index:06d}" for index in range(len(stamps))]
        odd = {image.stem for image in found} - set(names)
        if odd:
            raise InputError(
                f"{path} has {len(stamps)} times, but {self.images} holds {len(found)} images: "
                f"{min(odd)}{found[0].suffix} has no time"
            )
        suffix = found[0].suffix
        return [
            Entry(stamp, self.images / f"{name}{suffix}")
            for stamp, name in zip(stamps, names, strict=True)
        ]

    def describe(self) -> str:
        """Say what it is, and which camera is read."""
        return f"KITTI odometry sequence of {self.length()} images in {self.images.name}"

    def published_camera(self) -> Camera | None:
        """Return the camera that calib.txt describes; None where there is no such file."""
        path = self.folder / "calib.txt"
        first = self.first_image
        size = header_size(first) if path.is_file() and first else None
        if size is None:
            return None
        P = self._projection(self.images.name)
        return Camera(*size, P[0, 0], P[1, 1], P[0, 2], P[1, 2])

    @property
    def groundtruth_file(self) -> Path | None:
        """Return poses/NN.txt beside sequences/."""
        folder = self.folder.absolute()
        path = folder.parent.parent / "poses" / f"{folder.name}.txt"
        return path if path.is_file() else None

    def groundtruth(self) -> GroundTruth | None:
        """Return the poses of this camera in the first frame of camera 0."""
        path = self.groundtruth_file
        if path is None:
            return None
        T_world_0 = read_poses(path)
        stamps = read_timestamps(self.folder / "times.txt")
        if len(T_world_0) != len(stamps):
            raise InputError(
                f"{path} has {len(T_world_0)} poses, but {self.folder / 'times.txt'} has "
                f"{len(stamps)} times: one for each is expected"
            )
        return np.array(stamps, np.int64), T_world_0 @ inverse(self._camera_0_in_this())

    def _camera_0_in_this(self) -> Float:
        """Return where camera 0 lies in this one: P = K [I | t], so t = K^-1 P[:, 3]."""
        if self.images.name == "image_0":
            return np.eye(4)
        P = self._projection(self.images.name)
        P0 = self._projection("image_0")
        t = np.linalg.solve(P[:, :3], P[:, 3]) - np.linalg.solve(P0[:, :3], P0[:, 3])
        return from_rotation_translation(np.eye(3), t)

    def _projection(self, folder: str) -> Float:
        """Return P (3, 4) of the camera of a folder, from calib.txt."""
        path, key = self.folder / "calib.txt", f"P{folder[-1]}:"
        for number, words in read_lines(path):
            if words[0] == key:
                P = _numbers(words[1:], 12)
                if P is None or P[0] <= 0 or P[5] <= 0:
                    raise InputError(f"{path}:{number}: expected '{key}' and a 3x4 projection")
                return P.reshape(3, 4)
        raise InputError(f"{path} has no line {key}")


def read_poses(path: Path) -> Float:
    """Read T_world_cam (N, 4, 4) from lines of 12 numbers, the rows of a 3x4 matrix.

    Raises:
        InputError: a line is no such pose.
    """
    poses = []
    for number, words in read_lines(path):
        values = _numbers(words, 12)
        if values is None or not _is_rotation(values.reshape(3, 4)[:, :3]):
            raise InputError(f"{path}:{number}: expected the 12 numbers of a 3x4 pose")
        T = values.reshape(3, 4)
        poses.append(from_rotation_translation(T[:, :3], T[:, 3]))
    return np.array(poses, np.float64).reshape(-1, 4, 4)


def _numbers(words: list[str], count: int) -> Float | None:
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        return None
    return values if values.shape == (count,) and np.isfinite(values).all() else None


def _is_rotation(R: Float) -> bool:
    return bool(np.allclose(R @ R.T, np.eye(3), atol=1e-3) and np.linalg.det(R) > 0)
