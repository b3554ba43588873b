"""Suite features: detectors on homography sets, as `python tools/evaluate_features.py` judges them.

The sets have a change of viewpoint (graf, churchill), of size and turn (boat, bark), of blur
(bikes) and of light (leuven).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from evaluation.detectors import Contestant
from evaluation.results import Task, evaluate
from evaluation.sets import HomographySet, find_sets
from evaluation.timing import ROUNDS, use_threads

from benchmarks.measure import NotMeasuredError, create, figure, reason_of, say
from benchmarks.record import Figure, Findings, Row
from benchmarks.settings import Settings
from nodes.detectors import DETECTORS
from nodes.vision.feature_evaluation import HOMOGRAPHY_LIMITS, NUM_TRIALS
from pipeline.errors import PosestreamError

SETS = ("hom_graf", "hom_churchill", "hom_boat", "hom_bark", "hom_bikes", "hom_leuven")
QUICK_SETS = 2
KEYPOINTS = 1000
THREADS = 2
Results = Mapping[str, Mapping[str, Any]]

TOTALS = {
    "repeatability": ("repeatability", ""),
    "localisation": ("localisation_px", "px"),
    "NN mAP": ("nn_map", ""),
    "matching score": ("matching_score", ""),
    "MMA@3": ("mma_3px", ""),
    "H@1": ("homography_1px", ""),
    "H@3": ("homography_3px", ""),
    "H@5": ("homography_5px", ""),
    "AUC@5": ("homography_auc_5px", ""),
    "time": ("vga_ms", "ms a VGA image"),
    "CPU": ("vga_cpu_ms", "ms a VGA image"),
}
"""Column -> name of the figure in an evaluation, and unit."""
BY_SET = {
    "Homography accuracy at 3 px, by set": "homography_3px",
    "Mean matching accuracy at 3 px, by set": "mma_3px",
}


@dataclass(frozen=True)
class Entry:
    """A detector of posestream with its options."""

    algorithm: str
    options: Mapping[str, Any]
    weights: str = ""
    """File that lies beside the recordings; empty where nothing has to be fetched."""
    has_device: bool = False

    def build(self, label: str, settings: Settings) -> Contestant:
        """Return the contestant of a row.

        Raises:
            NotMeasuredError, PosestreamError: weights or a package are missing.
        """
        weights = {"weights": str(settings.weights(self.weights))} if self.weights else {}
        device = {"device": settings.device} if self.has_device else {}
        detector = create(DETECTORS, self.algorithm, {**self.options, **weights, **device})
        return Contestant(label, label, detector, KEYPOINTS)


def _network(algorithm: str, weights: str = "", **options: Any) -> Entry:
    return Entry(algorithm, {"max_keypoints": KEYPOINTS, **options}, weights, has_device=True)


ENTRIES = {
    "sift": Entry("sift", {"nfeatures": KEYPOINTS}),
    "orb": Entry("orb", {"nfeatures": KEYPOINTS}),
    "aliked (t16)": _network("aliked", "ALIKED/aliked-t16.pth"),
    "xfeat": Entry("xfeat", {"max_keypoints": KEYPOINTS}, "XFeat/xfeat_official_dense.onnx"),
    "superpoint-small": _network("superpoint-small"),
    "superpoint-small, 2 octaves": _network("superpoint-small", octaves=2),
    "superpoint-small, 3 octaves": _network("superpoint-small", octaves=3),
}


def run(settings: Settings) -> Findings:
    """Judge all detectors once: the figures repeat to the bit, and each time is a median."""
    sets = find_sets(settings.data, SETS)
    if settings.quick:
        sets = [replace(one, numbers=one.numbers[:1]) for one in sets[:QUICK_SETS]]
    contestants, missing = _contestants(settings)
    use_threads(THREADS)
    results = evaluate(Task(sets, contestants, num_shapes=0), say)
    rows = [
        Row(label, missing=missing[label], table="All pairs")
        if label in missing
        else Row(label, _totals(results[label]["totals"]), table="All pairs")
        for label in ENTRIES
    ]
    return Findings([*rows, *_rows_by_set(results)], [_note(sets, settings.device)])


def _contestants(settings: Settings) -> tuple[list[Contestant], dict[str, str]]:
    """Return who takes part, and by label why others do not."""
    found, missing = [], {}
    for label, entry in ENTRIES.items():
        try:
            found.append(entry.build(label, settings))
        except (NotMeasuredError, ImportError, PosestreamError) as error:
            missing[label] = reason_of(error)
    return found, missing


def _totals(totals: Mapping[str, float | None]) -> dict[str, Figure]:
    named = {column: (totals[key], unit) for column, (key, unit) in TOTALS.items()}
    return {
        column: figure([value], unit)
        for column, (value, unit) in named.items()
        if value is not None
    }


def _rows_by_set(results: Results) -> Iterator[Row]:
    for title, key in BY_SET.items():
        for label, one in results.items():
            by_set = {name.removeprefix("hom_"): found[key] for name, found in one["sets"].items()}
            yield Row(label, {name: figure([v], "") for name, v in by_set.items()}, table=title)


def _note(sets: list[HomographySet], device: str) -> str:
    pairs = sum(len(one.numbers) for one in sets)
    where = "networks on the GPU; times" if device == "cuda" else "times"
    return (
        f"{pairs} pairs of {len(sets)} sets at full size; the best {KEYPOINTS} keypoints, mutual "
        "nearest neighbours without a ratio test, right within 3 px unless said otherwise; means "
        "over pairs. MMA: mean matching accuracy. H: homography accuracy, mean corner error within "
        "1, 3 and 5 px, AUC@5 its mean over all thresholds up to 5 px; OpenCV's MAGSAC, "
        f"{HOMOGRAPHY_LIMITS.threshold_px:g} px, {NUM_TRIALS} seeded trials a pair. OpenCV and "
        f"PyTorch with {THREADS} threads, xfeat always with one; {where} are medians over the "
        f"first images of the sets as 640x480, {ROUNDS} rounds in turns."
    )
