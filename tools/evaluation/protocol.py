"""The protocol: all pairs of a homography set, matched by mutual nearest neighbours, and judged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from evaluation.detectors import Contestant
from nodes.vision.feature_evaluation import (
    PlanarPair,
    area_under_accuracy,
    homography_errors,
    matching_score,
    nearest_neighbour_precision,
    repeatability,
    share_within,
)
from nodes.vision.keypoints import Keypoints
from nodes.vision.matching import find_neighbours, select_matches

Image = npt.NDArray[np.uint8]
Figures = dict[str, float | None]

CURVE_PX = tuple(range(1, 11))
"""Thresholds of the curve of the matching accuracy (D2-Net, figure 4)."""
HOMOGRAPHY_PX = (1, 3, 5)


@dataclass(frozen=True)
class PairFigures:
    """What one pair shows; see nodes/vision/feature_evaluation.py."""

    repeatability: float
    localisation_px: float | None
    nn_map: float
    matching_score: float
    accuracy: tuple[float, ...]
    """Share of matches right within each threshold of `CURVE_PX`."""
    corner_errors_px: tuple[float, ...]
    """Of each trial; infinite without a homography."""
    keypoints: tuple[int, int]
    matches: int


def evaluate_set(
    contestant: Contestant, images: Sequence[Image], pairs: Sequence[PlanarPair]
) -> list[PairFigures]:
    """Judge a detector on the pairs of the first image with each other one."""
    first, *others = (contestant.detect(image) for image in images)
    return [evaluate_pair(first, other, pair) for other, pair in zip(others, pairs, strict=True)]


def evaluate_pair(found0: Keypoints, found1: Keypoints, pair: PlanarPair) -> PairFigures:
    """Match the keypoints of two images, and compare with the truth."""
    points0, points1 = found0.keypoints, found1.keypoints
    there = find_neighbours(found0.descriptors, found1.descriptors)
    back = find_neighbours(found1.descriptors, found0.descriptors)
    matches = select_matches(there, cross_check=True)
    matched0, matched1 = points0[matches[:, 0]], points1[matches[:, 1]]
    again = repeatability(points0, points1, pair)
    return PairFigures(
        repeatability=again.share,
        localisation_px=again.localisation_px,
        nn_map=nearest_neighbour_precision(points0, points1, there, back, pair),
        matching_score=matching_score(points0, points1, matches, pair),
        accuracy=tuple(share_within(pair.errors(matched0, matched1), CURVE_PX).tolist()),
        corner_errors_px=tuple(homography_errors(matched0, matched1, pair).tolist()),
        keypoints=(len(points0), len(points1)),
        matches=len(matches),
    )


def summarise(pairs: Iterable[PairFigures]) -> Figures:
    """Return means over pairs; the localisation error is over those that have one, or None."""
    found = list(pairs)
    errors = [pair.localisation_px for pair in found if pair.localisation_px is not None]
    corners = [np.array(pair.corner_errors_px) for pair in found]
    figures: Figures = {
        "pairs": len(found),
        "repeatability": fmean(pair.repeatability for pair in found),
        "localisation_px": fmean(errors) if errors else None,
        "nn_map": fmean(pair.nn_map for pair in found),
        "matching_score": fmean(pair.matching_score for pair in found),
    }
    for row, px in enumerate(CURVE_PX):
        figures[f"mma_{px}px"] = fmean(pair.accuracy[row] for pair in found)
    for row, px in enumerate(HOMOGRAPHY_PX):
        shares = [float(share_within(e, HOMOGRAPHY_PX)[row]) for e in corners]
        figures[f"homography_{px}px"] = fmean(shares)
    figures["homography_auc_5px"] = fmean(area_under_accuracy(e, 5) for e in corners)
    figures["keypoints"] = fmean(fmean(pair.keypoints) for pair in found)
    figures["matches"] = fmean(pair.matches for pair in found)
    return figures
