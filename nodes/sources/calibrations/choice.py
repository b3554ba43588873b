"""Which camera of a file with several: `camchain.yaml#cam1`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def split_choice(path: Path) -> tuple[Path, str | None]:
    """Split FILE#NAME into the file and the camera's name, None where none is named."""
    name, mark, choice = path.name.rpartition("#")
    if not mark or not name or path.exists():
        return path, None
    return path.with_name(name), choice


def choose(cameras: Mapping[str, T], choice: str | None, path: Path) -> tuple[str, T]:
    """Return name and content of the chosen camera, or of the only one.

    Raises:
        ValueError: there is no such camera, or several and none is chosen.
    """
    names = ", ".join(cameras)
    if choice is not None and choice not in cameras:
        raise ValueError(f"there is no camera {choice!r}: it holds {names}")
    if choice is None and len(cameras) > 1:
        last = list(cameras)[-1]
        raise ValueError(
            f"it holds {len(cameras)} cameras ({names}): name one, such as --camera {path}#{last}"
        )
    name = next(iter(cameras)) if choice is None else choice
    return name, cameras[name]
