"""Decodes image files, all of them in one way: grey stays grey, colour becomes RGB, both 8 bits.

EXIF rotation is applied, alpha is dropped, and 16 bits are reduced to their upper 8.
"""

from pathlib import Path

import cv2
import numpy as np

from nodes.sources.files import require_file
from nodes.sources.image_headers import CutOffError, image_size
from nodes.vision.images import Allocate, Image
from pipeline.errors import InputError

MAX_PIXELS = 150_000_000
"""A picture that claims more is refused before it is decoded."""


class UndecodableError(Exception):
    """An image file cannot be decoded; the message says why."""


def read_image(path: Path, empty: Allocate = np.empty) -> Image:
    """Read (H, W) or, in an array made by `empty`, (H, W, 3) uint8 from a file.

    Raises:
        UndecodableError: the file is not an image, is damaged, or claims too many pixels.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UndecodableError(f"{path.name} cannot be read: {error.strerror}") from error
    return decode_image(path.name, data, empty)


def decode_image(name: str, data: bytes, empty: Allocate = np.empty) -> Image:
    """Decode (H, W) or, in an array made by `empty`, (H, W, 3) uint8; `name` is for messages.

    Raises:
        UndecodableError: the data are not an image, are damaged, or claim too many pixels.
    """
    if not data:
        raise UndecodableError(f"{name} is empty (0 bytes)")
    _check_size(name, data)
    image = _decode(data, empty)
    if image is None:
        raise UndecodableError(f"{name} is damaged: it cannot be decoded")
    return image


def read_mask(path: Path) -> Image:
    """Read a mask (H, W) uint8, nonzero where the picture may be used.

    Raises:
        InputError: the file is missing or no image.
    """
    require_file(path, "mask file")
    try:
        image = read_image(path)
    except UndecodableError as error:
        raise InputError(str(path.parent / str(error))) from error
    return image if image.ndim == 2 else np.ascontiguousarray(image.max(axis=2))


def to_rgb(image: Image, empty: Allocate = np.empty) -> Image:
    """Turn what OpenCV decoded, grey or BGR, into grey or, in a new array, RGB."""
    if image.ndim == 2:
        return image
    picture = empty((*image.shape[:2], 3), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=picture), np.uint8)


def _check_size(name: str, data: bytes) -> None:
    try:
        size = image_size(data)
    except CutOffError as error:
        raise UndecodableError(f"{name} is cut off: its end is missing") from error
    if size is None:
        raise UndecodableError(f"{name} is not an image of a known format")
    if size[0] * size[1] > MAX_PIXELS:
        raise UndecodableError(
            f"{name} claims {size[0]}x{size[1]} pixels, more than the limit of {MAX_PIXELS} pixels"
        )


def _decode(data: bytes, empty: Allocate) -> Image | None:
    try:
        # IMREAD_UNCHANGED would ignore the EXIF rotation and keep alpha and 16 bits.
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        return None
    if image is None or image.dtype != np.uint8:
        return None
    return to_rgb(np.asarray(image, np.uint8), empty)
