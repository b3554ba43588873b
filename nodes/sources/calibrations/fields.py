"""Takes numbers out of a calibration file; a fault is a ValueError with key and value."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nodes.vision import fisheye, radtan

Entries = Mapping[str, Any]


def get(entries: Entries, key: str) -> Any:
    """Return what stands under a key."""
    if key not in entries:
        near = difflib.get_close_matches(key, [str(k) for k in entries], n=1)
        raise ValueError(f"the key {key!r} is missing" + (f"; is it {near[0]!r}?" if near else ""))
    return entries[key]


def number(entries: Entries, key: str, positive: bool = False) -> float:
    """Return a finite number."""
    value = get(entries, key)
    try:
        found = math.nan if isinstance(value, bool) else float(value)  # YAML takes 1e-4 for a text
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found) or (positive and found <= 0):
        raise ValueError(f"{key} must be a {'positive ' * positive}number, not {value!r}")
    return found


def size(entries: Entries, key: str) -> int:
    """Return a number of pixels."""
    value = number(entries, key, positive=True)
    if not value.is_integer():
        raise ValueError(f"{key} must be a whole number of pixels, not {value}")
    return int(value)


def numbers(entries: Entries, key: str) -> list[float]:
    """Return the numbers of a list, or of a mapping with rows, cols and data."""
    value = get(entries, key)
    value = value.get("data") if isinstance(value, Mapping) else value
    if not isinstance(value, list):
        raise ValueError(f"{key} must be a list of numbers, not {value!r}")
    return [number({key: entry}, key) for entry in value]


def matrix(entries: Entries, key: str) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of a camera matrix without skew."""
    k = numbers(entries, key)
    if len(k) != 9 or k[0] <= 0 or k[4] <= 0 or [k[1], k[3], *k[6:]] != [0, 0, 0, 0, 1]:
        raise ValueError(f"{key} must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], not {k}")
    return k[0], k[4], k[2], k[5]


def coefficients(coeffs: Sequence[float], key: str, is_fisheye: bool) -> tuple[float, ...]:
    """Return the shortest list of coefficients that means the same: () where all are zero."""
    allowed = (fisheye.NUM_COEFFS,) if is_fisheye else radtan.NUM_COEFFS
    if any(coeffs) and len(coeffs) not in allowed:
        *most, last = map(str, allowed)
        counts = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{key} must have {counts} numbers, not {len(coeffs)}: {list(coeffs)}")
    fitting = (n for n in (0, *allowed) if not any(coeffs[n:]))
    return tuple(coeffs[: next(fitting, len(coeffs))])
