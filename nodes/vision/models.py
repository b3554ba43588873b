"""Four models of how the matches of two views moved, fitted to one pair, and compared.

The models are nested: the identity (no parameter) in the rotations (3) in the homographies (8), and
the rotations in the essential matrices (5, and a depth for each match). That a simple model
suffices means two things of each richer one:

- Share: it fits at least `MIN_SHARE` of the matches that either of them fits. What is left may be
  people who walk before a camera that stands still.
- No gain: on the matches that the simple model fits, the richer one is not better by the F test of
  nested models (as Kanatani, Statistical Optimization for Geometric Computation, 1996, chapter 13,
  and Torr, "Geometric motion segmentation and model selection", Phil. Trans. R. Soc. A, 1998) at
  the level `LEVEL`. A gain of a few hundredths of a pixel does not count: real errors are neither
  normal nor independent, and no calibration is exact.

The noise is not known: it comes from the residuals of the richest model. As a simple model is
compared by its own best fit, a turn stays a turn, though an essential matrix explains it as well by
a wrong rotation and a translation.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from nodes.vision.least_squares import noise_sigma, normal_equations
from nodes.vision.motion import (
    MIN_MATCHES,
    NOISE_START,
    moved_px,
    num_distinct_points,
    why_undetermined,
)
from nodes.vision.rotation import refine_rotation, rotation_flow, sample_rotation
from nodes.vision.significance import rotation_false_alarms
from nodes.vision.transfer import Transfer, transfer
from nodes.vision.two_view import fundamental, normalised, sampson_distance, spread

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

MIN_SIGMA_PX = 0.1  # nothing is localised better
INLIER_SIGMAS = 3.0
MIN_SHARE = {"static": 0.7, "rotation": 0.8, "planar": 0.85}
LEVEL = 1e-5
SEARCHED = 1.3
"""How much better an essential matrix fits a mere turn than the F test supposes: it was found by
search, and the noise is taken from what it left."""
MIN_GAIN_PX = {"static": 0.25, "rotation": 0.05, "planar": 0.05}
"""Of one image and coordinate, root mean square."""
MAX_FALSE_ALARMS = -3.0  # logarithm to the base 10
SAMPLE_ERROR_PX = 1.5  # of a rotation through two matches
IDENTITY: Float = np.eye(3, dtype=np.float64)
CALIBRATION_ERROR = 0.005  # of the flow of a rotation: what K and the lens model may be off


@dataclass(frozen=True, eq=False)
class View:
    """The finite matches of two views: points (M, 2) in pixels of a camera K."""

    points0: Float
    points1: Float
    K: Float

    @cached_property
    def rays0(self) -> Float:
        """Normalised coordinates of points0."""
        return normalised(self.points0, self.K)

    @cached_property
    def rays1(self) -> Float:
        """Normalised coordinates of points1."""
        return normalised(self.points1, self.K)

    @cached_property
    def focal(self) -> Float:
        """(fx, fy), pixels."""
        return np.diag(self.K)[:2].copy()

    def transfer(self, G_1_0: Float) -> Transfer:
        """Carry points0 over by a homography of normalised coordinates."""
        return transfer(G_1_0, self.rays0, self.rays1, self.focal)


@dataclass(frozen=True, eq=False)
class Warp:
    """A model that says where each point goes: the identity, a rotation or a homography."""

    label: str
    G_1_0: Float
    moved: Transfer
    inliers: Bool
    sigma: float
    """Deviation of a coordinate, pixels: noise and, for a rotation, error of the calibration."""
    min_gain_px: float
    """What a richer model has to explain beyond it: root mean square of a coordinate."""


@dataclass(frozen=True, eq=False)
class Epipolar:
    """The model that says on which line each point lies: a motion with a translation."""

    T_1_0: Float
    squared: Float
    """Squared Sampson distances (M,), pixels."""
    inliers: Bool
    sigma: float
    """Noise of a coordinate, pixels."""


@dataclass(frozen=True, eq=False)
class Models:
    """All models of a pair, None for what was not found, and the noise of a coordinate, pixels."""

    sigma: float
    identity: Warp
    rotation: Warp
    homography: Warp | None
    essential: Epipolar | None


def fit_models(
    view: View, T_1_0: Float | None, H_1_0: Float | None, threshold_px: float, seed: int
) -> Models:
    """Find the rotation, and judge all models by the noise of the richest one."""
    start_px = NOISE_START * threshold_px
    G_1_0 = None if H_1_0 is None else np.asarray(np.linalg.inv(view.K) @ H_1_0 @ view.K)
    essential = None if T_1_0 is None else _epipolar(T_1_0, view, start_px)
    R_1_0 = sample_rotation(view.rays0, view.rays1, view.focal, start_px, seed)
    if essential is not None:
        sigma = essential.sigma
    else:
        richest = view.transfer(R_1_0 if G_1_0 is None else G_1_0)
        sigma = max(noise_sigma(richest.squared, 2, start_px), MIN_SIGMA_PX)
    calibration_px = CALIBRATION_ERROR * rotation_flow(R_1_0, view.rays0, view.focal)
    scale = float(np.hypot(sigma, calibration_px))
    near = view.transfer(R_1_0).squared < (INLIER_SIGMAS * scale + SAMPLE_ERROR_PX) ** 2
    num_needed = 0 if essential is None else MIN_SHARE["rotation"] * np.sum(essential.inliers)
    if np.sum(near) >= max(num_needed, MIN_MATCHES):  # else it will not do in any case
        R_1_0 = refine_rotation(R_1_0, view.rays0[near], view.rays1[near], view.focal, scale)
    return Models(
        sigma,
        _warp("static", IDENTITY, view, sigma),
        _warp("rotation", R_1_0, view, sigma, calibration_px),
        None if G_1_0 is None else _warp("planar", G_1_0, view, sigma),
        essential,
    )


def suffices(simple: Warp, richer: Warp | Epipolar | None) -> bool:
    """Return whether a richer model, if there is one, leaves the simple one as good as before."""
    if richer is None:
        return True
    num_fitted = int(np.sum(simple.inliers))
    num_missed = int(np.sum(richer.inliers & ~simple.inliers))
    if num_fitted < MIN_SHARE[simple.label] * (num_fitted + num_missed):
        return False
    if isinstance(richer, Epipolar):
        level, gain_px = _gain_by_lines(simple, richer)
    else:
        level, gain_px = _gain_by_parameters(simple, richer)
    return level > LEVEL or gain_px < simple.min_gain_px


def is_significant(warp: Warp, view: View) -> bool:
    """Return whether more matches fit the identity or a rotation than chance would bring."""
    points0, points1 = view.points0[warp.inliers], view.points1[warp.inliers]
    if why_undetermined(points0, points1, "inliers") is not None:
        return False
    num = min(num_distinct_points(points0), num_distinct_points(points1))
    # Both views err: in one of them a point may be sqrt(2) times as far away.
    limit_px = np.sqrt(2) * INLIER_SIGMAS * warp.sigma
    if min(spread(points0), spread(points1)) < limit_px:
        return False
    return rotation_false_alarms(num, view.points0, view.points1, limit_px) < MAX_FALSE_ALARMS


def _epipolar(T_1_0: Float, view: View, start_px: float) -> Epipolar:
    F_1_0 = fundamental(T_1_0, view.K)
    squared = sampson_distance(F_1_0, view.points0, view.points1) ** 2
    sigma = noise_sigma(squared, 1, start_px)
    num = int(np.sum(squared < (INLIER_SIGMAS * sigma) ** 2))
    sigma = max(sigma * np.sqrt(num / max(num - 5, 1)), MIN_SIGMA_PX)  # five of them were fitted
    limit_px = INLIER_SIGMAS * sigma
    moved = moved_px(T_1_0, view.points0, view.points1, view.K)
    fits = (squared < limit_px**2) & (moved > -limit_px)
    return Epipolar(T_1_0, squared, fits, sigma)


def _warp(label: str, G_1_0: Float, view: View, noise: float, calibration: float = 0.0) -> Warp:
    moved, sigma = view.transfer(G_1_0), float(np.hypot(noise, calibration))
    inliers = moved.squared < (INLIER_SIGMAS * sigma) ** 2
    return Warp(label, G_1_0, moved, inliers, sigma, MIN_GAIN_PX[label] + calibration)


def _gain_by_lines(simple: Warp, richer: Epipolar) -> tuple[float, float]:
    """Return the level of an F test against an essential matrix, and its gain in pixels.

    It has a parameter more for each match, and one error less.
    """
    rows = simple.inliers
    num = int(np.sum(rows))
    if num < MIN_MATCHES:
        return 0.0, np.inf
    before = float(np.sum(simple.moved.squared[rows]))
    after = float(np.sum(np.minimum(richer.squared[rows], (INLIER_SIGMAS * richer.sigma) ** 2)))
    rest = max(after / (num - 5), MIN_SIGMA_PX**2)
    explained = max(before - after, 0.0) / (num + 2)
    return float(fdtrc(num + 2, num - 5, explained / rest / SEARCHED)), float(
        np.sqrt(max(explained - rest, 0))
    )


def _gain_by_parameters(simple: Warp, richer: Warp) -> tuple[float, float]:
    """Return the level of an F test against a rotation or a homography, and its gain in pixels.

    The sum of squares falls by that of one Gauss-Newton step: the models are near each other where
    the simple one fits.
    """
    rows = simple.inliers
    if np.sum(rows) < MIN_MATCHES:
        return 0.0, np.inf
    errors, by_q, x0 = (
        a[..., rows] for a in (simple.moved.errors, simple.moved.derivative, simple.moved.rays)
    )
    num = errors.shape[1]
    if richer.label == "rotation":
        derivative, num_parameters = simple.moved.by_rotation[..., rows], 3
    else:
        derivative, num_parameters = (by_q[:, None] * x0[:, None]).reshape(9, 2, num), 8
    A, g = normal_equations(errors, derivative, np.ones(num))
    values, vectors = np.linalg.eigh(A)  # of the nine entries, the scale moves nothing
    along = (vectors.T @ g)[-num_parameters:]
    fallen = float(np.sum(along**2 / values[-num_parameters:]))
    spare = errors.size - num_parameters
    rest = max((float(np.sum(errors**2)) - fallen) / spare, MIN_SIGMA_PX**2)
    level = fdtrc(num_parameters, spare, fallen / num_parameters / rest)
    return float(level), float(np.sqrt(fallen / num))
