"""Draws the errors of a stream over time: the trajectory's, the pairs', and what they rest on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

from nodes.commands.pair_scoring import LABELS, ScoredPair, label_of
from nodes.commands.palette import BLUE, GREY, PALE, VERMILION, series
from nodes.commands.palette import LABELS as LABEL_COLOURS
from nodes.commands.run_folder import Row
from nodes.commands.scoring import ScoredStream
from nodes.commands.trajectory_plot import MAX_NAMED, broken
from nodes.commands.trajectory_scoring import ScoredTrajectory

Float = npt.NDArray[np.float64]

SMALLEST_DEG = 1e-3  # the lower edge of a logarithmic scale, which has no zero


def draw_errors(stream: ScoredStream) -> Figure:
    """Draw absolute error, rotation error, direction error, and inliers with labels, over time."""
    trajectory = stream.trajectory if stream.trajectory and stream.trajectory.is_drawable else None
    figure = Figure(figsize=(12, 9.5 if trajectory else 7.5), layout="constrained")
    heights = [3, 3, 3, 2.4, 0.6][0 if trajectory else 1 :]
    axes = list(figure.subplots(len(heights), sharex=True, height_ratios=heights))
    start_ns = _start_ns(stream)
    if trajectory:
        _draw_absolute(axes[0], trajectory, start_ns)
    ax_rotation, ax_direction, ax_inliers, ax_labels = axes[-4:]
    _draw_rotation(ax_rotation, stream.pairs, start_ns)
    _draw_direction(ax_direction, stream.pairs, start_ns)
    _draw_inliers(ax_inliers, stream.rows, start_ns)
    _draw_labels(ax_labels, stream.rows, start_ns)
    axes[0].set_title(f"{stream.title}: errors against ground truth", pad=12)
    duration = (stream.rows[-1]["stamp_ns_cur"] - start_ns) / 1e9
    axes[-1].set_xlim(-0.01 * duration, 1.01 * duration)
    axes[-1].set_xlabel("time since the first frame (s)")
    figure.align_ylabels(axes)
    for ax in axes[:-1]:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.05), handlelength=1.4)
    return figure


def _start_ns(stream: ScoredStream) -> int:
    return _begin_ns(stream.rows[0])


def _begin_ns(row: Row) -> int:
    """Return when a pair begins; one without a previous frame begins and ends at once."""
    return int(row["stamp_ns_cur" if row["stamp_ns_prev"] is None else "stamp_ns_prev"])


def _seconds(stamps_ns: npt.NDArray[np.int64], start_ns: int) -> Float:
    return np.asarray((stamps_ns - start_ns) / 1e9, np.float64)


def _draw_absolute(ax: Axes, trajectory: ScoredTrajectory, start_ns: int) -> None:
    times = _seconds(trajectory.stamps_ns, start_ns)
    scored = [segment for segment in trajectory.segments if segment.is_scored]
    for index, segment in enumerate(scored):
        frames = segment.frames[segment.has_truth]
        _, points = broken(frames, np.column_stack([times[frames], segment.errors()[0]]))
        label = f"segment {segment.number}" if index < MAX_NAMED else None
        ax.plot(*points.T, _dots(len(frames)), color=series(index), linewidth=2, label=label)
    label = "no pose"
    for first, last in _runs(~trajectory.is_placed):
        ax.axvspan(
            times[max(first - 1, 0)],
            times[min(last + 1, len(times) - 1)],
            color=VERMILION,
            alpha=0.18,
            linewidth=0,
            label=label,
        )
        label = ""
    ax.set_ylabel("position (m),\nSim(3)")
    ax.set_ylim(bottom=0)


def _runs(claims: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], claims, [False]]).astype(np.int8)))
    for first, end in edges.reshape(-1, 2).tolist():
        yield first, end - 1


def _draw_rotation(ax: Axes, pairs: Sequence[ScoredPair], start_ns: int) -> None:
    known = [pair for pair in pairs if pair.error.has_pose]
    dots = Dots(BLUE, "", known, [pair.error.rotation_deg for pair in known])
    _draw_degrees(ax, [dots], start_ns, "no pair has a pose")
    ax.set_ylabel("rotation of\npairs (deg)")


def _draw_direction(ax: Axes, pairs: Sequence[ScoredPair], start_ns: int) -> None:
    known = [pair for pair in pairs if pair.error.has_pose]
    kinds = ((False, PALE, "picture hardly\nmoves: not scored"), (True, BLUE, "picture moves"))
    dots = []
    for is_seen, colour, label in kinds:
        chosen = {
            pair: pair.error.direction_deg
            for pair in known
            if pair.error.direction_deg is not None and pair.error.is_direction_seen == is_seen
        }
        dots.append(Dots(colour, label, list(chosen), list(chosen.values())))
    without = "the picture does not move beside its rotation" if known else "no pair has a pose"
    _draw_degrees(ax, dots, start_ns, without)
    ax.set_ylabel("direction of\npairs (deg)")


@dataclass(frozen=True, eq=False)
class Dots:
    """Errors of one kind of pairs, degrees."""

    colour: str
    label: str
    pairs: Sequence[ScoredPair]
    degrees: Sequence[float]


def _draw_degrees(ax: Axes, kinds: Sequence[Dots], start_ns: int, without: str) -> None:
    """Draw errors on a logarithmic scale, or say why there are none."""
    kinds = [kind for kind in kinds if kind.pairs]
    if not kinds:
        ax.text(0.5, 0.5, without, transform=ax.transAxes, ha="center", va="center")
        ax.set_yticks([])
        ax.grid(visible=False)
        return
    for kind in kinds:
        _draw_dots(ax, kind, start_ns)
    is_cut_off = any(min(kind.degrees) < SMALLEST_DEG for kind in kinds)
    is_measured = any(max(kind.degrees) >= SMALLEST_DEG for kind in kinds)
    _make_logarithmic(ax, is_cut_off, is_measured)


def _draw_dots(ax: Axes, dots: Dots, start_ns: int) -> None:
    """Draw what the scale has no place for, such as zeros, as triangles on its lower edge."""
    stamps_ns = np.array([pair.row["stamp_ns_cur"] for pair in dots.pairs], np.int64)
    times, degrees = _seconds(stamps_ns, start_ns), np.array(dots.degrees)
    style: dict[str, Any] = {
        "color": dots.colour,
        "markersize": 4 if len(times) > 60 else 7,
        "linewidth": 0,
    }
    is_below = degrees < SMALLEST_DEG
    if not is_below.all():
        ax.plot(times[~is_below], degrees[~is_below], "o", label=dots.label, **style)
    if is_below.any():
        ax.plot(
            times[is_below],
            np.zeros(is_below.sum()),
            "v",
            label=f"below {SMALLEST_DEG:g}",
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            **style,
        )


def _make_logarithmic(ax: Axes, is_cut_off: bool, is_measured: bool) -> None:
    """Give an axis of degrees a logarithmic scale with about five numbers."""
    ax.set_yscale("log")
    if is_cut_off:
        ax.set_ylim(bottom=SMALLEST_DEG, top=None if is_measured else 1)
    low, high = ax.get_ylim()
    decades = np.log10(high / low)
    subs = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=9))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def _draw_inliers(ax: Axes, rows: Sequence[Row], start_ns: int) -> None:
    stamps_ns = [start_ns, *(row["stamp_ns_cur"] for row in rows)]
    times = _seconds(np.array(stamps_ns, np.int64), start_ns)
    for name, colour in (("matches", PALE), ("inliers", GREY)):
        counts = [0, *(row[f"num_{name}"] for row in rows)]
        ax.fill_between(times, counts, step="pre", color=colour, linewidth=0, label=name)
    ax.set_ylabel("matches")
    ax.set_ylim(bottom=0)


def _draw_labels(ax: Axes, rows: Sequence[Row], start_ns: int) -> None:
    """Draw a band of one colour for each label, from the first frame of a pair to the second."""
    for label, run in groupby(rows, key=label_of):
        members = list(run)
        stamps_ns = [_begin_ns(members[0]), members[-1]["stamp_ns_cur"]]
        begin, end = _seconds(np.array(stamps_ns, np.int64), start_ns)
        ax.axvspan(begin, end, color=LABEL_COLOURS.get(label, GREY), linewidth=0)
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.set_ylabel("label")
    known = {label_of(row) for row in rows}
    patches = [Patch(color=LABEL_COLOURS[name], label=name) for name in LABELS if name in known]
    ax.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.0, 2.2), handlelength=1.0)


def _dots(num_points: int) -> str:
    return ".-" if num_points <= 60 else "-"
