"""Runs the odometry over sequences with ground truth, and prints one Markdown table.

    python tools/measure_trajectory.py [SEQUENCE[:STEP] ...] [--data DIR] [--seeds 0 1 2]

Each run is `posestream run` with one of the graphs, then `posestream evaluate`. Figures are medians
over the seeds. Seconds are those of the whole command, start-up included. Beside them stand the
figures of COLMAP on the same frames, where there are any: an offline mapper, which sees the future
and adjusts everything (sequential matching, overlap 5, SIFT 2000, fixed intrinsics).
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from statistics import median
from typing import Any

from compare_naive import ROOT, SOURCE_NODE, parse_sequence, run_python

SEQUENCES = (
    "kitti00", "redkitchen:4", "board_a", "box", "kitti01", "redkitchen", "tum_fr3_office",
    "sinus_a",
)  # fmt: skip
GRAPHS = ("video", "klt")
COLMAP = {
    "kitti00": (0.662, 229),
    "redkitchen:4": (0.040, 73),
    "board_a": (0.0051, 86),
    "box": (0.0024, 30),
}
"""ATE after Sim(3) in metres, and seconds; each measured once, on two cores as well."""
Figures = Mapping[str, Any]


def run_once(dataset: Path, step: int, graph: str, seed: int, sets: Seq[str]) -> Figures:
    """Run a graph over a dataset, and return what its evaluation says of the trajectory."""
    settings = [f"seed={seed}", f"{SOURCE_NODE}.params.step={step}", *sets]
    flags = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "run")
        started = time.perf_counter()
        run_python("-m", "pipeline", "run", str(dataset), "--config", graph, "--out", out, *flags)
        seconds = time.perf_counter() - started
        told = run_python("-m", "pipeline", "evaluate", out, "--json", "--no-plots")
        stats = json.loads((Path(out) / "stats.json").read_text())
    (figures,) = json.loads(told)["streams"].values()
    found: Figures = figures["trajectory"] or {}
    return {**found, "fps": stats["fps"], "seconds": seconds}


def middle(runs: Seq[Figures], key: str) -> float | None:
    """Return the median of a figure over the runs; None where a run has none."""
    values = [run.get(key) for run in runs]
    known = [value for value in values if value is not None]
    return median(known) if len(known) == len(values) else None


def row(sequence: str, graph: str, runs: Seq[Figures]) -> str:
    """Return a line of the table."""
    ate, seconds = middle(runs, "ate_sim3_rmse"), middle(runs, "seconds")
    other = COLMAP.get(sequence)
    cells = [
        sequence,
        graph,
        _text(middle(runs, "num_frames"), "{:.0f}"),
        _text(middle(runs, "first_placed"), "{:.0f}"),
        _text(middle(runs, "coverage_from_bootstrap"), "{:.1%}"),
        _text(middle(runs, "num_segments"), "{:.0f}"),
        _text(ate, "{:.4f}"),
        _text(middle(runs, "ate_percent_of_path"), "{:.2f} %"),
        _text(other and other[0], "{:.4f}"),
        _text(ate / other[0] if ate and other else None, "{:.2f}"),
        _text(middle(runs, "fps"), "{:.1f}"),
        _text(seconds, "{:.1f}"),
        _text(other[1] / seconds if seconds and other else None, "{:.0f}"),
    ]
    return "| " + " | ".join(cells) + " |"


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def main() -> None:
    """Run all and print the table."""
    data = Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description="The odometry on sequences with ground truth.")
    parser.add_argument("sequences", nargs="*", default=SEQUENCES, metavar="SEQUENCE[:STEP]")
    parser.add_argument("--data", type=Path, default=data, help="folder of the datasets")
    parser.add_argument("--graphs", nargs="+", default=GRAPHS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="sets", action="append", default=[])
    options = parser.parse_args()
    heads = (
        "sequence", "graph", "frames", "first placed", "coverage from there", "segments",
        "ATE (m)", "of the path", "COLMAP (m)", "ratio", "fps", "seconds", "times COLMAP's speed",
    )  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|---|---|" + "---:|" * (len(heads) - 2))
    for sequence in options.sequences:
        folder, step = parse_sequence(sequence, options.data)
        for graph in options.graphs:
            runs = []
            for seed in options.seeds:
                print(f"{sequence}, {graph}, seed {seed} ...", file=sys.stderr)
                runs.append(run_once(folder, step, graph, seed, options.sets))
            print(row(sequence, graph, runs), flush=True)


if __name__ == "__main__":
    main()
