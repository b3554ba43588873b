"""Finds what stands beside an input: its calibration, timestamps, ground truth and mask."""

from dataclasses import dataclass
from pathlib import Path

CALIBRATION_NAMES = (
    "intrinsics.yaml", "camera.yaml", "calibration.yaml", "camera_info.yaml", "camchain.yaml",
    "cameras.txt",
)  # fmt: skip


@dataclass(frozen=True)
class Sidecars:
    """Paths of the files that accompany an input; None where there is none."""

    calibration: Path | None = None
    timestamps: Path | None = None
    groundtruth: Path | None = None
    mask: Path | None = None

    @classmethod
    def of_images(cls, folder: Path) -> "Sidecars":
        """Look in the folder of the images, and in its parent if the folder is called frames."""
        folder = folder.absolute()
        return cls.beside(folder, *([folder.parent] if folder.name == "frames" else []))

    @classmethod
    def beside(cls, *folders: Path) -> "Sidecars":
        """Look in these folders, the first first."""

        def find(*names: str) -> Path | None:
            paths = (folder / name for folder in folders for name in names)
            return next((path for path in paths if path.is_file()), None)

        return cls(
            calibration=find(*CALIBRATION_NAMES),
            timestamps=find("timestamps.txt"),
            groundtruth=find("groundtruth.txt"),
            mask=find("mask.png"),
        )
