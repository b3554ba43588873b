"""Draws the paths of runs where no truth is known, laid over the segments of the first run.

Nothing is known of how the segments of a run lie to each other, so each has a picture of its own,
in its own unit. What the other runs have of the same frames is laid over it by a Sim(3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nodes.commands.palette import series
from nodes.commands.trajectory_plot import View, draw_path, draw_start, finish, frame, size_for
from nodes.commands.trajectory_scoring import MIN_POSES, ScoredSegment, ScoredTrajectory
from nodes.vision.alignment import align, rms

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MAX_PANELS = 4
"""Segments of the first run that have a picture."""


@dataclass(frozen=True, eq=False)
class PathSegment:
    """A segment of a run whose camera moved; the world and the unit are its own."""

    number: int
    stamps_ns: Int
    """(N,), rising."""
    frames: Int
    """(N,), index of each pose among the processed frames of its run."""
    T_world_cam: Float

    @property
    def positions(self) -> Float:
        """(N, 3)."""
        return self.T_world_cam[:, :3, 3]


@dataclass(frozen=True, eq=False)
class LaidOver:
    """A path in the world of another one."""

    path: PathSegment
    positions: Float
    """(N, 3)."""
    distances: Float
    """(C,), between the positions of the two at the frames that both have."""


def paths_of(trajectory: ScoredTrajectory) -> list[PathSegment]:
    """Return the segments that can be drawn, the longest first."""
    moved = [segment for segment in trajectory.segments if _has_moved(segment)]
    return [
        PathSegment(s.number, trajectory.stamps_ns[s.frames], s.frames, s.T_world_cam)
        for s in sorted(moved, key=lambda segment: -len(segment.frames))
    ]


def _has_moved(segment: ScoredSegment) -> bool:
    return bool(np.ptp(segment.T_world_cam[:, :3, 3], axis=0).max() > 0)


def lay_over(path: PathSegment, reference: PathSegment) -> LaidOver | None:
    """Lay a path over another one by Sim(3); None where too few frames are common to both."""
    _, own, others = np.intersect1d(path.stamps_ns, reference.stamps_ns, return_indices=True)
    estimated, wanted = path.positions[own], reference.positions[others]
    if len(own) < MIN_POSES or not np.ptp(estimated, axis=0).any():
        return None
    similarity = align(estimated, wanted, with_scale=True)
    distances = np.linalg.norm(similarity.apply(estimated) - wanted, axis=1)
    return LaidOver(path, similarity.apply(path.positions), distances)


def draw_paths(runs: Mapping[str, ScoredTrajectory], title: str) -> Figure:
    """Draw the longest segments of the first run, and the other runs laid over them.

    The first run must have a segment that `paths_of` returns.
    """
    name, *others = runs
    paths = paths_of(runs[name])
    shown = paths[:MAX_PANELS]
    figure, axes = _begin(shown)
    laid = {other: set[int]() for other in others}
    for index, (ax, path) in enumerate(zip(axes, shown, strict=True)):
        view = View.of_path(path.T_world_cam)
        part = "longest segment" if index == 0 else f"segment {path.number}"
        view.name_axes(ax, f"units of {name}'s {part}")
        share = len(path.frames) / len(runs[name].stamps_ns)
        label = f"{name}: segment {path.number}, {len(path.frames)} poses, {share:.0%} of frames"
        draw_path(ax, path.frames, view.project(path.positions), series(0), label)
        for colour, other in enumerate(others, 1):
            found = [over for p in paths_of(runs[other]) if (over := lay_over(p, path))]
            _draw_laid_over(ax, view, found, series(colour), other)
            laid[other] |= {over.path.number for over in found}
        draw_start(ax)
    num_left = {name: len(runs[name].segments) - len(shown)}
    num_left |= {other: len(runs[other].segments) - len(laid[other]) for other in others}
    _note_left_out(axes[0], num_left)
    _finish(figure, axes, shown, title, name)
    return figure


def _begin(paths: Sequence[PathSegment]) -> tuple[Figure, list[Axes]]:
    if len(paths) == 1:
        points = View.of_path(paths[0].T_world_cam).project(paths[0].positions)
        figure = Figure(figsize=size_for(points), layout="constrained")
        return figure, [figure.add_subplot()]
    num_rows = (len(paths) + 1) // 2
    figure = Figure(figsize=(15, 1 + 6.5 * num_rows), layout="constrained")
    return figure, [figure.add_subplot(num_rows, 2, i + 1) for i in range(len(paths))]


def _draw_laid_over(
    ax: Axes, view: View, found: Sequence[LaidOver], colour: str, name: str
) -> None:
    """Draw what a run has of a path; the legend tells how far the two are apart."""
    distances = np.concatenate([over.distances for over in found]) if found else np.empty(0)
    label = f"{name}: {rms(distances):.3g} apart (RMS), {len(distances)} common frames"
    for over in found:
        draw_path(ax, over.path.frames, view.project(over.positions), colour, label)
        label = ""


def _note_left_out(ax: Axes, num_left: Mapping[str, int]) -> None:
    for name, number in num_left.items():
        if number:
            what = f"{number} segment{'s' * (number > 1)} of {name}"
            ax.plot([], [], " ", label=f"not drawn: {what}, short or without common frames")


def _finish(
    figure: Figure, axes: Sequence[Axes], paths: Sequence[PathSegment], title: str, name: str
) -> None:
    views = [View.of_path(path.T_world_cam).name for path in paths]
    if len(axes) == 1:
        finish(figure, axes[0], f"{title}: path {views[0]}, no ground truth is known")
        return
    figure.suptitle(
        f"{title}: the {len(axes)} longest segments of {name}, each in a world of its own; "
        "no ground truth is known",
        x=0.01,
        horizontalalignment="left",
    )
    for ax, path, view in zip(axes, paths, views, strict=True):
        frame(ax, f"segment {path.number} {view}")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), handlelength=1.6)
