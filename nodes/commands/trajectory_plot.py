"""Draws trajectories over the true path, seen square to the plane of its largest extent."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nodes.commands.palette import BLACK, PALE, VERMILION, series
from nodes.commands.trajectory_scoring import ScoredSegment, ScoredTrajectory
from nodes.vision.alignment import viewing_plane

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MAX_NAMED = 8
"""Segments with a line of their own in the legend."""


@dataclass(frozen=True, eq=False)
class View:
    """Looks at the world from where a path is widest; (0, 0) is its start."""

    axes: Float
    """(2, 3): right and up in the picture."""
    origin: Float
    is_wall: bool

    @classmethod
    def of_path(cls, T_world_cam: Float) -> "View":
        """Choose the view of a path (F, 4, 4), which may have NaN."""
        known = T_world_cam[np.isfinite(T_world_cam[:, 0, 0])]
        axes, is_wall = viewing_plane(known)
        return cls(axes, known[0, :3, 3], is_wall)

    @property
    def name(self) -> str:
        """Say where one looks from."""
        return "from the side" if self.is_wall else "from above"

    def project(self, points: Float) -> Float:
        """Return points (N, 3) of the world in the picture (N, 2)."""
        return np.asarray((points - self.origin) @ self.axes.T, np.float64)

    def name_axes(self, ax: Axes, unit: str) -> None:
        """Say what lies along the axes of the picture."""
        ax.set_xlabel(
            f"sideways ({unit})" if self.is_wall else f"along the largest extent ({unit})"
        )
        ax.set_ylabel(f"up ({unit})" if self.is_wall else f"across ({unit})")


def draw_trajectory(trajectory: ScoredTrajectory, title: str) -> Figure:
    """Draw every segment of a stream over the true path, each laid over it by its own Sim(3)."""
    figure, ax, view = _begin(trajectory)
    scored = [segment for segment in trajectory.segments if segment.is_scored]
    for index, segment in enumerate(scored):
        label = _segment_label(segment) if index < MAX_NAMED else None
        _draw_segment(ax, view, segment, series(index), label)
    _draw_missing(ax, view, trajectory)
    draw_start(ax)
    if len(scored) > MAX_NAMED:
        ax.plot([], [], " ", label=f"and {len(scored) - MAX_NAMED} more segments")
    num_short = len(trajectory.segments) - len(scored)
    if num_short:
        ax.plot([], [], " ", label=f"not drawn: {num_short} segments of too few poses to align")
    finish(figure, ax, f"{title}: trajectory {view.name}, segments aligned by Sim(3)")
    return figure


def draw_overlay(runs: Mapping[str, ScoredTrajectory], title: str) -> Figure:
    """Draw drawable trajectories of several runs of one input over the true path, in colours.

    The error of each is that of its longest segment.
    """
    figure, ax, view = _begin(next(iter(runs.values())))
    for index, (name, trajectory) in enumerate(runs.items()):
        scored = [segment for segment in trajectory.segments if segment.is_scored]
        _, rmse = max(scored, key=lambda segment: len(segment.frames)).errors()
        more = f", {len(trajectory.segments)} segments" if len(trajectory.segments) > 1 else ""
        label = f"{name}: ATE {rmse:.3g} m, {trajectory.is_placed.mean():.0%} of frames{more}"
        for segment in scored:
            _draw_segment(ax, view, segment, series(index), label)
            label = ""
    draw_start(ax)
    finish(figure, ax, f"{title}: trajectories {view.name}, segments aligned by Sim(3)")
    return figure


def _begin(trajectory: ScoredTrajectory) -> tuple[Figure, Axes, View]:
    """Return a figure with the true path, and the view of it."""
    view = View.of_path(trajectory.T_world_true)
    truth = view.project(trajectory.T_world_true[:, :3, 3])
    truth = truth[np.isfinite(truth[:, 0])]
    figure = Figure(figsize=size_for(truth), layout="constrained")
    ax = figure.add_subplot()
    ax.plot(*truth.T, color=PALE, linewidth=8, solid_capstyle="round", label="ground truth")
    view.name_axes(ax, "m")
    return figure, ax, view


def size_for(points: Float) -> tuple[float, float]:
    """Return the width and height of a figure, in inches, that suit points (N, 2) to be drawn."""
    width, height = np.ptp(points, axis=0)
    shape = np.clip(height / max(width, height, 1e-12), 0.3, 0.9)
    return 11, float(2.6 + 9 * shape)


def _draw_segment(
    ax: Axes, view: View, segment: ScoredSegment, colour: str, label: str | None
) -> None:
    draw_path(ax, segment.frames, view.project(segment.aligned), colour, label)


def draw_path(ax: Axes, frames: Int, points: Float, colour: str, label: str | None) -> None:
    """Draw points (N, 2) of frames (N,) as a line, broken where frames are missing."""
    _, points = broken(frames, points)
    dots = ".-" if len(points) <= 60 else "-"
    ax.plot(*points.T, dots, color=colour, linewidth=2.5, markersize=8, label=label)


def broken(frames: Int, values: Float) -> tuple[Float, Float]:
    """Put NaN between frames (N,) that do not follow each other, in them and in values (N, ...)."""
    gaps = np.flatnonzero(np.diff(frames) > 1) + 1
    return (
        np.insert(frames.astype(np.float64), gaps, np.nan),
        np.insert(values, gaps, np.nan, axis=0),
    )


def _segment_label(segment: ScoredSegment) -> str:
    _, rmse = segment.errors()
    return f"segment {segment.number}: {len(segment.frames)} poses, ATE {rmse:.3g} m"


def _draw_missing(ax: Axes, view: View, trajectory: ScoredTrajectory) -> None:
    """Mark on the true path where frames have no place."""
    missing = ~trajectory.is_placed
    points = view.project(trajectory.T_world_true[missing, :3, 3])
    if missing.any():
        label = f"no pose: {missing.sum()} of {len(missing)} frames"
        ax.plot(*points.T, "x", color=VERMILION, markersize=7, markeredgewidth=2, label=label)


def draw_start(ax: Axes) -> None:
    """Mark where the path begins."""
    ax.plot(0, 0, "o", color="white", markeredgecolor=BLACK, markersize=11, label="start", zorder=5)


def finish(figure: Figure, ax: Axes, title: str) -> None:
    """Give both axes the same scale, and put the legend below the data."""
    frame(ax, title)
    figure.legend(loc="outside lower center", ncols=2, handlelength=1.6, columnspacing=3)


def frame(ax: Axes, title: str) -> None:
    """Give both axes the same scale, some room, and a title."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.05, 0.12)
    ax.set_title(title, pad=12)
    ax.locator_params(nbins=9)
