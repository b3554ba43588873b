"""Scores the trajectory of a stream: how much of it there is, and how far it is from the truth.

Every segment is laid over the truth by itself. The lengths are in the unit of the ground truth,
metres where that is metric; a segment needs `MIN_POSES` poses with ground truth to be scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from nodes.commands.run_folder import Row, Segment
from nodes.sources.base import GroundTruth
from nodes.vision.alignment import (
    RelativeErrors,
    Similarity,
    align,
    ate,
    path_length,
    rms,
    rpe,
)
from nodes.vision.evaluation import pair_stamps

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MIN_POSES = 3
"""Two points can be laid over any two others: an error of fewer than three means nothing."""
MIN_EXTENT_M = 1e-6
"""Over a camera that truly stood still any path can be laid, shrunk to a point."""
RPE_STEPS = (1, 10)
"""Numbers of frames that the relative errors span."""


@dataclass(frozen=True, eq=False)
class ScoredSegment:
    """A segment beside the truth; `frames` (N,) index the stream's processed frames."""

    number: int
    frames: Int
    T_world_cam: Float
    T_world_true: Float
    """(N, 4, 4), NaN where there is no ground truth."""
    path_m: float
    """Length of the true path from the first to the last of its frames."""

    @cached_property
    def has_truth(self) -> npt.NDArray[np.bool_]:
        """Whether each of its poses can be scored, (N,)."""
        return np.isfinite(self.T_world_true[:, 0, 0])

    @property
    def is_scored(self) -> bool:
        """Whether it can be laid over the truth: enough true poses, not all in one place."""
        _, true = self._positions()
        return len(true) >= MIN_POSES and bool(np.ptp(true, axis=0).max() > MIN_EXTENT_M)

    @cached_property
    def to_truth(self) -> Similarity:
        """The Sim(3) alignment with the truth."""
        return align(*self._positions(), with_scale=True)

    @property
    def aligned(self) -> Float:
        """All its positions (N, 3) in the world of the truth."""
        return self.to_truth.apply(self.T_world_cam[:, :3, 3])

    def errors(self, *, with_scale: bool = True) -> tuple[Float, float]:
        """Return the absolute errors of the poses with truth, and their RMSE."""
        return ate(*self._positions(), with_scale=with_scale)

    def relative_errors(self, step: int) -> RelativeErrors:
        """Return the relative errors over `step` frames."""
        k = self.has_truth
        return rpe(self.T_world_cam[k], self.T_world_true[k], step, self.frames[k])

    def _positions(self) -> tuple[Float, Float]:
        k = self.has_truth
        return self.T_world_cam[k, :3, 3], self.T_world_true[k, :3, 3]


@dataclass(frozen=True, eq=False)
class ScoredTrajectory:
    """The segments of a stream beside the truth of all its processed frames."""

    stamps_ns: Int
    """(F,), rising: the frames that had a chance of being placed."""
    T_world_true: Float
    """(F, 4, 4), NaN where there is no ground truth."""
    segments: Sequence[ScoredSegment]

    @cached_property
    def is_placed(self) -> npt.NDArray[np.bool_]:
        """Whether each frame has a place in some segment, (F,)."""
        placed = np.zeros(len(self.stamps_ns), np.bool_)
        for segment in self.segments:
            placed[segment.frames] = True
        return placed

    @property
    def is_drawable(self) -> bool:
        """Whether some segment can be laid over the truth."""
        return any(segment.is_scored for segment in self.segments)

    @property
    def longest(self) -> ScoredSegment | None:
        """The segment of the most poses, the first of equal ones."""
        return max(self.segments, key=lambda segment: len(segment.frames), default=None)


def score_trajectory(
    rows: Sequence[Row], segments: Sequence[Segment], truth: GroundTruth
) -> ScoredTrajectory:
    """Put segments and truth side by side; frames are paired with true poses by their stamps."""
    stamps_ns = np.unique([*_processed(rows), *(ns for s in segments for ns in s.stamps_ns)])
    stamps_ns = stamps_ns.astype(np.int64)
    index = pair_stamps(stamps_ns, truth[0])
    T_world_true = np.full((len(stamps_ns), 4, 4), np.nan)
    T_world_true[index >= 0] = truth[1][index[index >= 0]]
    scored = [_beside_truth(segment, stamps_ns, T_world_true) for segment in segments]
    return ScoredTrajectory(stamps_ns, T_world_true, scored)


