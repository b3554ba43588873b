"""Photographs of a folder: which are learnt from, and which are held out."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from nodes.networks.superpoint import CELL
from nodes.sources.files import IMAGE_SUFFIXES
from pipeline.errors import InputError

Image = npt.NDArray[np.uint8]

EVERY_VALIDATION = 20
"""One photograph in so many is never learnt from."""
KEPT = 4096
"""Photographs that stay in memory."""


class Photographs:
    """The photographs of a folder, in the order of their names; grey."""

    def __init__(self, folder: Path, short_side: int) -> None:
        """Find them.

        Raises:
            InputError: there are too few.
        """
        self.folder, self._short_side = folder, short_side
        files = folder.rglob("*") if folder.is_dir() else ()
        self.names = sorted(
            str(path.relative_to(folder)) for path in files if path.suffix.lower() in IMAGE_SUFFIXES
        )
        if len(self.names) < EVERY_VALIDATION:
            raise InputError(
                f"{folder}: {len(self.names)} photographs, at least {EVERY_VALIDATION} are needed: "
                f"give --images a folder of {', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        indices = np.arange(len(self.names))
        is_validation = indices % EVERY_VALIDATION == EVERY_VALIDATION - 1
        self.training, self.validation = indices[~is_validation], indices[is_validation]
        self.read = lru_cache(KEPT)(self._read)

    def __len__(self) -> int:
        return len(self.names)

    def _read(self, index: int) -> Image:
        """Return the photograph (H, W) of an index, its short side reduced to what was asked.

        Raises:
            InputError: it cannot be decoded.
        """
        path = self.folder / self.names[index]
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None
        if image is None:
            raise InputError(f"{path}: cannot be decoded as a picture: delete it")
        scale = self._short_side / min(image.shape)
        if scale < 1:
            size = tuple(max(CELL, round(length * scale)) for length in reversed(image.shape))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)
