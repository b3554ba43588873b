"""Reads three messages of ROS without a ROS installation: Image, CompressedImage and CameraInfo.

The fields are those of sensor_msgs. ROS 1 packs them without gaps in little-endian order; ROS 2
uses the Common Data Representation (OMG DDS-XTypes 1.3, section 7.4; XCDR version 1): four bytes
say the byte order, and every number is aligned to its own size, counted from behind them.
"""

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nodes.sources.calibrations.forms import camera_of
from nodes.vision.camera import Camera

IMAGE, COMPRESSED, CAMERA_INFO = (
    "sensor_msgs/Image",
    "sensor_msgs/CompressedImage",
    "sensor_msgs/CameraInfo",
)


class MalformedError(ValueError):
    """A message is not what its type says; the message says why."""


@dataclass(frozen=True, eq=False)
class RosImage:
    """An image as it was sent: raw rows of `step` bytes, or, with step 0, a compressed file."""

    stamp_ns: int
    """0 where the sender gave none."""
    encoding: str
    data: memoryview
    width: int = 0
    height: int = 0
    step: int = 0
    is_bigendian: bool = False


class _Cursor:
    """Takes one field after the other out of a message."""

    def __init__(self, data: bytes, is_cdr: bool) -> None:
        self._data = memoryview(data)
        self._is_cdr = is_cdr
        self._position = 0
        self._order: Literal["<", ">"] = "<"
        if is_cdr:
            if len(data) < 4 or data[0] != 0 or data[1] not in (0, 1):
                raise MalformedError(f"it is not in plain CDR ({bytes(data[:4]).hex(' ')})")
            self._data = self._data[4:]
            self._order = "<" if data[1] else ">"

    def number(self, code: str) -> int:
        """Take one whole number of the struct module's kind `code`."""
        return int(self.numbers(code, 1)[0])

    def numbers(self, code: str, count: int) -> npt.NDArray[np.generic]:
        """Take `count` numbers in a row."""
        size = struct.calcsize("=" + code)
        if self._is_cdr and count:
            self._position += -self._position % size
        dtype = np.dtype(code).newbyteorder(self._order)
        return np.frombuffer(self.take(size * count), dtype)

    def take(self, count: int) -> memoryview:
        """Take bytes."""
        start, end = self._position, self._position + count
        if end > len(self._data):
            raise MalformedError(f"it ends after {len(self._data)} bytes, {end} are claimed")
        self._position = end
        return self._data[start:end]

    def text(self) -> str:
        """Take a string; that of CDR ends with a NUL, which counts."""
        return bytes(self.take(self.number("I"))).rstrip(b"\0").decode("utf-8", "replace")

    def header(self) -> int:
        """Take a std_msgs/Header; return its stamp in nanoseconds."""
        if not self._is_cdr:
            self.number("I")  # seq, which ROS 2 no longer has
        seconds, nanoseconds = self.number("i" if self._is_cdr else "I"), self.number("I")
        self.text()  # frame_id
        return seconds * 10**9 + nanoseconds


def read_image(data: bytes, kind: str, is_cdr: bool) -> RosImage:
    """Read an Image or a CompressedImage.

    Raises:
        MalformedError: it is cut off or damaged.
    """
    cursor = _Cursor(data, is_cdr)
    stamp_ns = cursor.header()
    if kind == COMPRESSED:
        return RosImage(stamp_ns, cursor.text(), cursor.take(cursor.number("I")))
    height, width = cursor.number("I"), cursor.number("I")
    encoding = cursor.text()
    is_bigendian, step = bool(cursor.number("B")), cursor.number("I")
    rows = cursor.take(cursor.number("I"))
    return RosImage(stamp_ns, encoding, rows, width, height, step, is_bigendian)


def read_camera(data: bytes, is_cdr: bool, is_rectified: bool) -> Camera | None:
    """Read a CameraInfo; None where its K is zero, which says that nobody calibrated.

    Of rectified images P holds instead of K and the distortion (REP 104). The numbers are those of
    the full sensor: the region of interest and the binning are applied.

    Raises:
        MalformedError: it is cut off or damaged, or a value is wrong.
    """
    cursor = _Cursor(data, is_cdr)
    cursor.header()
    height, width = cursor.number("I"), cursor.number("I")
    model = cursor.text()
    D, K = cursor.numbers("d", cursor.number("I")), cursor.numbers("d", 9)
    P = cursor.numbers("d", 21)[9:]  # behind R
    binning = {key: cursor.number("I") for key in ("binning_x", "binning_y")}
    roi = {key: cursor.number("I") for key in ("x_offset", "y_offset", "height", "width")}
    D = D[:0] if is_rectified else D
    k = np.delete(P, [3, 7, 11]) if is_rectified else K
    if not k.any():
        return None
    entries = {
        "width": width, "height": height, "K": k.tolist(), "D": D.tolist(),
        "distortion_model": "" if is_rectified else model, "roi": roi, **binning,
    }  # fmt: skip
    try:
        return camera_of(entries)
    except ValueError as error:
        raise MalformedError(str(error)) from error
