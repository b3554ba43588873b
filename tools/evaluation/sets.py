"""Homography sets: folders with images and files H_1_2, H_1_3, ... that carry image 1 into each.

The images are in frames/ (our layout) or beside the homographies (HPatches: 1.ppm, 2.ppm, ...); the
first in natural order is image 1. HPatches (Balntas et al., CVPR 2017) names its sequences v_* for
a change of viewpoint and i_* for one of illumination.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nodes.sources.files import list_images, missing
from nodes.sources.images import UndecodableError, read_image
from nodes.vision.feature_evaluation import PlanarPair, Size
from pipeline.errors import InputError

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float64]

_HOMOGRAPHY = re.compile(r"H_1_([1-9]\d*)")
_GROUPS = {"v_": "viewpoint", "i_": "illumination"}


@dataclass(frozen=True)
class HomographySet:
    """A folder, as the user names it, with the numbers of the images that have a homography.

    Images are counted from 1.
    """

    folder: Path
    name: str
    numbers: tuple[int, ...]

    @property
    def group(self) -> str:
        """Return what it is reported as: HPatches' two kinds, or by its name."""
        return _GROUPS.get(self.folder.name[:2], self.name)

    def load(self, resize: Size | None = None) -> tuple[list[Image], list[PlanarPair]]:
        """Read image 1 and the others, (H, W[, 3]) uint8 grey or RGB, and a pair for each other.

        `resize` stretches all images to one size.

        Raises:
            InputError: an image or a homography is missing or damaged.
        """
        paths = self._images()
        images = [_read(paths[number - 1]) for number in (1, *self.numbers)]
        sizes = [_size(image) for image in images]
        homographies = [read_homography(self.folder / f"H_1_{k}", sizes[0]) for k in self.numbers]
        if resize:
            scales = [_stretch(size, resize) for size in sizes]
            images = [_resized(image, resize) for image in images]
            homographies = [
                S @ H @ np.linalg.inv(scales[0])
                for S, H in zip(scales[1:], homographies, strict=True)
            ]
            sizes = [resize] * len(images)
        pairs = [
            PlanarPair(H, sizes[0], size) for H, size in zip(homographies, sizes[1:], strict=True)
        ]
        return images, pairs

    def _images(self) -> list[Path]:
        frames = self.folder / "frames"
        paths = list_images(str(frames if frames.is_dir() else self.folder))
        if len(paths) < max(self.numbers):
            raise InputError(
                f"{self.folder} has {len(paths)} images but a homography H_1_{max(self.numbers)}: "
                f"add the missing images, or remove the file"
            )
        return paths


def find_sets(data: Path, names: Sequence[str]) -> list[HomographySet]:
    """Return the sets that sub-folders of `data` are or hold, in the order of their names.

    Without names those of `data` itself.

    Raises:
        InputError: a folder is missing, or neither a set nor a folder of sets.
    """
    if not data.is_dir():
        raise missing(data, "folder")
    found = [one for name in names for one in _sets_in(_sub_folder(data, name), name)]
    by_folder = {one.folder.resolve(): one for one in found or _sets_in(data, "")}
    return list(by_folder.values())


def read_homography(path: Path, size: Size) -> Float:
    """Read a matrix (3, 3) of nine numbers; its third coordinate is 1 at the centre of image 1.

    Raises:
        InputError: it is not there, has no nine numbers, or is singular.
    """
    try:
        H = np.array(path.read_text().split(), np.float64)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # also of what is no text
        raise InputError(f"{path} is no homography: nine numbers in three lines") from error
    if H.size != 9 or not np.isfinite(H).all():
        raise InputError(f"{path} is no homography: it needs nine finite numbers, not {H.size}")
    H = H.reshape(3, 3)
    depth = float(H[2] @ [(size[0] - 1) / 2, (size[1] - 1) / 2, 1])
    if not depth or abs(np.linalg.det(H / depth)) < 1e-12:
        raise InputError(f"{path} is singular: no homography between two images")
    return H / depth


def _sub_folder(data: Path, name: str) -> Path:
    folder = data / name
    if folder.is_dir():
        return folder
    inner = sorted(path for path in data.iterdir() if path.is_dir())
    known = [path.name for path in inner if any(_found_in(path, ""))]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    has = f"It has: {', '.join(known)}" if known else "It has no homography sets"
    raise InputError(f"{data} has no folder {name!r}. {hint}{has}")


def _sets_in(folder: Path, name: str) -> list[HomographySet]:
    found = list(_found_in(folder, name))
    if not found:
        raise InputError(
            f"{folder} is no homography set: it needs images and files H_1_2, H_1_3, ..., or "
            f"sub-folders that have them"
        )
    return found


def _found_in(folder: Path, name: str) -> Iterator[HomographySet]:
    """Yield the set that a folder is, or those of its sub-folders."""
    if own := _numbers(folder):
        yield HomographySet(folder, name or folder.resolve().name, own)
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if numbers := _numbers(inner):
            yield HomographySet(inner, f"{name}/{inner.name}".lstrip("/"), numbers)


def _numbers(folder: Path) -> tuple[int, ...]:
    matches = (_HOMOGRAPHY.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(k for k in (int(m[1]) for m in matches if m) if k > 1))


def _read(path: Path) -> Image:
    try:
        return read_image(path)
    except UndecodableError as error:
        raise InputError(str(path.parent / str(error))) from error


def _size(image: Image) -> Size:
    return image.shape[1], image.shape[0]


def _resized(image: Image, size: Size) -> Image:
    shrinks = image.shape[1] > size[0] or image.shape[0] > size[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _stretch(size: Size, target: Size) -> Float:
    """Return what carries pixels of an image into it stretched from edge to edge."""
    x, y = target[0] / size[0], target[1] / size[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], np.float64)
