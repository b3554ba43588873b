"""Compares posestream with a hand-written loop on the same frames, and prints one Markdown table.

    python tools/compare_naive.py [SEQUENCE[:STEP] ...] [--data DIR] [--seeds 0 1 2 3 4]

Each seed runs tools/naive_loop.py and then `posestream run` with `posestream evaluate`, so that
both sides meet the same noise of the machine. Figures are medians over the seeds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SEQUENCES = ("kitti00", "kitti01", "redkitchen:5", "board_a", "box")
SOURCE_NODE = "capture"  # the node that takes the input in the built-in graphs

COLUMNS = {
    "rotation median": ("rotation_median_deg", "{:.3f}"),
    "rotation p90": ("rotation_p90_deg", "{:.3f}"),
    "direction median (flow >= 2 px)": ("direction_median_deg", "{:.2f}"),
    "direction median (all pairs)": ("direction_all_pairs_median_deg", "{:.2f}"),
    "fps": ("fps", "{:.1f}"),
    "lost": ("num_missing", "{:.0f}"),
}
Figures = Mapping[str, Any]


def run_naive(dataset: Path, step: int, seed: int, extra: Seq[str]) -> Figures:
    """Run the hand-written loop."""
    arguments = [str(dataset), "--step", str(step), "--seed", str(seed), *extra, "--json"]
    figures: Figures = json.loads(run_python(str(ROOT / "tools" / "naive_loop.py"), *arguments))
    return figures


def run_posestream(dataset: Path, step: int, seed: int, sets: Seq[str]) -> Figures:
    """Run posestream as a user would, and evaluate the run folder."""
    settings = [f"seed={seed}", *([f"{SOURCE_NODE}.params.step={step}"] if step > 1 else []), *sets]
    flags = [word for setting in settings for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        run_python("-m", "pipeline", "run", str(dataset), "--out", str(out), *flags)
        evaluation = json.loads(run_python("-m", "pipeline", "evaluate", str(out), "--json"))
        stats = json.loads((out / "stats.json").read_text())
    (figures,) = evaluation["streams"].values()
    return {**figures, "fps": stats["fps"]}


def run_python(*arguments: str) -> str:
    """Run Python from the checkout and return what it prints; ends the program where it fails."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def medians(runs: Seq[Figures]) -> dict[str, float | None]:
    """Return the median over the runs of each figure in the table; None where a run has none."""
    keys = [key for key, _ in COLUMNS.values()]
    return {
        key: None if any(run[key] is None for run in runs) else median(run[key] for run in runs)
        for key in keys
    }


def format_table(results: Mapping[str, Mapping[str, Seq[Figures]]]) -> str:
    """Return a Markdown table; `results` holds by sequence and side the figures of each run."""
    lines = [
        "| sequence | by | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---:|" * len(COLUMNS),
    ]
    for sequence, sides in results.items():
        for side, runs in sides.items():
            cells = [format_cell(medians(runs)[key], form) for key, form in COLUMNS.values()]
            lines.append(f"| {sequence} | {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_cell(value: float | None, form: str) -> str:
    """Return a figure as the table shows it."""
    return "-" if value is None else form.format(value)


def parse_sequence(text: str, data: Path) -> tuple[Path, int]:
    """Split NAME[:STEP] into the dataset's folder, a path or a name in `data`, and the step."""
    name, _, step = text.partition(":")
    folder = Path(name) if Path(name).is_dir() else data / name
    if not folder.is_dir():
        sys.exit(f"no dataset {name!r} in {data}; set --data or POSESTREAM_DATA")
    return folder, int(step or 1)


def main() -> None:
    """Run all and print the table."""
    data = Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description="posestream against a hand-written loop.")
    parser.add_argument("sequences", nargs="*", default=SEQUENCES, metavar="SEQUENCE[:STEP]")
    parser.add_argument("--data", type=Path, default=data, help="folder of the datasets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--set", dest="sets", action="append", default=[], help="for posestream")
    parser.add_argument("--naive", default="", help="further options of the loop, in one string")
    options = parser.parse_args()
    results: dict[str, dict[str, list[Figures]]] = {}
    for text in options.sequences:
        folder, step = parse_sequence(text, options.data)
        sides = results.setdefault(text, {"hand-written loop": [], "posestream": []})
        for seed in options.seeds:
            print(f"{text}, seed {seed} ...", file=sys.stderr)
            naive = run_naive(folder, step, seed, options.naive.split())
            sides["hand-written loop"].append(naive)
            sides["posestream"].append(run_posestream(folder, step, seed, options.sets))
    print(format_table(results))


if __name__ == "__main__":
    main()
