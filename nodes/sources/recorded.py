"""What all recordings in files share: a path, and what stands beside it."""

from functools import cached_property
from pathlib import Path

from nodes.sources.base import FrameSource, GroundTruth
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.images import read_mask
from nodes.sources.sidecars import Sidecars
from nodes.sources.text_files import read_timestamps, read_tum
from nodes.vision.camera import Camera
from nodes.vision.images import Image


class Recorded(FrameSource):
    """Base of the sources whose options have a `path`."""

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return the files that stand beside the recording."""
        raise NotImplementedError  # every recording overrides it

    @property
    def name(self) -> str:
        """Return the path as the user gave it."""
        return str(self.options.path)

    @property
    def camera(self) -> Camera | None:
        """Return the calibration beside the recording."""
        path = self.sidecars.calibration
        return read_calibration(path) if path else None

    @property
    def mask(self) -> Image | None:
        """Return the mask beside the recording."""
        return read_mask(self.sidecars.mask) if self.sidecars.mask else None

    @property
    def groundtruth_file(self) -> Path | None:
        """Return where the true poses stand."""
        return self.sidecars.groundtruth

    def groundtruth(self) -> GroundTruth | None:
        """Return the trajectory in groundtruth.txt."""
        return read_tum(self.groundtruth_file) if self.groundtruth_file else None

    def read_stamps(self) -> list[int] | None:
        """Return the times in timestamps.txt, nanoseconds."""
        return read_timestamps(self.sidecars.timestamps) if self.sidecars.timestamps else None
