"""Finds ground truth and calibration of the inputs that the `config.yaml` of a run names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.sources import SOURCES
from nodes.sources.base import FrameSource, GroundTruth
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.data_sets.dataset import Dataset
from nodes.sources.files import find_recording, missing
from nodes.sources.folder import Folder
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError, InputError


@dataclass(frozen=True)
class StreamInput:
    """Where a stream came from: ground truth and camera, None where they are unknown."""

    name: str
    groundtruth: GroundTruth | None = None
    camera: Camera | None = None
    counted_fps: float | None = None
    """Rate in Hz at which images without times are counted; None where the input has times."""


def stream_inputs(run: Path) -> dict[str, StreamInput]:
    """Rebuild the sources that a run's configuration names, by stream, without opening them."""
    path = run / "config.yaml"
    if not path.is_file():
        return {}
    nodes = read_config(path).get("nodes", {})
    captures = {name: node for name, node in nodes.items() if node.get("type") == "capture"}
    return {name: _stream_input(node.get("params") or {}) for name, node in captures.items()}


def _stream_input(params: Mapping[str, Any]) -> StreamInput:
    source: FrameSource = SOURCES.create(params["source"], params.get("options"))
    calibration = params.get("camera")
    camera = read_calibration(Path(calibration)) if calibration else source.camera
    return StreamInput(source.name, source.groundtruth(), camera, _counted_fps(source))


def _counted_fps(source: FrameSource) -> float | None:
    if not isinstance(source, Folder | Dataset) or source.sidecars.timestamps:
        return None
    is_images = isinstance(source, Folder)
    if not is_images:
        recording = find_recording(Path(source.options.path))
        is_images = recording is not None and recording.is_dir()
    return float(source.options.fps) if is_images else None


def read_config(path: Path) -> Mapping[str, Any]:
    """Read a resolved configuration as plain data."""
    from pipeline import config

    return config.load(path).resolved


def groundtruth_file(path: Path, stream: str, num_streams: int) -> Path:
    """Return the file of a stream: `path`, or in a folder STREAM.tum, STREAM.txt, groundtruth.txt.

    Raises:
        InputError: there is no such file.
        ConfigError: one file is named for several streams.
    """
    if path.is_dir():
        shared = ["groundtruth.txt"] if num_streams == 1 else []
        names = [f"{stream}.tum", f"{stream}.txt", *shared]
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise InputError(f"{path} holds no ground truth of {stream!r}: no {', '.join(names)}")
        return found
    if not path.exists():
        raise missing(path, "ground truth")
    if num_streams > 1:
        raise ConfigError(
            f"--groundtruth {path} is one file, but the run has {num_streams} streams: "
            f"name a folder with {stream}.tum and so on"
        )
    return path
