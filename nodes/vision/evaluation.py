"""Errors of relative poses against ground truth, in degrees.

A pair is two frames of a stream, prev and cur. A missing pose counts as 180 degrees. The direction
of a translation can be judged only where it is seen: where the matches, once the true rotation is
taken out, move by at least `MIN_FLOW_PX` in the median.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation
from scipy.special import gammaincinv

from nodes.vision.covariance import tangent_basis
from nodes.vision.se3 import direction_angle, inverse, rotation_angle

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]

MISSING_DEG = 180.0
MIN_FLOW_PX = 2.0
MAX_TIME_OFFSET_NS = 20_000_000
AUC_THRESHOLDS_DEG = (5, 10, 20)
_NO_TRANSLATION = 1e-6  # a true step this short is the noise of the file


@dataclass(frozen=True)
class PairError:
    """The errors of one pair.

    `direction_deg` is None where the camera truly stood still. `flow_px` is the median motion of
    the matches that the true rotation does not explain, None where it is not known.
    """

    rotation_deg: float
    direction_deg: float | None
    has_pose: bool
    flow_px: float | None = None

    @property
    def is_direction_seen(self) -> bool:
        """Whether the direction is scored; without a known flow it is."""
        is_seen = self.flow_px is None or self.flow_px >= MIN_FLOW_PX
        return self.direction_deg is not None and is_seen


def score_pair(
    T_cur_prev: Float | None, true_T_cur_prev: Float, flow_px: float | None
) -> PairError:
    """Compare a pose (4, 4), None where it is missing, with the truth (4, 4).

    A pose without translation has a direction error of 180 degrees where there truly is one.
    """
    moves = np.linalg.norm(true_T_cur_prev[:3, 3]) > _NO_TRANSLATION
    if T_cur_prev is None:
        return PairError(MISSING_DEG, MISSING_DEG if moves else None, False, flow_px)
    rotation = rotation_angle(T_cur_prev[:3, :3].T @ true_T_cur_prev[:3, :3])
    direction = direction_angle(T_cur_prev[:3, 3], true_T_cur_prev[:3, 3])
    direction_deg = float(np.degrees(direction)) if moves else None
    return PairError(float(np.degrees(rotation)), direction_deg, True, flow_px)


def normalised_error_squared(
    T_cur_prev: Float, true_T_cur_prev: Float, covariance: Float
) -> float | None:
    """Return e^T C^-1 e of a pose (4, 4); None where C is singular or a direction is missing.

    Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001,
    section 5.4.2. The error e, which nodes/vision/covariance.py defines, has the five coordinates
    of rotation and direction, or the three of a rotation, as the covariance (5, 5) or (3, 3) has.
    """
    error = Rotation.from_matrix(true_T_cur_prev[:3, :3] @ T_cur_prev[:3, :3].T).as_rotvec()
    if len(covariance) == 5:
        length = float(np.linalg.norm(true_T_cur_prev[:3, 3]))
        t = T_cur_prev[:3, 3]
        if length <= _NO_TRANSLATION or not np.any(t):
            return None
        angle = direction_angle(t, true_T_cur_prev[:3, 3])
        across = tangent_basis(t).T @ true_T_cur_prev[:3, 3] / length
        size = float(np.linalg.norm(across))  # 0 also where the two are opposite
        error = np.hstack([error, angle * (across / size if size > 0 else np.array([1.0, 0.0]))])
    try:
        return float(error @ np.linalg.solve(covariance, error))
    except np.linalg.LinAlgError:
        return None


def summarise_nees(squared: Sequence[float], dof: int) -> dict[str, float | int | None]:
    """Return how well covariances fit the errors, from normalised errors squared of `dof` each.

    Mean and median are divided by those of the chi-square distribution: 1 is calibrated, more is
    too sure, and the median does not mind a few wrong poses. Of calibrated ones 95 % are within.
    """
    if not len(squared):
        return {"num_nees": 0, "nees_mean": None, "nees_median": None, "nees_within_95": None}
    return {
        "num_nees": len(squared),
        "nees_mean": float(np.mean(squared)) / dof,
        "nees_median": float(np.median(squared)) / _chi_square(0.5, dof),
        "nees_within_95": float(np.mean(np.array(squared) <= _chi_square(0.95, dof))),
    }


def _chi_square(share: float, dof: int) -> float:
    """Return the number below which a share of a chi-square distribution lies."""
    return float(2 * gammaincinv(dof / 2, share))


def relative_pose(T_world_prev: Float, T_world_cur: Float) -> Float:
    """Return T_cur_prev (4, 4), with the translation in the unit of the world."""
    return inverse(T_world_cur) @ T_world_prev


def unexplained_flow(
    points_prev: Float, points_cur: Float, K: Float, R_cur_prev: Float
) -> float | None:
    """Return the median motion in pixels that a rotation leaves unexplained; None without points.

    Args:
        points_prev: (M, 2) float64, normalised coordinates (undistorted); NaN rows are left out.
        points_cur: (M, 2) likewise; row i matches points_prev[i].
        K: (3, 3) float64, pixels.
        R_cur_prev: (3, 3) float64.
    """
    is_known = np.isfinite(points_prev).all(axis=1) & np.isfinite(points_cur).all(axis=1)
    if not is_known.any():
        return None
    points_prev, points_cur = points_prev[is_known], points_cur[is_known]
    rays = np.column_stack([points_prev, np.ones(len(points_prev))]) @ R_cur_prev.T
    in_front = rays[:, 2] > 0
    rotated = rays[:, :2] / np.where(in_front, rays[:, 2], 1)[:, None]
    distance = np.linalg.norm((points_cur - rotated) * np.diag(K)[:2], axis=1)
    return float(np.median(np.where(in_front, distance, np.inf)))


def time_tolerance_ns(groundtruth_ns: Int) -> int:
    """Return how far from a frame a true pose may lie: half the median spacing, at most 20 ms."""
    spacing = np.diff(np.unique(groundtruth_ns))
    if not len(spacing):
        return MAX_TIME_OFFSET_NS
    return min(MAX_TIME_OFFSET_NS, int(np.median(spacing)) // 2)


def pair_stamps(stamps_ns: Int, groundtruth_ns: Int) -> Int:
    """Return for each stamp (N,) the index of the nearest true pose (P,), -1 where none is near."""
    if not len(groundtruth_ns):
        return np.full(len(stamps_ns), -1, np.int64)
    order = np.argsort(groundtruth_ns, kind="stable")
    ordered = groundtruth_ns[order]
    before = np.maximum(np.searchsorted(ordered, stamps_ns) - 1, 0)
    after = np.minimum(before + 1, len(ordered) - 1)
    is_after = np.abs(ordered[after] - stamps_ns) < np.abs(ordered[before] - stamps_ns)
    nearest = np.where(is_after, after, before)
    is_near = np.abs(ordered[nearest] - stamps_ns) <= time_tolerance_ns(groundtruth_ns)
    return np.where(is_near, order[nearest], -1).astype(np.int64)


def auc(errors_deg: Sequence[float], threshold_deg: float) -> float | None:
    """Return the area under the recall curve up to a threshold, 0 to 1; None without errors.

    The curve joins the points (error, share of the errors up to it) by lines, from (0, 0), as in
    the evaluation of Sarlin et al., "SuperGlue", CVPR 2020, section 5.2.
    """
    if not len(errors_deg):
        return None
    errors = np.sort(np.asarray(errors_deg, np.float64))
    num_within = int(np.searchsorted(errors, threshold_deg))
    recall = np.arange(num_within + 1) / len(errors)
    x = np.concatenate([[0.0], errors[:num_within], [threshold_deg]])
    y = np.concatenate([recall, recall[-1:]])
    return float(np.trapezoid(y, x) / threshold_deg)


def summarise(errors: Sequence[PairError]) -> dict[str, float | int | None]:
    """Return the figures of all pairs with ground truth; None where nothing could be scored."""
    seen = [e for e in errors if e.is_direction_seen]
    unseen = [e for e in errors if not e.is_direction_seen]
    directions = [e.direction_deg for e in seen if e.direction_deg is not None]
    all_directions = [e.direction_deg for e in errors if e.direction_deg is not None]
    worst = [max(e.rotation_deg, e.direction_deg or 0.0) for e in seen]
    return {
        "num_scored": len(errors),
        "num_flow_unknown": sum(e.flow_px is None for e in errors),
        "num_missing": sum(not e.has_pose for e in errors),
        **_percentiles("rotation", [e.rotation_deg for e in errors]),
        "num_direction_scored": len(seen),
        **_percentiles("direction", directions),
        **{f"auc_{t}_deg": auc(worst, t) for t in AUC_THRESHOLDS_DEG},
        "num_small_flow": len(unseen),
        **_percentiles("small_flow_rotation", [e.rotation_deg for e in unseen]),
        **_percentiles("direction_all_pairs", all_directions),
    }


def _percentiles(name: str, values: Sequence[float]) -> dict[str, float | None]:
    median, p90 = np.percentile(values, [50, 90]).tolist() if len(values) else (None, None)
    return {f"{name}_median_deg": median, f"{name}_p90_deg": p90}
