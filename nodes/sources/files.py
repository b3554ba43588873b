"""Files as users name them: missing ones with a near guess, lists of images in natural order."""

import difflib
import glob
import re
from pathlib import Path

from pipeline.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"}
)
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"}
    | {".wmv", ".flv", ".ogv", ".3gp", ".mjpeg", ".mjpg", ".h264", ".hevc", ".mxf"}
)
NOT_FRAMES = frozenset({"mask.png"})


def missing(path: Path, what: str = "file") -> InputError:
    """Build the error for a path that does not exist, with the nearest name beside it."""
    if path.is_symlink():
        return InputError(f"{path} is a symbolic link that leads nowhere: to {path.readlink()}")
    folder = path.absolute().parent
    if not folder.is_dir():
        return InputError(f"no such {what}: {path} (there is no folder {folder})")
    near = difflib.get_close_matches(path.name, sorted(p.name for p in folder.iterdir()), n=1)
    hint = f". Did you mean {str(path.with_name(near[0]))!r}?" if near else ""
    return InputError(f"no such {what}: {path}{hint}")


def require_file(path: Path, what: str = "file") -> None:
    """Check that `path` is a file with content.

    Raises:
        InputError: it is missing, a folder or empty.
    """
    if not path.exists():
        raise missing(path, what)
    if not path.is_file():
        raise InputError(f"{path} is a folder, not a {what}")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes)")


def is_glob(target: str) -> bool:
    """Say whether a user's path is a pattern: it has a wildcard and does not exist literally."""
    return any(c in target for c in "*?[") and not Path(target).exists()


def list_images(target: str) -> list[Path]:
    """Return the images of a folder or a glob in natural order; hidden files are left out.

    Raises:
        InputError: the folder does not exist, or there is no image.
    """
    if is_glob(target):
        found = [Path(p) for p in glob.glob(target, recursive=True)]  # noqa: PTH207 absolute patterns
    elif Path(target).is_dir():
        found = list(Path(target).iterdir())
    elif Path(target).exists():
        raise InputError(f"{target} is a file, not a folder of images")
    else:
        raise missing(Path(target), "folder")
    images = sorted((p for p in found if is_image_name(p)), key=_natural)
    if not images:
        kinds = " ".join(sorted(s[1:] for s in IMAGE_SUFFIXES))
        where = "matches no image" if is_glob(target) else "holds no image"
        raise InputError(f"{target} {where} ({len(found)} other files; images are: {kinds})")
    return images


def is_image_name(path: Path) -> bool:
    """Say whether a name is that of a frame: an image, not hidden, not a mask."""
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.name not in NOT_FRAMES
    )


def find_recording(folder: Path) -> Path | None:
    """Return frames/ or video.* of a dataset folder; None where the folder is no dataset."""
    if (folder / "frames").is_dir():
        return folder / "frames"
    videos = (p for p in sorted(folder.glob("video.*")) if p.suffix.lower() in VIDEO_SUFFIXES)
    return next(videos, None)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key in which frame2 comes before frame10."""
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces]
