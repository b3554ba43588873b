"""What a suite is told, and where it finds its pictures: a recording, or a synthetic scene."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.measure import NotMeasuredError
from nodes.networks.weights import MANIFEST, find
from nodes.sources.base import Selection
from nodes.sources.files import list_images
from nodes.sources.synthetic import Synthetic

Image = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""(width, height), pixels."""

RECORDING = "redkitchen"
VGA: Size = (640, 480)
MAX_RENDERED = 8


@dataclass(frozen=True)
class Settings:
    """What the command line asks for."""

    data: Path
    """Folder of the recordings."""
    device: str = "cpu"
    """cpu or cuda."""
    repeats: int = 5
    quick: bool = False
    """Whether to show only that everything works: few frames, figures that mean nothing."""
    frames: int | None = None
    """Frames of a long run; None for the suite's own number."""

    def recording(self, name: str) -> Path:
        """Return the folder of a recording.

        Raises:
            NotMeasuredError: it is not there.
        """
        folder = self.data / name
        if not (folder / "frames").is_dir():
            raise NotMeasuredError(f"needs the recording {name}")
        return folder

    def clip(self, count: int, size: Size = VGA, *, grey: bool = True) -> list[Image]:
        """Return `count` frames of one size: of the recording, or synthetic ones where it lacks."""
        return list(load_clip(str(self.data / RECORDING), count, size, grey))

    @property
    def pictures(self) -> str:
        """Return what `clip` shows, for a note."""
        has_recording = (self.data / RECORDING / "frames").is_dir()
        return f"frames of {RECORDING}" if has_recording else "frames of the synthetic scene"

    def weights(self, name: str) -> Path:
        """Return a file of pretrained weights: where posestream finds it, or beside the recordings.

        Raises:
            NotMeasuredError: it is not there.
        """
        known = (find(entry) for entry in MANIFEST.values() if Path(name).name in entry.files)
        path = next((path for path in known if path), self.data.parent / "weights" / name)
        if not path.is_file():
            raise NotMeasuredError(f"needs the weights {name}")
        return path


@cache
def load_clip(folder: str, count: int, size: Size, grey: bool) -> tuple[Image, ...]:
    """Return the first `count` frames in `folder`, resized, as grey or RGB; many may share them."""
    if not (Path(folder) / "frames").is_dir():
        rendered = [_converted(image, size, grey) for image in _synthetic(count, size)]
        return tuple(rendered[there_and_back(seq, len(rendered))] for seq in range(count))
    paths = list_images(str(Path(folder) / "frames"))[:count]
    return tuple(_converted(_read(path), size, grey) for path in paths)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise NotMeasuredError(f"{path.name} cannot be decoded")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _synthetic(count: int, size: Size) -> Iterator[Image]:
    """Yield frames no larger than VGA, and not many: rendering takes a second each."""
    count, (width, height) = min(count, MAX_RENDERED), np.minimum(size, VGA).tolist()
    source = Synthetic(Synthetic.Options(frames=count, width=width, height=height))
    source.open(lambda text: None)
    yield from (p.image for p in source.frames(Selection()) if p.image is not None)


def _converted(image: Image, size: Size, grey: bool) -> Image:
    if image.shape[1::-1] != size:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) if grey else image


def there_and_back(seq: int, count: int) -> int:
    """Return the index of a frame of a recording of `count` frames that is played to and fro."""
    lap = max(1, 2 * (count - 1))
    return min(seq % lap, lap - seq % lap) if count > 1 else 0
