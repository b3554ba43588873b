"""Suite pose: the motion between two frames from the same recorded matches, timed and scored."""

from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import cv2
import naive_loop

from benchmarks.measure import Contestant, NotMeasuredError, Values, race, timed
from benchmarks.record import Findings, Row
from benchmarks.settings import Settings
from nodes.detectors import DETECTORS
from nodes.estimators import ESTIMATORS
from nodes.matchers import MATCHERS
from nodes.sources.images import read_image
from nodes.vision.evaluation import summarise
from nodes.vision.robust import Limits, seed_for
from nodes.vision.selection import classify_motion

RECORDINGS = {"redkitchen": 5, "kitti00": 1}
"""Recording -> step between the frames of a pair."""
MIN_ITERATIONS, MAX_ITERATIONS = 50, 2000  # the limits of posestream's default estimator
UNITS = {
    "time": "ms a pair", "CPU": "ms a pair", "rotation": "deg, median",
    "direction": "deg, median", "lost": "pairs",
}  # fmt: skip
Float = naive_loop.Float
Estimate = Callable[[naive_loop.Pair], Float | None]


@dataclass(frozen=True)
class Recorded:
    """The matches of a recording, as pairs without a pose yet."""

    sequence: naive_loop.Sequence
    pairs: list[naive_loop.Pair]


def run(settings: Settings) -> Findings:
    """Measure estimators on the matches of two recordings."""
    rows: list[Row] = []
    cv2.setNumThreads(1)
    for name, step in RECORDINGS.items():
        try:
            recorded = record_matches(settings, name, step)
        except NotMeasuredError as error:
            rows.append(Row(f"{name}:{step}", missing=str(error)))
            continue
        prefix = f"{name}:{step}"
        found = race(_contestants(recorded, prefix), settings.repeats)
        rows += found.rows(UNITS)
    note = (
        "Matches of SIFT 1000 with `brute_force`, recorded once; `:5` takes every fifth frame. "
        f"Limits of poselib: {MIN_ITERATIONS} to {MAX_ITERATIONS} samples, 1 px. Each repeat has "
        "its own seed; OpenCV's is set as well. The pose node also says what kind of motion it "
        "is, refines, and gives homography and covariance. Directions where the flow is 2 px or "
        "more; a pair to which the node gives no translation counts as 180 degrees."
    )
    return Findings(rows, [note])


def record_matches(settings: Settings, name: str, step: int) -> Recorded:
    """Match the frames of a recording as the built-in graph does."""
    count = 6 * step if settings.quick else None
    sequence = naive_loop.load_sequence(settings.recording(name), step, count)
    detector, matcher = DETECTORS.create("sift"), MATCHERS.create("brute_force")
    pairs, prev = [], None
    for index, path in enumerate(sequence.images):
        cur = detector.detect(read_image(path))
        if prev is not None:
            rows, _ = matcher.match(prev, cur)
            points_prev = sequence.camera.undistorted_pixels(prev.keypoints[rows[:, 0]])
            points_cur = sequence.camera.undistorted_pixels(cur.keypoints[rows[:, 1]])
            pairs.append(naive_loop.Pair(index - 1, index, points_prev, points_cur, None))
        prev = cur
    return Recorded(sequence, pairs)


def _contestants(recorded: Recorded, prefix: str) -> Iterator[Contestant]:
    makers = {
        "posestream, whole pose node": _pose_node,
        "posestream, estimator alone": _estimator,
        "poselib, same limits": lambda r, s: _peer(r, s, "poselib", MIN_ITERATIONS, MAX_ITERATIONS),
        "poselib, its own limits": lambda r, s: _peer(r, s, "poselib", 1000, 100_000),
        "OpenCV RANSAC": lambda r, s: _peer(r, s, "ransac", 0, 0),
        "OpenCV USAC_MAGSAC": lambda r, s: _peer(r, s, "magsac", 0, 0),
    }
    for name, make in makers.items():
        counter = iter(range(1_000_000))
        yield Contestant(
            f"{prefix} {name}",
            lambda m=make, seeds=counter: lambda: _measure(recorded, m(recorded, next(seeds))),
        )


def _measure(recorded: Recorded, estimate: Estimate) -> Values:
    poses: list[Float | None] = []
    pairs = recorded.pairs
    values = timed(lambda: poses.extend(map(estimate, pairs)), len(pairs))
    done = [replace(p, T_cur_prev=T) for p, T in zip(pairs, poses, strict=True)]
    errors = summarise(naive_loop.score(recorded.sequence, done))
    figures = {
        "rotation": errors["rotation_median_deg"],
        "direction": errors["direction_median_deg"],
        "lost": errors["num_missing"],
    }
    known = {name: float(value) for name, value in figures.items() if value is not None}
    return {"time": values["ms"], "CPU": values["ms CPU"], **known}


def _estimator(recorded: Recorded, seed: int) -> Estimate:
    estimator, K = ESTIMATORS.create("poselib"), recorded.sequence.camera.K
    return lambda pair: (
        estimator.estimate(pair.points_prev, pair.points_cur, K, _seed(seed, pair)).T_1_0
    )


def _pose_node(recorded: Recorded, seed: int) -> Estimate:
    """Return what the pose node does with matches: estimate, then say what kind of motion it is."""
    estimator, K = ESTIMATORS.create("poselib"), recorded.sequence.camera.K
    limits = Limits(3.0, max_iterations=1000)

    def estimate(pair: naive_loop.Pair) -> Float | None:
        points, pair_seed = (pair.points_prev, pair.points_cur), _seed(seed, pair)
        motion = estimator.estimate(*points, K, pair_seed)
        return classify_motion(motion, *points, K, limits, pair_seed).T_1_0

    return estimate


def _seed(seed: int, pair: naive_loop.Pair) -> int:
    return seed_for(seed, "capture", pair.index_prev, pair.index_cur)


def _peer(recorded: Recorded, seed: int, estimator: str, low: int, high: int) -> Estimate:
    cv2.setRNGSeed(seed)
    settings = Namespace(estimator=estimator, seed=seed, min_iterations=low, max_iterations=high)
    camera = recorded.sequence.camera
    return lambda pair: naive_loop.estimate(pair.points_prev, pair.points_cur, camera, settings)
