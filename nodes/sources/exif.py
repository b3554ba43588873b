"""Reads the focal length of JPEG photos from their EXIF data (CIPA DC-008, Exif 2.32).

Whatever cannot be read, or makes no sense, is as good as absent.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from pathlib import Path

from nodes.sources.image_headers import jpeg_segments

MAX_BYTES = 1 << 17  # the EXIF segment has at most 64 KiB and is among the first
MAX_ENTRIES = 1000
MAX_IMAGES = 50
FILM_DIAGONAL_MM = hypot(36, 24)
MM_PER_UNIT = {2: 25.4, 3: 10.0}  # ResolutionUnit: inch, centimetre
PLAUSIBLE = (0.2, 50.0)  # focal lengths, times the longer side

EXIF_POINTER, FOCAL_LENGTH, FOCAL_LENGTH_35MM = 0x8769, 0x920A, 0xA405
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
PLANE_X_RESOLUTION, PLANE_UNIT = 0xA20E, 0xA210


@dataclass(frozen=True)
class ExifFocal:
    """A focal length relative to the size of the picture, whatever this is resized to."""

    per_diagonal: float | None
    per_longer: float | None

    def focal_px(self, width: int, height: int) -> float:
        """Return the focal length of a picture of this size."""
        if self.per_diagonal is not None:
            return self.per_diagonal * hypot(width, height)
        return (self.per_longer or 0.0) * max(width, height)


def common_focal(paths: Sequence[Path]) -> tuple[ExifFocal | None, bool]:
    """Return the focal length of the photos and whether they agree, from up to 50 among them.

    It is None where one of them has none, or another one.
    """
    step = -(-len(paths) // MAX_IMAGES) or 1
    found = {read_exif_focal(path) for path in paths[::step]}
    return (found.pop(), True) if len(found) == 1 else (None, not found or None in found)


def read_exif_focal(path: Path) -> ExifFocal | None:
    """Return the focal length of a photo, None where it has none that makes sense."""
    try:
        with path.open("rb") as file:
            return exif_focal(file.read(MAX_BYTES))
    except OSError:
        return None


def exif_focal(data: bytes) -> ExifFocal | None:
    """Return the focal length from the first bytes of a JPEG file, as `read_exif_focal` does."""
    try:
        tags = _exif_tags(data)
    except (struct.error, IndexError):
        return None
    return _from_film(tags) or _from_sensor(tags)


def _from_film(tags: Mapping[int, float]) -> ExifFocal | None:
    """By the focal length on 35 mm film with the same diagonal field of view.

    CIPA DCG-001 defines it by the diagonal; some makers go by the width, 4 % off where the picture
    is 4:3.
    """
    per_diagonal = tags.get(FOCAL_LENGTH_35MM, 0.0) / FILM_DIAGONAL_MM
    return ExifFocal(per_diagonal, None) if _is_plausible(per_diagonal) else None


def _from_sensor(tags: Mapping[int, float]) -> ExifFocal | None:
    """By the pixels per millimetre on the sensor."""
    longer = max(tags.get(PIXEL_WIDTH, 0.0), tags.get(PIXEL_HEIGHT, 0.0))
    unit_mm = MM_PER_UNIT.get(int(tags.get(PLANE_UNIT, 2)))
    if unit_mm is None or longer <= 0:
        return None
    focal_px = tags.get(FOCAL_LENGTH, 0.0) * tags.get(PLANE_X_RESOLUTION, 0.0) / unit_mm
    return ExifFocal(None, focal_px / longer) if _is_plausible(focal_px / longer) else None


def _is_plausible(focal: float) -> bool:
    return PLAUSIBLE[0] < focal < PLAUSIBLE[1]


def _exif_tags(data: bytes) -> Mapping[int, float]:
    """Return the numbers of the EXIF directory of a JPEG file."""
    if data[:3] != b"\xff\xd8\xff":
        return {}
    for marker, offset in jpeg_segments(data):
        if marker == 0xE1 and data[offset + 4 : offset + 10] == b"Exif\0\0":
            length = struct.unpack_from(">H", data, offset + 2)[0]
            tiff = data[offset + 10 : offset + 2 + length]
            order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
            if order is None:
                return {}
            first = _directory(tiff, struct.unpack_from(order + "I", tiff, 4)[0], order)
            return (
                _directory(tiff, int(first[EXIF_POINTER]), order) if EXIF_POINTER in first else {}
            )
    return {}


def _directory(tiff: bytes, start: int, order: str) -> dict[int, float]:
    """Return tag -> first value of SHORT (3), LONG (4) and RATIONAL (5) (TIFF 6.0, section 2)."""
    found: dict[int, float] = {}
    count = struct.unpack_from(order + "H", tiff, start)[0]
    for entry in range(start + 2, start + 2 + 12 * min(count, MAX_ENTRIES), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if kind in (3, 4):
            found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), tiff, entry + 8)[0]
        elif kind == 5:
            where = struct.unpack_from(order + "I", tiff, entry + 8)[0]
            numerator, denominator = struct.unpack_from(order + "II", tiff, where)
            found[tag] = numerator / denominator if denominator else 0.0
    return found
