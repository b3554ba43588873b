"""TUM RGB-D sequences: rgb.txt with `stamp path` a line, rgb/, groundtruth.txt; depth is not read.

Layout and calibrations: Sturm et al., "A Benchmark for the Evaluation of RGB-D SLAM Systems",
IROS 2012, and its page "File Formats".
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from nodes.sources.base import GroundTruth
from nodes.sources.data_sets.listed import Entry, Listed
from nodes.sources.data_sets.truth import at_images
from nodes.sources.text_files import check_rises, nanoseconds, read_lines
from nodes.vision.camera import Camera
from pipeline.errors import InputError

LIST = "rgb.txt"
CAMERAS: dict[str, tuple[float, float, float, float, tuple[float, ...]]] = {
    "freiburg1": (517.3, 516.5, 318.6, 255.3, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": (520.9, 521.0, 325.1, 249.7, (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": (535.4, 539.2, 320.1, 247.6, ()),
}
"""fx, fy, cx, cy, distortion of the published colour cameras, 640x480 pixels."""


class Tum(Listed):
    """The colour images of a sequence, with the exact times of rgb.txt.

    The sequence does not say which camera took it, so its calibration is that of the option
    `camera` or of a file beside it, and never assumed.
    """

    @dataclass(frozen=True)
    class Options:
        """Which sequence, and which of the published cameras took it."""

        path: Annotated[str, "folder with rgb.txt"] = ""
        camera: Annotated[str, "published calibration: freiburg1, freiburg2, freiburg3; ''"] = ""

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a folder with rgb.txt, not ''")
            if self.camera and self.camera not in CAMERAS:
                raise ValueError(
                    f"camera must be one of {', '.join(CAMERAS)}, or '', not {self.camera!r}"
                )

    def open(self, warn: Callable[[str], None]) -> None:
        """Read the list; offer the calibration that the name of the folder hints at."""
        super().open(warn)
        hint = next((name for name in CAMERAS if name in self.folder.absolute().name), None)
        if hint and self.camera is None:
            warn(
                f"{self.name}: its name says {hint}; take that camera's published calibration with "
                f"--set capture.params.options.camera={hint}"
            )

    @cached_property
    def entries(self) -> list[Entry]:
        """Return the images that rgb.txt lists."""
        path, entries = self.folder / LIST, list[Entry]()
        for number, words in read_lines(path):
            stamp = nanoseconds(words[0])
            if stamp is None or len(words) != 2:
                raise InputError(f"{path}:{number}: expected 'stamp path', not {' '.join(words)!r}")
            check_rises(path, number, words[0], stamp, [entry.stamp_ns for entry in entries[-1:]])
            entries.append(Entry(stamp, self.folder / words[1]))
        return entries

    def describe(self) -> str:
        """Say what it is, and that only the colour images are read."""
        return f"TUM RGB-D sequence of {self.length()} colour images (depth is not used)"

    def published_camera(self) -> Camera | None:
        """Return the camera that the options name."""
        if not self.options.camera:
            return None
        fx, fy, cx, cy, distortion = CAMERAS[self.options.camera]
        return Camera(640, 480, fx, fy, cx, cy, distortion)

    def groundtruth(self) -> GroundTruth | None:
        """Return T_world_cam at the times of the images, from groundtruth.txt (about 100 Hz)."""
        truth = super().groundtruth()
        return truth and at_images(truth, [entry.stamp_ns for entry in self.entries])
