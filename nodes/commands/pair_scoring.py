"""Scores the relative poses of a stream, row by row of `poses.jsonl`."""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.commands.run_folder import MatchedPoints, RecordedStream, Row, open_matches
from nodes.sources.base import GroundTruth
from nodes.vision.camera import Camera
from nodes.vision.evaluation import (
    PairError,
    normalised_error_squared,
    pair_stamps,
    relative_pose,
    score_pair,
    summarise,
    summarise_nees,
    unexplained_flow,
)

LABELS = ("general", "planar", "rotation", "static", "lost", "none")
"""Of pairs, in the order of tables; "none" is for runs from before there were labels."""


@dataclass(frozen=True, eq=False)
class ScoredPair:
    """A row with ground truth at both times, and its errors."""

    row: Row
    error: PairError
    T_cur_prev_true: npt.NDArray[np.float64]

    @property
    def label(self) -> str:
        """What kind of motion the row claims."""
        return label_of(self.row)


def label_of(row: Row) -> str:
    """Return the label of a row."""
    return row.get("label") or "none"


def score_pairs(
    stream: RecordedStream, truth: GroundTruth, camera: Camera | None
) -> list[ScoredPair]:
    """Score the rows with two true poses; `camera` is None where it is unknown."""
    with open_matches(stream.matches) as points:
        return list(_scored(stream.rows, truth, partial(_flow, points, camera)))


def unknown_flow_reason(stream: RecordedStream, camera: Camera | None) -> str:
    """Say why it would not be known how far the picture moves between the frames of a pair."""
    causes = []
    if camera is None:
        causes.append("the input has no calibration")
    if not stream.matches.exists():
        causes.append(f"the run left no {stream.matches.name}")
    elif not zipfile.is_zipfile(stream.matches):
        causes.append(f"{stream.matches.name} is unfinished")
    return ", and ".join(causes) or "they have no matches"


def _scored(
    rows: Sequence[Row],
    truth: GroundTruth,
    flow: Callable[[Row, npt.NDArray[np.float64]], float | None],
) -> Iterator[ScoredPair]:
    """Yield the scored pairs; `flow` takes row and true rotation."""
    stamps, poses = truth
    rows = [row for row in rows if row["stamp_ns_prev"] is not None]
    prev = pair_stamps(np.array([row["stamp_ns_prev"] for row in rows], np.int64), stamps)
    cur = pair_stamps(np.array([row["stamp_ns_cur"] for row in rows], np.int64), stamps)
    for row, i, j in zip(rows, prev, cur, strict=True):
        if i >= 0 and j >= 0 and i != j:  # one true pose for both says nothing of the motion
            true_T_cur_prev = relative_pose(poses[i], poses[j])
            T_cur_prev = row["T_cur_prev"] and np.array(row["T_cur_prev"])
            flow_px = flow(row, true_T_cur_prev[:3, :3])
            error = score_pair(T_cur_prev, true_T_cur_prev, flow_px)
            yield ScoredPair(row, error, true_T_cur_prev)


def pair_figures(rows: Sequence[Row], pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    """Return the figures of all pairs of a stream, as `evaluation.json` holds them."""
    num_poses = sum(row["T_cur_prev"] is not None for row in rows)
    return {
        "num_pairs": len(rows),
        "coverage": num_poses / len(rows),
        "num_without_groundtruth": len(rows) - len(pairs),
        **summarise([pair.error for pair in pairs]),
        "labels": label_figures(rows, pairs),
    }


def label_figures(
    rows: Sequence[Row], pairs: Sequence[ScoredPair]
) -> dict[str, Mapping[str, float | int | None]]:
    """Return for each label how many rows have it, and the errors of those with ground truth."""
    counts = Counter(label_of(row) for row in rows)
    known = [label for label in LABELS if label in counts]
    return {
        label: {
            "num_pairs": counts[label],
            "share": counts[label] / len(rows),
            **_medians([pair.error for pair in pairs if pair.label == label]),
            **summarise_nees(*_nees([pair for pair in pairs if pair.label == label])),
        }
        for label in [*known, *sorted(set(counts) - set(known))]
    }


def _medians(errors: Sequence[PairError]) -> dict[str, float | None]:
    rotations = [e.rotation_deg for e in errors if e.has_pose]
    directions = [e.direction_deg for e in errors if e.has_pose and e.is_direction_seen]
    return {
        "rotation_median_deg": float(np.median(rotations)) if rotations else None,
        "direction_median_deg": (
            float(np.median(np.array(directions, np.float64))) if directions else None
        ),
    }


def _nees(pairs: Sequence[ScoredPair]) -> tuple[list[float], int]:
    """Return the normalised errors squared of the pairs with a covariance, and its size."""
    sized = [
        (pair, np.array(covariance))
        for pair in pairs
        if pair.error.has_pose and (covariance := pair.row.get("covariance"))
    ]
    dof = max((len(covariance) for _, covariance in sized), default=5)
    squared = [
        normalised_error_squared(np.array(pair.row["T_cur_prev"]), pair.T_cur_prev_true, covariance)
        for pair, covariance in sized
        if len(covariance) == dof
    ]
    return [value for value in squared if value is not None], dof


def _flow(
    points_of: MatchedPoints, camera: Camera | None, row: Row, R_cur_prev: npt.NDArray[np.float64]
) -> float | None:
    points = points_of(row)
    if points is None or camera is None:
        return None
    prev, cur = camera.undistort(points[:, :2]), camera.undistort(points[:, 2:])
    return unexplained_flow(prev, cur, camera.K, R_cur_prev)
