"""Chooses what of several runs of one input is drawn over each other, and over what."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from nodes.commands.path_plot import draw_paths, paths_of
from nodes.commands.scoring import (
    NoGroundTruthError,
    ScoredStream,
    rescore_run,
    unscored_streams,
)
from nodes.commands.trajectory_plot import draw_overlay
from nodes.commands.trajectory_scoring import ScoredTrajectory

Draw = Callable[[], Figure]


def overlays(runs: Mapping[str, Path], groundtruth: Path | None) -> dict[str, Draw]:
    """Return for each stream with a trajectory how to draw the named runs' into one picture.

    They are drawn over the ground truth where every run has it, else over the first run.

    Raises:
        PosestreamError: a run cannot be read, or does not belong to the ground truth.
    """
    scored = {name: _scored(run, groundtruth) for name, run in runs.items()}
    plain = {name: unscored_streams(run) for name, run in runs.items()}
    streams = dict.fromkeys(stream for found in plain.values() for stream in found)
    drawn = {stream: _overlay(stream, scored, plain) for stream in streams}
    return {stream: draw for stream, draw in drawn.items() if draw is not None}


def _scored(run: Path, groundtruth: Path | None) -> Mapping[str, ScoredStream]:
    try:
        return rescore_run(run, groundtruth).streams
    except NoGroundTruthError:
        return {}


def _overlay(
    stream: str,
    scored: Mapping[str, Mapping[str, ScoredStream]],
    plain: Mapping[str, Mapping[str, ScoredStream]],
) -> Draw | None:
    title = next(found[stream].title for found in plain.values() if stream in found)
    if all(stream in found for found in scored.values()):
        over_truth = _trajectories(stream, scored)
        drawable = {name: t for name, t in over_truth.items() if t.is_drawable}
        if drawable:
            return partial(draw_overlay, drawable, title)
    paths = {name: t for name, t in _trajectories(stream, plain).items() if paths_of(t)}
    return partial(draw_paths, paths, title) if paths else None


def _trajectories(
    stream: str, runs: Mapping[str, Mapping[str, ScoredStream]]
) -> dict[str, ScoredTrajectory]:
    return {
        name: trajectory
        for name, found in runs.items()
        if stream in found and (trajectory := found[stream].trajectory)
    }
