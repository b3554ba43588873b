"""Scores a run folder against ground truth, from the files that the recorder leaves there.

Ground truth and calibration come from the input that the run's `config.yaml` names, unless they
are given. Frames and true poses are paired by their stamps.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.commands.evaluate import RESULT_FILE
from nodes.commands.pair_scoring import (
    ScoredPair,
    pair_figures,
    score_pairs,
    unknown_flow_reason,
)
from nodes.commands.run_folder import RecordedStream, Row, read_streams
from nodes.commands.run_input import StreamInput, groundtruth_file, stream_inputs
from nodes.commands.trajectory_scoring import (
    ScoredTrajectory,
    score_trajectory,
    trajectory_figures,
)
from nodes.sources.base import GroundTruth
from nodes.sources.text_files import read_tum
from nodes.vision.evaluation import MIN_FLOW_PX, MISSING_DEG
from pipeline.errors import ConfigError, InputError, PosestreamError

NO_TRAJECTORY = "the run wrote no trajectory"
DRAW_INSTEAD = ", or draw the path itself: posestream compare RUN --plot path.png"
NO_TRUTH: GroundTruth = np.empty(0, np.int64), np.empty((0, 4, 4))


class NoGroundTruthError(ConfigError):
    """No ground truth was given, and none lies beside the input."""


@dataclass(frozen=True, eq=False)
class ScoredStream:
    """A stream beside its ground truth."""

    name: str
    input: str
    """What the stream was made from."""
    groundtruth: str | None
    """Where the truth was read, None where there is none."""
    rows: Sequence[Row]
    pairs: Sequence[ScoredPair]
    trajectory: ScoredTrajectory | None
    unknown_flow_reason: str | None = None
    """Why it is not known of some pairs how far the picture moves, where that is so."""

    @property
    def title(self) -> str:
        """What pictures call the stream: its input, and its name if that says more."""
        source = Path(self.input).name
        return source if self.name in (source, "capture") else f"{source}, {self.name}"

    def figures(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds of the stream."""
        return {
            "input": self.input,
            "groundtruth": self.groundtruth,
            **pair_figures(self.rows, self.pairs),
            "unknown_flow_reason": self.unknown_flow_reason,
            "trajectory": self.trajectory and trajectory_figures(self.trajectory),
            "trajectory_note": None if self.trajectory else NO_TRAJECTORY,
        }


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """The streams of a run that could be scored, by name, and why the others could not."""

    streams: Mapping[str, ScoredStream]
    failures: Mapping[str, str]

    @property
    def has_trajectory(self) -> bool:
        """Whether some stream has a trajectory that can be drawn."""
        found = (stream.trajectory for stream in self.streams.values())
        return any(trajectory is not None and trajectory.is_drawable for trajectory in found)

    def figures(self) -> dict[str, Any]:
        """Return the content of `evaluation.json`."""
        return {
            "min_flow_px": MIN_FLOW_PX,
            "missing_pose_deg": MISSING_DEG,
            "streams": {name: stream.figures() for name, stream in self.streams.items()},
            "not_scored": dict(self.failures),
        }


def score_run(run: Path, groundtruth: Path | None = None) -> ScoredRun:
    """Score every stream of a run folder; streams without ground truth are named apart.

    Args:
        run: the run folder.
        groundtruth: a TUM file, or a folder of them (see `groundtruth_file`).

    Raises:
        InputError: the folder or the ground truth cannot be read, or they have no time in common.
        NoGroundTruthError: no stream has ground truth.
    """
    scored, failures = {}, {}
    streams = read_streams(run)
    inputs = stream_inputs(run)
    for stream in streams:
        given = groundtruth and groundtruth_file(groundtruth, stream.name, len(streams))
        try:
            scored[stream.name] = score_stream(stream, inputs.get(stream.name), given)
        except PosestreamError as error:
            failures[stream.name] = error
    if not scored:  # truth that does not fit is worse news than none
        raise min(failures.values(), key=lambda error: isinstance(error, NoGroundTruthError))
    return ScoredRun(scored, {name: str(error) for name, error in failures.items()})


