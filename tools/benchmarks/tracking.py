"""Suite tracking: detectors in the graph `pairs`, on what users film: indoors, cars, endoscopy.

Everything but the detector is the same for all: two workers, 1,000 keypoints, matcher and pose.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measure import Contestant, Measure, NotMeasuredError, Values, race
from benchmarks.observe import run_python
from benchmarks.pipeline import Input
from benchmarks.record import Findings
from benchmarks.settings import Settings
from nodes.commands.run_folder import Row
from nodes.commands.scoring import (
    NoGroundTruthError,
    ScoredStream,
    score_run,
    unscored_streams,
)
from nodes.sources.files import find_recording
from nodes.vision.evaluation import MIN_FLOW_PX

GRAPH = "pairs"
KEYPOINTS = 1000
REPEATS = 2
"""At most, so that the suite takes minutes: a repeat has 25 runs."""
QUICK_FRAMES = 3
UNITS = {
    "matches": "a pair, median", "inliers": "of the matches, median", "poses": "of the pairs",
    "rotation": "deg, median", "direction": "deg, median where it is seen",
    "direction, all pairs": "deg, median", "rate": "fps",
}  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """Which frames of a recording are taken."""

    recording: str
    stop: int | None = None
    step: int = 1
    has_faint_texture: bool = False
    """Whether SIFT's default contrast threshold leaves it too little."""

    @property
    def title(self) -> str:
        """Return the title of its table."""
        every = f", every {self.step}th frame" if self.step > 1 else ""
        return f"{self.recording}{every}{f', {self.stop} frames' if self.stop else ''}"

    def take(self, settings: Settings) -> Input:
        """Return the frames.

        Raises:
            NotMeasuredError: the recording is not there.
        """
        folder = settings.data / self.recording
        if find_recording(folder) is None:
            raise NotMeasuredError(f"needs the recording {self.recording}")
        return Input(folder, QUICK_FRAMES * self.step if settings.quick else self.stop)


CLIPS = (
    Clip("redkitchen", stop=150),
    Clip("redkitchen", step=5),
    Clip("kitti00", stop=100),
    Clip("board_a"),
    Clip("sinus_a", has_faint_texture=True),
    Clip("laparoscopy", stop=100),
)
QUICK_CLIPS = 2
"""The last ones: one with ground truth, and one without."""


def _detector(algorithm: str, limit: str, *more: str) -> tuple[str, ...]:
    params = "detector.params"
    return (f"{params}.algorithm={algorithm}", f"{params}.options.{limit}={KEYPOINTS}", *more)


SMALL = _detector("superpoint-small", "max_keypoints")
DETECTORS = {
    "sift": _detector("sift", "nfeatures"),
    "orb": _detector("orb", "nfeatures"),
    "superpoint-small": SMALL,
    "superpoint-small, no ratio test": (*SMALL, "matcher.params.options.ratio=1.0"),
}
FAINT = {
    "sift, contrastThreshold 0.01": _detector(
        "sift", "nfeatures", "detector.params.options.contrastThreshold=0.01"
    ),
}


def run(settings: Settings) -> Findings:
    """Run the detectors in turns, recording by recording."""
    repeats = min(settings.repeats, REPEATS)
    rows = [
        row
        for clip in (CLIPS[-QUICK_CLIPS:] if settings.quick else CLIPS)
        for row in race(_contestants(settings, clip), repeats, warm_up=False).rows(
            UNITS, table=clip.title
        )
    ]
    note = (
        f"Graph `{GRAPH}`, two workers in the detector, {KEYPOINTS} keypoints. All are matched by "
        "`brute_force`, each the nearest of the other, with the ratio 0.8; without the ratio test "
        "it is what the graph `superpoint` has. A pair without a pose counts as 180 degrees. A "
        f"direction is seen where the matches move {MIN_FLOW_PX:g} px or more beside the true "
        "rotation, which each detector's own matches tell; over all pairs the pairs are the same "
        "for all. Rates are without the start of the interpreter. Each repeat has its own seed."
    )
    return Findings(rows, [note])


def _contestants(settings: Settings, clip: Clip) -> Iterator[Contestant]:
    rows = {**DETECTORS, **FAINT} if clip.has_faint_texture else DETECTORS
    for name, sets in rows.items():
        yield Contestant(name, partial(_prepare, settings, clip, sets))


def _prepare(settings: Settings, clip: Clip, sets: Sequence[str]) -> Measure:
    taken, seeds = clip.take(settings), iter(range(1_000_000))
    return lambda: _track(taken, clip.step, sets, next(seeds))


def _track(taken: Input, step: int, sets: Sequence[str], seed: int) -> Values:
    """Run the graph as a user does, and score the run folder."""
    given = [f"seed={seed}", *taken.sets(step), *sets]
    flags = [word for setting in given for word in ("--set", setting)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["-m", "pipeline", "run", str(taken.folder), "--config", GRAPH]
        run_python(*command, "--out", str(out), *flags)
        rate = float(json.loads((out / "stats.json").read_text())["fps"])
        return {**judged(out), "rate": rate}


def judged(out: Path) -> Values:
    """Return what a run folder shows of its one stream; errors only where there is ground truth."""
    stream = _scored(out)
    figures = stream.figures()
    errors = {
        "rotation": figures["rotation_median_deg"],
        "direction": figures["direction_median_deg"],
        "direction, all pairs": figures["direction_all_pairs_median_deg"],
    }
    return {
        "matches": float(median(row["num_matches"] for row in stream.rows)),
        "inliers": median(map(_inlier_ratio, stream.rows)),
        "poses": figures["coverage"],
        **{name: error for name, error in errors.items() if error is not None},
    }


def _scored(out: Path) -> ScoredStream:
    try:
        (stream,) = score_run(out).streams.values()
    except NoGroundTruthError:
        (stream,) = unscored_streams(out).values()
    return stream


def _inlier_ratio(row: Row) -> float:
    matches: int = row["num_matches"]
    return float(row["num_inliers"]) / matches if matches else 0.0
