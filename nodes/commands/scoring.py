"""Scores a run folder against ground truth, from the files that the recorder leaves there.

Ground truth and calibration come from the input that the run's `config.yaml` names, unless they
are given. Frames and true poses are paired by their stamps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.commands.run_folder import MatchedPoints, RecordedStream, Row, open_matches, read_streams
from nodes.sources import SOURCES
from nodes.sources.base import FrameSource, GroundTruth
from nodes.sources.calibration import read_calibration
from nodes.sources.files import missing
from nodes.sources.sidecars import read_tum
from nodes.vision.camera import Camera
from nodes.vision.evaluation import (
    MIN_FLOW_PX,
    MISSING_DEG,
    PairError,
    pair_stamps,
    relative_pose,
    score_pair,
    summarise,
    unexplained_flow,
)
from pipeline.errors import ConfigError, InputError, PosestreamError


@dataclass(frozen=True)
class StreamInput:
    """Where a stream came from: ground truth and camera, None where they are unknown."""

    name: str
    groundtruth: GroundTruth | None = None
    camera: Camera | None = None


def score_run(run: Path, groundtruth: Path | None = None) -> dict[str, Any]:
    """Score every stream of a run folder; streams without ground truth are named apart.

    Args:
        run: the run folder.
        groundtruth: a TUM file, or a folder of them (see `groundtruth_file`).

    Raises:
        InputError: the folder or the ground truth cannot be read, or they have no time in common.
        ConfigError: no stream has ground truth.
    """
    scores, failures = {}, {}
    streams = read_streams(run)
    inputs = stream_inputs(run)
    for stream in streams:
        given = groundtruth and groundtruth_file(groundtruth, stream.name, len(streams))
        try:
            scores[stream.name] = score_stream(stream, inputs.get(stream.name), given)
        except PosestreamError as error:
            failures[stream.name] = error
    if not scores:
        raise next(iter(failures.values()))
    return {
        "min_flow_px": MIN_FLOW_PX,
        "missing_pose_deg": MISSING_DEG,
        "streams": scores,
        "not_scored": {name: str(error) for name, error in failures.items()},
    }


def score_stream(
    stream: RecordedStream, source: StreamInput | None, given: Path | None
) -> dict[str, Any]:
    """Return the figures of one stream, as `evaluation.json` holds them."""
    source = source or StreamInput(stream.name)
    truth = read_tum(given) if given else source.groundtruth
    if truth is None:
        raise ConfigError(
            f"no ground truth is known for stream {stream.name!r} ({source.name}): "
            "name a TUM file with --groundtruth FILE"
        )
    with open_matches(stream.matches) as points:
        errors = list(pair_errors(stream.rows, truth, partial(_flow, points, source.camera)))
    if not errors:
        raise InputError(_no_overlap(stream, truth[0]))
    num_poses = sum(row["T_cur_prev"] is not None for row in stream.rows)
    return {
        "groundtruth": str(given or source.name),
        "num_pairs": len(stream.rows),
        "coverage": num_poses / len(stream.rows),
        "num_without_groundtruth": len(stream.rows) - len(errors),
        **summarise(errors),
    }


def pair_errors(
    rows: Sequence[Row],
    truth: GroundTruth,
    flow: Callable[[Row, npt.NDArray[np.float64]], float | None],
) -> Iterator[PairError]:
    """Yield the errors of the pairs with two true poses; `flow` takes row and true rotation."""
    stamps, poses = truth
    rows = [row for row in rows if row["stamp_ns_prev"] is not None]
    prev = pair_stamps(np.array([row["stamp_ns_prev"] for row in rows], np.int64), stamps)
    cur = pair_stamps(np.array([row["stamp_ns_cur"] for row in rows], np.int64), stamps)
    for row, i, j in zip(rows, prev, cur, strict=True):
        if i >= 0 and j >= 0 and i != j:  # one true pose for both says nothing of the motion
            true_T_cur_prev = relative_pose(poses[i], poses[j])
            T_cur_prev = row["T_cur_prev"] and np.array(row["T_cur_prev"])
            yield score_pair(T_cur_prev, true_T_cur_prev, flow(row, true_T_cur_prev[:3, :3]))


def _flow(
    points_of: MatchedPoints, camera: Camera | None, row: Row, R_cur_prev: npt.NDArray[np.float64]
) -> float | None:
    points = points_of(row)
    if points is None or camera is None:
        return None
    prev, cur = camera.undistort(points[:, :2]), camera.undistort(points[:, 2:])
    return unexplained_flow(prev, cur, camera.K, R_cur_prev)


# ---------------------------------------------------------------- the input of the run


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
    return StreamInput(source.name, source.groundtruth(), camera)


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


def _no_overlap(stream: RecordedStream, truth_ns: npt.NDArray[np.int64]) -> str:
    stamps = [row["stamp_ns_cur"] for row in stream.rows]
    covers = "covers {:.3f} s to {:.3f} s"
    truth = (
        covers.format(truth_ns.min() / 1e9, truth_ns.max() / 1e9) if len(truth_ns) else "is empty"
    )
    run = covers.format(min(stamps) / 1e9, max(stamps) / 1e9)
    return (
        f"0 of {len(stamps)} pairs of stream {stream.name!r} have ground truth at both times: "
        f"the ground truth {truth}, the run {run}"
    )
