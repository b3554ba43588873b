"""Suite match: nearest neighbours between the descriptors of two frames, with Lowe's ratio test."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np

from benchmarks.ceilings import synchronise
from benchmarks.measure import Contestant, Measure, Values, create, race, timed
from benchmarks.record import Findings
from benchmarks.settings import Settings
from nodes.detectors import DETECTORS
from nodes.matchers import MATCHERS
from nodes.vision.keypoints import Keypoints

KEYPOINTS, MANY = 1000, 4000
RATIO = 0.8
STEP = 5  # frames between the two of a pair
UNITS = {
    "time": "ms a pair", "CPU": "ms a pair", "matches": "a pair", "times OpenCV's brute force": "",
}  # fmt: skip
Pair = tuple[Keypoints, Keypoints]
Match = Callable[[list[Pair]], list[int]]
"""Takes all pairs; returns the number of matches of each."""


def run(settings: Settings) -> Findings:
    """Measure matchers on SIFT and on ORB descriptors of the same frames."""
    count = 2 if settings.quick else 16
    rows = []
    cv2.setNumThreads(1)
    _one_thread()
    for kind, keypoints in (("sift", KEYPOINTS), ("orb", KEYPOINTS), ("sift", MANY), ("orb", MANY)):
        pairs = record_pairs(settings, kind, count, keypoints)
        name = kind.upper() if keypoints == KEYPOINTS else f"{kind.upper()} {MANY}"
        contestants = _contestants(settings, kind, name, pairs)
        if keypoints == MANY:
            contestants = (c for c in contestants if "force" in c.name or "flann" in c.name)
        found = race(contestants, settings.repeats)
        base = f"{name}: OpenCV brute force"
        found.add_ratio("times OpenCV's brute force", "time", base, less_is_better=True)
        rows += found.rows(UNITS)
    note = (
        f"{KEYPOINTS} x {KEYPOINTS} descriptors of {settings.pictures} (`{MANY}`: up to so many), "
        f"every pair {STEP} frames apart, {count} pairs; one thread. All apply the ratio {RATIO}; "
        "`posestream` and `smnn` also that each is the nearest of the other, so that they keep "
        "fewer matches."
    )
    return Findings(rows, [note])


def record_pairs(settings: Settings, kind: str, count: int, keypoints: int) -> list[Pair]:
    """Return pairs of described frames, with at most so many keypoints each."""
    images = settings.clip(count + STEP)
    detector = create(DETECTORS, kind, {"nfeatures": keypoints})
    found = [_cut(detector.detect(image), keypoints) for image in images]
    return [(found[i], found[i + STEP]) for i in range(count)]


def _cut(found: Keypoints, keypoints: int) -> Keypoints:
    return found.take(np.arange(min(keypoints, len(found.keypoints))))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _contestants(
    settings: Settings, kind: str, base: str, pairs: list[Pair]
) -> Iterator[Contestant]:
    def row(name: str, make: Callable[[], Match]) -> Contestant:
        def prepare() -> Measure:
            match = make()
            return lambda: _measure(match, pairs)

        return Contestant(f"{base}: {name}", prepare)

    norm = cv2.NORM_L2 if kind == "sift" else cv2.NORM_HAMMING
    trees = {"algorithm": 1, "trees": 5}
    tables = {"algorithm": 6, "table_number": 6, "key_size": 12, "multi_probe_level": 1}
    index = trees if kind == "sift" else tables
    yield row("OpenCV brute force", lambda: _opencv(cv2.BFMatcher(norm)))
    yield row("OpenCV FLANN", lambda: _opencv(cv2.FlannBasedMatcher(index, {"checks": 50})))
    yield row("posestream brute_force", lambda: _ours("brute_force", {"ratio": RATIO}))
    yield row("posestream flann", lambda: _ours("flann", {"ratio": RATIO}))
    devices = ["cpu"] if settings.device == "cpu" else ["cpu", "cuda"]
    for device in devices:
        options = {"ratio": RATIO, "device": device}
        name = f"posestream mutual_nearest on {device}"
        yield row(name, lambda o=options: _ours("mutual_nearest", o, batch=1))
        yield row(f"{name}, all pairs at once", lambda o=options: _ours("mutual_nearest", o))
    if kind == "sift":
        yield row("kornia match_smnn", lambda: _kornia("match_smnn"))
        yield row("kornia match_snn", lambda: _kornia("match_snn"))


def _measure(match: Match, pairs: list[Pair]) -> Values:
    counts: list[int] = []
    values = timed(lambda: counts.extend(match(pairs)), len(pairs))
    return {"time": values["ms"], "CPU": values["ms CPU"], "matches": sum(counts) / len(counts)}


def _ours(name: str, options: dict[str, Any], batch: int | None = None) -> Match:
    matcher = create(MATCHERS, name, options)

    def match(pairs: list[Pair]) -> list[int]:
        size = batch or len(pairs)
        groups = [pairs[i : i + size] for i in range(0, len(pairs), size)]
        found = [len(matches) for group in groups for matches, _ in matcher.match_batch(group)]
        synchronise(options.get("device", "cpu"))
        return found

    return match


def _opencv(matcher: Any) -> Match:
    def match(pairs: list[Pair]) -> list[int]:
        counts = []
        for prev, cur in pairs:
            found = matcher.knnMatch(prev.descriptors, cur.descriptors, 2)
            good = [m[0] for m in found if len(m) == 2 and m[0].distance < RATIO * m[1].distance]
            counts.append(len(good))
        return counts

    return match


def _kornia(name: str) -> Match:
    import kornia
    import torch

    function = getattr(kornia.feature, name)

    def match(pairs: list[Pair]) -> list[int]:
        with torch.inference_mode():
            sides = [tuple(torch.from_numpy(side.descriptors) for side in pair) for pair in pairs]
            return [len(function(*pair, RATIO)[1]) for pair in sides]

    return match