def _processed(rows: Sequence[Row]) -> set[int]:
    """Return the stamps of the frames that were looked at; one that was dropped has no row."""
    prev = {row["stamp_ns_prev"] for row in rows if row["stamp_ns_prev"] is not None}
    return prev | {row["stamp_ns_cur"] for row in rows}


def _beside_truth(segment: Segment, stamps_ns: Int, T_world_true: Float) -> ScoredSegment:
    frames = np.searchsorted(stamps_ns, segment.stamps_ns)
    span = T_world_true[frames[0] : frames[-1] + 1, :3, 3]
    return ScoredSegment(
        number=segment.number,
        frames=frames,
        T_world_cam=segment.T_world_cam,
        T_world_true=T_world_true[frames],
        path_m=path_length(span[np.isfinite(span).all(axis=1)]),
    )


# ---------------------------------------------------------------- figures


def trajectory_figures(trajectory: ScoredTrajectory) -> dict[str, Any]:
    """Return what `evaluation.json` holds of it; the errors are those of the longest segment."""
    placed = trajectory.is_placed
    first = int(np.argmax(placed)) if placed.any() else None
    longest = trajectory.longest
    return {
        "num_frames": len(placed),
        "num_placed": int(placed.sum()),
        "coverage": float(placed.mean()),
        "coverage_from_bootstrap": None if first is None else float(placed[first:].mean()),
        "first_placed": first,
        "num_segments": len(trajectory.segments),
        "num_poses": len(longest.frames) if longest else 0,
        **(error_figures(longest) if longest else NO_ERRORS),
        "segments": [_segment_figures(segment) for segment in trajectory.segments],
    }


def _segment_figures(segment: ScoredSegment) -> dict[str, Any]:
    return {
        "segment": segment.number,
        "num_poses": len(segment.frames),
        "first_frame": int(segment.frames[0]),
        "last_frame": int(segment.frames[-1]),
        **error_figures(segment),
    }


def error_figures(segment: ScoredSegment) -> Mapping[str, float | None]:
    """Return how far a segment is from the truth; None where the truth does not tell."""
    if not segment.is_scored:
        return {**NO_ERRORS, "path_m": segment.path_m}
    errors, sim3_rmse = segment.errors()
    return {
        "path_m": segment.path_m,
        "scale": segment.to_truth.scale,
        "ate_sim3_rmse": sim3_rmse,
        "ate_sim3_median": float(np.median(errors)),
        "ate_sim3_max": float(errors.max()),
        "ate_percent_of_path": 100 * sim3_rmse / segment.path_m if segment.path_m > 0 else None,
        "ate_se3_rmse": segment.errors(with_scale=False)[1],
        **{k: v for step in RPE_STEPS for k, v in _rpe_figures(segment, step).items()},
    }


def _rpe_figures(segment: ScoredSegment, step: int) -> dict[str, float | None]:
    errors = segment.relative_errors(step)
    has_pairs = len(errors.translation) > 0
    values = {
        f"rpe_{step}_translation_median": np.median(errors.translation) if has_pairs else None,
        f"rpe_{step}_translation_rmse": rms(errors.translation) if has_pairs else None,
        f"rpe_{step}_rotation_median_deg": np.median(errors.rotation_deg) if has_pairs else None,
        f"rpe_{step}_rotation_rmse_deg": rms(errors.rotation_deg) if has_pairs else None,
    }
    return {name: None if value is None else float(value) for name, value in values.items()}


NO_ERRORS: Mapping[str, float | None] = dict.fromkeys(
    [
        "path_m",
        "scale",
        "ate_sim3_rmse",
        "ate_sim3_median",
        "ate_sim3_max",
        "ate_percent_of_path",
        "ate_se3_rmse",
        *(
            f"rpe_{step}_{what}"
            for step in RPE_STEPS
            for what in (
                "translation_median",
                "translation_rmse",
                "rotation_median_deg",
                "rotation_rmse_deg",
            )
        ),
    ]
)
