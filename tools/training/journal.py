"""The journal of a training run: metrics as JSON lines and as curves, and progress while it runs.

A line is {"stage": ..., "step": ..., NAME: VALUE, ...}. A name may start with `val/`: the same
metric on held-out data, drawn in the same panel.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import matplotlib.figure
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pipeline.errors import InputError
from training.files import write_whole
from training.pictures import save

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Line = dict[str, Any]

VALIDATION = "val/"
RATES = ("lr", "learning_rate")
COLUMNS = 4
MEDIANS = 400
PANEL_INCHES = (4.0, 2.6)
DOTS_PER_INCH = 90


class Journal:
    """Appends metrics to a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _mend(path)
        self._file: IO[str] = path.open("a", encoding="utf-8")

    def write(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Append one line at once."""
        if {"stage", "step"} & values.keys():
            raise ValueError("a metric must have another name than stage and step")
        line = {"stage": stage, "step": int(step), **{k: float(v) for k, v in values.items()}}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def rewind(self, stage: str, step: int) -> None:
        """Drop the lines of a stage after a step, so that a resumed run writes none twice."""
        self._file.close()
        kept = [line for line in read(self.path) if line["stage"] != stage or line["step"] <= step]
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _mend(path: Path) -> None:
    """Cut off a last line that a killed run left without its end."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        write_whole(path, data[:whole])


def read(path: Path) -> list[Line]:
    """Return the lines of a journal, less a torn last one.

    Raises:
        InputError: another line is none of a journal.
    """
    lines: list[Line] = []
    texts = path.read_text(encoding="utf-8").split("\n")
    for number, text in enumerate(texts[:-1], 1):
        try:
            line = json.loads(text)
            lines.append({**line, "stage": str(line["stage"]), "step": int(line["step"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}:{number}: not a line of a journal: {text[:60]}") from error
    return lines


def plot(path: Path, picture: Path) -> None:
    """Draw a journal: a block for each stage, with a panel for each metric."""
    lines = [line for line in read(path) if len(line) > 2]
    stages = dict.fromkeys(line["stage"] for line in lines)
    panels = {stage: _metrics([ln for ln in lines if ln["stage"] == stage]) for stage in stages}
    columns = min(COLUMNS, max(map(len, panels.values()), default=1))
    rows = [math.ceil(len(metrics) / columns) for metrics in panels.values()] or [1]
    width, height = columns * PANEL_INCHES[0], sum(rows) * PANEL_INCHES[1] + 0.4 * len(stages)
    figure = matplotlib.figure.Figure((width, height), DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    blocks = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=rows)[:, 0]
    for block, num_rows, (stage, metrics) in zip(blocks, rows, panels.items(), strict=False):
        block.suptitle(stage, fontweight="bold")
        block.supxlabel("step", fontsize=8)
        axes = block.subplots(num_rows, columns, squeeze=False)
        _draw_stage(axes.ravel().tolist(), metrics)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    save(picture, np.ascontiguousarray(pixels[:, :, 2::-1]))


def _metrics(lines: Sequence[Line]) -> dict[str, dict[str, Floats]]:
    """Return the curves (2, N), steps and values, of each metric by `train` and `val`."""
    points: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in lines:
        for name in line.keys() - {"stage", "step"}:
            metric, kind = name.removeprefix(VALIDATION), _kind(name)
            points.setdefault(metric, {}).setdefault(kind, []).append((line["step"], line[name]))
    return {
        metric: {kind: np.array(sorted(points[metric][kind])).T for kind in sorted(points[metric])}
        for metric in sorted(points, key=lambda name: (name != "loss", name in RATES, name))
    }


def _kind(name: str) -> str:
    return "val" if name.startswith(VALIDATION) else "train"


def _draw_stage(axes: Sequence[Axes], metrics: Mapping[str, Mapping[str, Floats]]) -> None:
    for axis in axes[len(metrics) :]:
        axis.set_axis_off()
    for axis, (metric, curves) in zip(axes, metrics.items(), strict=False):
        axis.set_title(metric, fontsize=10)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=8)
        for kind, (steps, values) in curves.items():
            _draw_curve(axis, kind, steps, values)
        if "val" in curves:
            axis.legend(fontsize=8)
        if metric in RATES and _spans_decades(curves):
            axis.set_yscale("log")


def _draw_curve(axis: Axes, kind: str, steps: Floats, values: Floats) -> None:
    """Draw held-out values as they are; training values thinly below their running median."""
    if kind == "val":
        axis.plot(steps, values, "o-", color="tab:orange", markersize=3, label=kind, zorder=3)
        return
    axis.plot(steps, values, color="tab:blue", linewidth=0.6, alpha=0.35)
    places, medians = running_median(values)
    marker = "o" if len(values) == 1 else ""
    axis.plot(steps[places], medians, marker=marker, color="tab:blue", lw=1.6, label=kind)


def running_median(values: Floats) -> tuple[Ints, Floats]:
    """Return places (M,) among values (N,), M at most 400, and the median around each.

    The window is 1/25 of the values, narrower at both ends; what is not finite does not count.
    """
    reach = len(values) // 50
    places = np.unique(np.linspace(0, len(values) - 1, MEDIANS).astype(np.intp))
    windows = (values[max(i - reach, 0) : i + reach + 1] for i in places.tolist())
    finite = [window[np.isfinite(window)] for window in windows]
    return places, np.array([np.median(w) if len(w) else np.nan for w in finite])


def _spans_decades(curves: Mapping[str, Floats]) -> bool:
    values = np.concatenate([curve[1] for curve in curves.values()])
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() > 10 * values.min())
