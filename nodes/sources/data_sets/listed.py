"""What the data sets share that list their images with times: TUM RGB-D, KITTI odometry, EuRoC."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nodes.sources.base import Picture, Selection
from nodes.sources.files import missing
from nodes.sources.image_headers import image_size
from nodes.sources.images import UndecodableError, read_image
from nodes.sources.recorded import Recorded
from nodes.sources.sidecars import Sidecars
from nodes.vision.camera import Camera
from pipeline.errors import InputError

MAX_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Entry:
    """One image that a list names; nobody has looked yet whether it is there."""

    stamp_ns: int
    path: Path


class Listed(Recorded):
    """Base of the data sets whose options have a `path` and that list their images.

    An image that is listed but missing has a reason in place of a picture, as a damaged one has.
    """

    @cached_property
    def folder(self) -> Path:
        """Return the folder that the user means; the one that is named, unless overridden."""
        return Path(self.options.path)

    @cached_property
    def entries(self) -> list[Entry]:
        """Return the images in their order, with times that rise.

        Raises:
            InputError: the list is missing or malformed.
        """
        raise NotImplementedError  # every data set overrides it

    def describe(self) -> str:
        """Say what it is, for the user."""
        raise NotImplementedError  # every data set overrides it

    def published_camera(self) -> Camera | None:
        """Return the calibration that the data set brings."""
        raise NotImplementedError  # every data set overrides it

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder beside the data set's own files."""
        return Sidecars.beside(self.folder)

    @property
    def camera(self) -> Camera | None:
        """Return the user's calibration in the folder, else the data set's, if it is there."""
        if not self.folder.is_dir():  # a run can be scored when its input is gone
            return None
        return super().camera or self.published_camera()

    def open(self, warn: Callable[[str], None]) -> None:
        """Read the list, and check that there are images at all."""
        if not self.folder.is_dir():
            raise missing(self.folder, "folder")
        if not self.entries:
            raise InputError(f"{self.name} lists no image")
        first = self.first_image
        if first is None:
            raise InputError(
                f"{self.name} lists {len(self.entries)} images, but none is there: there is no "
                f"{self.entries[0].path}"
            )
        self.size = header_size(first)

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected images; one that is missing or damaged has a reason instead."""
        for index in selection.indices(len(self.entries)):
            entry = self.entries[index]
            try:
                yield Picture(index, entry.stamp_ns, read_image(entry.path, self.empty))
            except UndecodableError as error:
                yield Picture(index, entry.stamp_ns, None, str(error))

    def length(self) -> int:
        """Return the number of images that are listed."""
        return len(self.entries)

    @cached_property
    def first_image(self) -> Path | None:
        """Return the first listed image that is there."""
        return next((entry.path for entry in self.entries if entry.path.is_file()), None)


def header_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) as the first bytes of an image say; None for what is no image."""
    with path.open("rb") as file:
        try:
            return image_size(file.read(MAX_HEADER_BYTES))
        except ValueError:
            return None
