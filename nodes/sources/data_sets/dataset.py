"""A dataset folder: frames/ or video.*, with calibration, timestamps, ground truth and mask.

The files are intrinsics.yaml, timestamps.txt (seconds, one a line), groundtruth.txt (a TUM
trajectory, T_world_cam, camera axes x right, y down, z forward) and mask.png.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

from nodes.sources.base import Picture, Selection
from nodes.sources.files import find_recording, missing
from nodes.sources.folder import Folder
from nodes.sources.recorded import Recorded
from nodes.sources.sidecars import Sidecars
from nodes.sources.video import Video
from nodes.vision.camera import Camera
from pipeline.errors import InputError


class Dataset(Recorded):
    """A recording with what belongs to it, in one folder."""

    @dataclass(frozen=True)
    class Options:
        """Which folder, and how fast its images were taken."""

        path: Annotated[str, "folder with frames/ or video.*"] = ""
        fps: Annotated[float, "rate in Hz of frames/ where there is no timestamps.txt"] = 30.0

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a dataset folder, not ''")
            if not 0 < self.fps <= 1e6:
                raise ValueError(f"fps must be above 0 and at most 1000000 Hz, not {self.fps}")

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._recording: Folder | Video | None = None

    @cached_property
    def sidecars(self) -> Sidecars:
        """Return what stands in the folder."""
        return Sidecars.beside(Path(self.options.path))

    @property
    def camera(self) -> Camera | None:
        """Return the calibration in the folder, else, once open, what the recording itself says."""
        calibrated = super().camera
        return self._recording.camera if calibrated is None and self._recording else calibrated

    def open(self, warn: Callable[[str], None]) -> None:
        """Find the recording and open it."""
        self._recording = self._find()
        self._recording.empty = self.empty
        self._recording.open(warn)
        self.size = self._recording.size

    def frames(self, selection: Selection) -> Iterator[Picture]:
        """Yield the selected pictures; timestamps.txt comes before a video's own times."""
        assert self._recording is not None, "open comes first"
        pictures = self._recording.frames(selection)
        stamps = self.read_stamps()
        return pictures if stamps is None else (self._stamped(p, stamps) for p in pictures)

    def length(self) -> int | None:
        """Return the number of pictures that the recording claims."""
        return self._recording.length() if self._recording else None

    def _find(self) -> Folder | Video:
        folder = Path(self.options.path)
        found = find_recording(folder)
        if found is None and folder.is_dir():
            raise InputError(f"{folder} is no dataset: it has neither frames/ nor video.*")
        if found is None:
            raise missing(folder, "folder")
        if found.is_dir():
            return Folder(Folder.Options(str(found), self.options.fps))
        return Video(Video.Options(str(found)))

    def _stamped(self, picture: Picture, stamps: list[int]) -> Picture:
        if picture.index >= len(stamps):
            raise InputError(
                f"{self.sidecars.timestamps} has {len(stamps)} times, but the recording has more "
                "pictures: one line for each is expected"
            )
        return replace(picture, stamp_ns=stamps[picture.index])
