"""Puts the figures of several runs of the same input side by side.

Where no ground truth is known, what a run says of itself is compared, and no errors.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nodes.commands.evaluate import RESULT_FILE, evaluate_run
from nodes.commands.pair_scoring import LABELS
from nodes.commands.scoring import NoGroundTruthError, figures_without_truth
from pipeline.errors import ConfigError

Better = Literal["lower", "higher", None]


@dataclass(frozen=True)
class Metric:
    """A figure of a stream: where it stands in what `read_runs` returns, and which is better."""

    title: str
    path: str
    better: Better
    form: str

    def of(self, figures: Mapping[str, Any]) -> float | None:
        """Return its value, None where the run has none."""
        found: Any = figures
        for key in self.path.split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        value: float | None = found
        return value


METRICS = (
    Metric("pairs of frames", "num_pairs", None, "{:.0f}"),
    Metric("... with a pose", "coverage", "higher", "{:.1%}"),
    Metric("... general", "labels/general/share", None, "{:.1%}"),
    Metric("... planar", "labels/planar/share", None, "{:.1%}"),
    Metric("... rotation", "labels/rotation/share", None, "{:.1%}"),
    Metric("... static", "labels/static/share", None, "{:.1%}"),
    Metric("... lost", "labels/lost/share", "lower", "{:.1%}"),
    Metric("rotation: median", "rotation_median_deg", "lower", "{:.3f} deg"),
    Metric("rotation: 90 % are below", "rotation_p90_deg", "lower", "{:.3f} deg"),
    Metric("direction: median", "direction_median_deg", "lower", "{:.3f} deg"),
    Metric("direction: 90 % are below", "direction_p90_deg", "lower", "{:.3f} deg"),
    Metric("AUC at 5 deg", "auc_5_deg", "higher", "{:.3f}"),
    Metric("AUC at 10 deg", "auc_10_deg", "higher", "{:.3f}"),
    Metric("AUC at 20 deg", "auc_20_deg", "higher", "{:.3f}"),
    Metric("frames with a place", "trajectory/coverage", "higher", "{:.1%}"),
    Metric("... since the first", "trajectory/coverage_from_bootstrap", "higher", "{:.1%}"),
    Metric("segments", "trajectory/num_segments", "lower", "{:.0f}"),
    Metric("poses of the longest segment", "trajectory/num_poses", "higher", "{:.0f}"),
    Metric("... its ATE, Sim(3)", "trajectory/ate_sim3_rmse", "lower", "{:.4g} m"),
    Metric("... in parts of its path", "trajectory/ate_percent_of_path", "lower", "{:.3g} %"),
    Metric("... its RPE over 1 frame", "trajectory/rpe_1_translation_median", "lower", "{:.3g} m"),
    Metric("", "trajectory/rpe_1_rotation_median_deg", "lower", "{:.3g} deg"),
    Metric("... over 10 frames", "trajectory/rpe_10_translation_median", "lower", "{:.3g} m"),
    Metric("", "trajectory/rpe_10_rotation_median_deg", "lower", "{:.3g} deg"),
    Metric("keyframes", "num_keyframes", None, "{:.0f}"),
    Metric("speed", "fps", "higher", "{:.1f} fps"),
    Metric("latency: median", "latency_ms/p50", "lower", "{:.0f} ms"),
)


@dataclass(frozen=True)
class Comparison:
    """One figure of one stream, of every run."""

    metric: Metric
    values: Sequence[float | None]

    @property
    def is_told(self) -> bool:
        """Whether some run has the figure; a label that no run gave is not worth a line."""
        nothing = (None, 0) if self.metric.path.startswith("labels/") else (None,)
        return any(value not in nothing for value in self.values)

    @property
    def best(self) -> int | None:
        """Index of the best value; None where all are equal or nothing is better."""
        known = [value for value in self.values if value is not None]
        if self.metric.better is None or len(set(known)) < 2:
            return None
        choose = min if self.metric.better == "lower" else max
        return self.values.index(choose(known))

    @property
    def ratios(self) -> list[float | None]:
        """Every value through that of the first run; None where that is no number."""
        first = self.values[0]
        return [value / first if first and value is not None else None for value in self.values]


def read_runs(runs: Sequence[Path], groundtruth: Path | None) -> list[Mapping[str, Any]]:
    """Return the figures of each stream of every run.

    A run that was not evaluated yet is; `evaluation.json` only holds streams with ground truth.

    Raises:
        ConfigError: they are of different inputs or streams.
        PosestreamError: a run cannot be evaluated.
    """
    evaluations = [_stream_figures(run, groundtruth) for run in runs]
    inputs = [{name: _whence(figures) for name, figures in e.items()} for e in evaluations]
    for run, other in zip(runs, inputs, strict=True):
        if other != inputs[0]:
            raise ConfigError(
                f"only runs of the same input can be compared: {runs[0]} is of {_list(inputs[0])}, "
                f"{run} of {_list(other)}"
            )
    return [
        {name: {**figures, **_of_run(run, name, figures)} for name, figures in streams.items()}
        for run, streams in zip(runs, evaluations, strict=True)
    ]


def _stream_figures(run: Path, groundtruth: Path | None) -> Mapping[str, Mapping[str, Any]]:
    try:
        evaluation = _evaluation(run, groundtruth)
    except NoGroundTruthError:
        return figures_without_truth(run)
    others = figures_without_truth(run) if evaluation["not_scored"] else {}
    return {**others, **evaluation["streams"]}


def _evaluation(run: Path, groundtruth: Path | None) -> Any:
    """Read `evaluation.json`, unless it is missing, of an older form, or of another truth."""
    path = run / RESULT_FILE
    if path.is_file() and groundtruth is None:
        evaluation = json.loads(path.read_text("utf-8"))
        if all("trajectory" in figures for figures in evaluation["streams"].values()):
            return evaluation
    return evaluate_run(run, groundtruth, plots=False)


def _whence(figures: Mapping[str, Any]) -> str:
    path = Path(figures["input"])
    return str(path.resolve()) if path.exists() else str(path)


def _list(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({source})" for name, source in inputs.items())


def _of_run(run: Path, stream: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the other files of the run tell of a stream, and the shares of all labels."""
    statistics = _statistics(run).get(stream, {})
    return {
        "labels": _all_labels(figures.get("labels", {})),
        "num_keyframes": _num_keyframes(run, stream),
        "fps": statistics.get("fps"),
        "latency_ms": statistics.get("latency_ms"),
    }


