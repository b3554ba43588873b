"""Suite pipeline: whole graphs beside the hand-written loop on the same frames.

The loop (tools/naive_loop.py) has the same detector and the same estimator with the same limits.
`pairs` and `klt_pairs` do what it does; `video` and `klt` also place every frame. Speed is measured
on all frames, accuracy on every fifth, where the camera moves far enough to be judged.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Contestant, Values, race
from benchmarks.observe import run_python
from benchmarks.record import ROOT, Findings
from benchmarks.settings import RECORDING, Settings

LOOP = str(ROOT / "tools" / "naive_loop.py")
LIMITS = ("--min-iterations", "50", "--max-iterations", "2000")
STEP = 5
HALF = ("detector.params.options.half_resolution=true",)
BASE = "hand-written loop, poselib"
UNITS = {
    "rate": "fps", "times the loop": "", "rotation": "deg, median at step 5",
    "direction": "deg, median at step 5", "lost": "pairs at step 5",
}  # fmt: skip
GRAPHS: dict[str, tuple[str, tuple[str, ...]]] = {
    "posestream pairs, SIFT": ("pairs", ()),
    "posestream pairs, SIFT at half resolution": ("pairs", HALF),
    "posestream klt_pairs": ("klt_pairs", ()),
    "posestream video (with odometry)": ("video", ()),
    "posestream klt (with odometry)": ("klt", ()),
}


@dataclass(frozen=True)
class Input:
    """A recording and how many of its frames are taken; None for all."""

    folder: Path
    stop: int | None

    def sets(self, step: int) -> list[str]:
        """Return what makes a graph take the frames."""
        stop = [f"capture.params.stop={self.stop}"] if self.stop else []
        return [*stop, *([f"capture.params.step={step}"] if step > 1 else [])]


def run(settings: Settings) -> Findings:
    """Measure speed and accuracy in turns."""
    taken = Input(settings.recording(RECORDING), 40 if settings.quick else None)
    read_once(taken.folder)
    found = race(_contestants(taken), settings.repeats, warm_up=False)
    found.add_ratio("times the loop", "rate", BASE)
    note = (
        f"{RECORDING}. The loop has SIFT 1000 on OpenCV's own threads, FLANN and ratio 0.8; "
        f"poselib with the limits {LIMITS[1]} to {LIMITS[3]} samples, or OpenCV's RANSAC. Rates "
        "are without the start of the interpreter. Each repeat has its own seed."
    )
    return Findings(found.rows(UNITS), [note])


def read_once(folder: Path) -> None:
    """Read all files, so that the first contestant does not pay for the disk."""
    for path in sorted((folder / "frames").iterdir()):
        path.read_bytes()


def _contestants(taken: Input) -> Iterator[Contestant]:
    for name, arguments in {
        BASE: ("--estimator", "poselib", *LIMITS),
        "hand-written loop, cv2 RANSAC": ("--estimator", "ransac"),
    }.items():
        seeds = iter(range(1_000_000))
        yield Contestant(name, lambda a=arguments, s=seeds: lambda: _loop(taken, a, next(s)))
    for name, (graph, sets) in GRAPHS.items():
        seeds = iter(range(1_000_000))
        yield Contestant(
            name, lambda g=graph, x=sets, s=seeds: lambda: _posestream(taken, g, x, next(s))
        )


def _loop(taken: Input, arguments: Sequence[str], seed: int) -> Values:
    """Run the hand-written loop at every frame for the rate, at every fifth for the errors."""
    stop = ["--max-frames", str(taken.stop)] if taken.stop else []
    common = [LOOP, str(taken.folder), *arguments, *stop, "--seed", str(seed), "--json"]
    fast = json.loads(run_python(*common))
    return {"rate": fast["fps"], **_errors(json.loads(run_python(*common, "--step", str(STEP))))}


def _posestream(taken: Input, graph: str, sets: Sequence[str], seed: int) -> Values:
    """Run a graph as a user does, at every frame for the rate, at every fifth for the errors."""
    with tempfile.TemporaryDirectory() as folder:
        fast, exact = Path(folder) / "fast", Path(folder) / "exact"
        for out, step in ((fast, 1), (exact, STEP)):
            given = [f"seed={seed}", *taken.sets(step), *sets]
            flags = [word for setting in given for word in ("--set", setting)]
            command = ["-m", "pipeline", "run", str(taken.folder), "--config", graph]
            run_python(*command, "--out", str(out), *flags)
        scored = json.loads(run_python("-m", "pipeline", "evaluate", str(exact), "--json"))
        (errors,) = scored["streams"].values()
        return {"rate": json.loads((fast / "stats.json").read_text())["fps"], **_errors(errors)}


def _errors(figures: dict[str, Any]) -> Values:
    named = {
        "rotation": figures["rotation_median_deg"],
        "direction": figures["direction_median_deg"],
        "lost": figures["num_missing"],
    }
    return {name: float(value) for name, value in named.items() if value is not None}
