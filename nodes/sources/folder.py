"""A folder of images, or a glob, as one recording."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

from nodes.sources.base import Picture, Selection
from nodes.sources.exif import ExifFocal, common_focal
from nodes.sources.files import is_glob, list_images
from nodes.sources.images import UndecodableError, read_image
from nodes.sources.recorded import Recorded
from nodes.sources.sidecars import Sidecars
from nodes.vision.camera import Camera
from pipeline.errors import InputError


class Folder(Recorded):
    """Images in the natural order of their names, with what stands beside them.

    Times come from timestamps.txt where there is one, else from `fps`.
    """

    @dataclass(frozen=True)
    class Options:
        """Which images, and how fast they were taken."""

        path: Annotated[str, "folder of images, or a glob such as 'shots/*.png'"] = ""
        fps: Annotated[float, "rate in Hz where there is no timestamps.txt"] = 30.0

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a folder of images or a glob, not ''")
            if not 0 < self.fps <= 1e6:
                raise ValueError(f"fps must be above 0 and at most 1000000 Hz, not {self.fps}")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._images: list[Path] = []
        self._stamps: list[int] = []
        self._exif: ExifFocal | None = None

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder, or above it if it is called frames."""
        path = Path(self.options.path)
        return Sidecars.of_images(path.parent if is_glob(self.options.path) else path)

    @property
    def camera(self) -> Camera | None:
        """Return the calibration beside the images, else, once open, what their EXIF data say."""
        calibrated = super().camera
        if calibrated or self._exif is None or self.size is None:
            return calibrated
        return Camera.uncalibrated(*self.size, self._exif.focal_px(*self.size), "exif")

    def open(self, warn: Callable[[str], None]) -> None:
        """List the images and read their times."""
        self._images = list_images(self.options.path)
        self._stamps = self._read_stamps(len(self._images))
        self.size = self._first_size()
        self._exif, agree = common_focal(self._images)
        if not agree and not self.sidecars.calibration:
            warn(f"{self.name}: the photos were zoomed; their EXIF focal lengths are not used")

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected images; one that cannot be decoded has a reason instead."""
        for index in selection.indices(len(self._images)):
            try:
                image = read_image(self._images[index], self.empty)
                yield Picture(index, self._stamps[index], image)
            except UndecodableError as error:
                yield Picture(index, self._stamps[index], None, str(error))

    def length(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def _read_stamps(self, count: int) -> list[int]:
        stamps = self.read_stamps()
        if stamps is None:
            return [round(i * 1e9 / self.options.fps) for i in range(count)]
        if len(stamps) != count:
            raise InputError(
                f"{self.sidecars.timestamps} has {len(stamps)} times, but there are {count} images"
                f" in {self.name}: one line for each image is expected"
            )
        return stamps

    def _first_size(self) -> tuple[int, int] | None:
        """Return the size of the first image that can be decoded, if it is among the first ten."""
        for path in self._images[:10]:
            try:
                height, width = read_image(path).shape[:2]
            except UndecodableError:
                continue
            return width, height
        return None