def _all_labels(labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the figures of all labels; a run from before there were labels has none."""
    if set(labels) <= {"none"}:
        return {}
    return {**{label: {"share": 0.0} for label in LABELS}, **labels}


def _statistics(run: Path) -> Mapping[str, Any]:
    """Return what `stats.json` tells of each stream; it may be missing."""
    path = run / "stats.json"
    found: Mapping[str, Any] = (
        json.loads(path.read_text("utf-8"))["streams"] if path.is_file() else {}
    )
    return found


def _num_keyframes(run: Path, stream: str) -> int | None:
    """Return how many keyframes were written, None where no file of them was."""
    paths = (run / "keyframes.jsonl", run / f"keyframes_{stream}.jsonl")
    path = next((path for path in paths if path.is_file()), None)
    return len(path.read_text("utf-8").splitlines()) if path else None


def footnotes(names: Sequence[str], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the reader must know: which streams of the named runs have no ground truth."""
    unknown = []
    for stream, figures in runs[0].items():
        has_truth = [run[stream]["groundtruth"] is not None for run in runs]
        of = [name for name, has in zip(names, has_truth, strict=True) if not has]
        if of:
            unknown.append(figures["input"] + (f" in {', '.join(of)}" if any(has_truth) else ""))
    if not unknown:
        return []
    return [
        f"no ground truth is known for {', '.join(dict.fromkeys(unknown))}: errors are not "
        "compared; name a TUM file with --groundtruth FILE"
    ]


def compare_stream(runs: Sequence[Mapping[str, Any]], stream: str) -> list[Comparison]:
    """Return the figures of a stream that are worth a line."""
    rows = [
        Comparison(metric, [metric.of(streams[stream]) for streams in runs]) for metric in METRICS
    ]
    return [row for row in rows if row.is_told]