def rescore_run(run: Path, groundtruth: Path | None = None) -> ScoredRun:
    """Score a run once more, against the ground truth that its `evaluation.json` was made with."""
    path = run / RESULT_FILE
    if groundtruth is None and path.is_file():
        evaluation = json.loads(path.read_text("utf-8"))
        streams = evaluation["streams"].values()
        given = [Path(f["groundtruth"]) for f in streams if f["groundtruth"] != f["input"]]
        is_only = len(streams) + len(evaluation["not_scored"]) == 1
        groundtruth = (given[0] if is_only else given[0].parent) if given else None
    return score_run(run, groundtruth)


def score_stream(
    stream: RecordedStream, source: StreamInput | None, given: Path | None
) -> ScoredStream:
    """Put one stream beside its ground truth: the given file, or that of its source."""
    source = source or StreamInput(stream.name)
    truth = read_tum(given) if given else source.groundtruth
    if truth is None:
        raise NoGroundTruthError(
            f"no ground truth is known for stream {stream.name!r} ({source.name}): "
            f"name a TUM file with --groundtruth FILE{DRAW_INSTEAD if stream.segments else ''}"
        )
    pairs = score_pairs(stream, truth, source.camera)
    if not pairs:
        raise InputError(_no_overlap(stream, source, truth[0]))
    scored = _beside(stream, source.name, str(given or source.name), truth, pairs)
    if all(pair.error.flow_px is not None for pair in pairs):
        return scored
    return replace(scored, unknown_flow_reason=unknown_flow_reason(stream, source.camera))


def figures_without_truth(run: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of the streams whose inputs have no ground truth; errors are None.

    Raises:
        InputError: the folder cannot be read.
    """
    inputs = stream_inputs(run)
    known = {name for name, source in inputs.items() if source.groundtruth is not None}
    streams = unscored_streams(run, inputs)
    return {name: stream.figures() for name, stream in streams.items() if name not in known}


def unscored_streams(
    run: Path, inputs: Mapping[str, StreamInput] | None = None
) -> dict[str, ScoredStream]:
    """Return the streams of a run folder without the ground truth, even where there is one.

    Raises:
        InputError: the folder cannot be read.
    """
    inputs = stream_inputs(run) if inputs is None else inputs
    return {
        stream.name: _beside(
            stream, inputs.get(stream.name, StreamInput(stream.name)).name, None, NO_TRUTH, ()
        )
        for stream in read_streams(run)
    }


def _beside(
    stream: RecordedStream,
    source: str,
    groundtruth: str | None,
    truth: GroundTruth,
    pairs: Sequence[ScoredPair],
) -> ScoredStream:
    segments = stream.segments
    return ScoredStream(
        name=stream.name,
        input=source,
        groundtruth=groundtruth,
        rows=stream.rows,
        pairs=pairs,
        trajectory=None if segments is None else score_trajectory(stream.rows, segments, truth),
    )


def _no_overlap(
    stream: RecordedStream, source: StreamInput, truth_ns: npt.NDArray[np.int64]
) -> str:
    stamps = [row["stamp_ns_cur"] for row in stream.rows]
    covers = "covers {:.3f} s to {:.3f} s"
    truth = (
        covers.format(truth_ns.min() / 1e9, truth_ns.max() / 1e9) if len(truth_ns) else "is empty"
    )
    run = covers.format(min(stamps) / 1e9, max(stamps) / 1e9)
    return (
        f"0 of {len(stamps)} pairs of stream {stream.name!r} have ground truth at both times: "
        f"the ground truth {truth}, the run {run}{_counted(stream.name, source.counted_fps)}"
    )


def _counted(stream: str, fps: float | None) -> str:
    """Return what to do about frames that have no times of their own."""
    if fps is None:
        return ""
    return (
        f". Its images have no times: they are counted at {fps:g} Hz from 0 s. Give them a "
        "timestamps.txt (seconds, one a line), or run again with "
        f"--set {stream}.params.options.fps=HZ"
    )
