"""Bundle adjustment of a window: poses and landmarks together, until the pixels agree best.

Triggs, McLauchlan, Hartley & Fitzgibbon, "Bundle adjustment - a modern synthesis", 2000, sections
3 and 4; Hartley & Zisserman, "Multiple View Geometry", 2nd edition, appendix 6. Our own solver in
numpy, for a window is small: it needs no package, and it repeats to the bit.

A pose moves by R <- exp(w) R, t <- exp(w) t + v, on the left of T_cam_world: a point p of the
camera moves by w x p + v. An error e costs c^2 log(1 + e^2 / c^2) (Cauchy), c the loss scale.
"""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from nodes.vision.schur import NormalEquations, coupling_cells, solve
from nodes.vision.triangulation import MIN_DEPTH, reprojection_errors, sums

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

FIRST_DAMPING = 1e-4
MIN_DAMPING = 1e-8
DAMPING_FACTOR = 10.0
MIN_GAIN = 1e-5  # of the cost, for another iteration
BEHIND = 1e4  # an observation behind its camera costs as if it were so many loss scales off


@dataclass(frozen=True, eq=False)
class Observations:
    """What was seen where: row i says that view views[i] sees landmark landmarks[i] at pixels[i].

    views: (O,) int64; landmarks: (O,) int64; pixels: (O, 2) float64, ideal (undistorted).
    """

    views: Int
    landmarks: Int
    pixels: Float


@dataclass(frozen=True, eq=False)
class Adjusted:
    """The poses and landmarks after the adjustment, in the caller's order.

    T_cam_world: (V, 4, 4); points_world: (L, 3); errors: (O,) pixels, inf behind the camera. The
    costs are sums in squared pixels over the observations that took part.
    """

    T_cam_world: Float
    points_world: Float
    errors: Float
    num_iterations: int
    cost_before: float
    cost_after: float


def adjust(
    T_cam_world: Float,
    points_world: Float,
    observations: Observations,
    K: Float,
    is_fixed: Bool,
    loss_scale_px: float = 1.0,
    max_iterations: int = 8,
) -> Adjusted:
    """Minimise the robust reprojection errors by Levenberg-Marquardt; never end worse.

    A fixed view keeps its pose to the bit, and what it sees counts. With one fixed view the scale
    is free: the damping holds it near the start's. Not taking part, and kept as they are: landmarks
    seen by fewer than two views, and whatever is not finite. A landmark that a step would take
    behind a camera goes half of its way to it.

    Args:
        T_cam_world: (V, 4, 4).
        points_world: (L, 3).
        observations: O of them.
        K: (3, 3), without skew.
        is_fixed: (V,), at least one of them, or the world drifts.
        loss_scale_px: c; an error of c counts half of its square's slope.
        max_iterations: how many steps are tried.
    """
    problem = _problem(T_cam_world, points_world, observations, K, is_fixed, loss_scale_px)
    state = start = _judged(problem, T_cam_world.copy(), points_world.copy())
    damping, num_iterations, equations = FIRST_DAMPING, 0, None
    while num_iterations < max_iterations and len(problem.views):
        num_iterations += 1
        equations = equations or _linearised(problem, state)
        trial = _stepped(problem, state, equations, damping)
        gain = state.cost - trial.cost
        if gain > 0:
            state, equations, damping = trial, None, max(damping / DAMPING_FACTOR, MIN_DAMPING)
        else:
            damping *= DAMPING_FACTOR
        if abs(gain) <= MIN_GAIN * state.cost:
            break
    T, points = state.T_cam_world, state.points_world
    seen = points[observations.landmarks]
    errors = reprojection_errors(T[observations.views], seen, observations.pixels, K)
    return Adjusted(T, points, errors, num_iterations, start.cost, state.cost)


@dataclass(frozen=True, eq=False)
class _Problem:
    """What does not change: the O observations that take part, those of F free views first."""

    views: Int  # (O,)
    landmarks: Int  # (O,)
    pixels: Float  # (O, 2)
    free: Int  # (F,) views
    bounds: Int  # (F + 1,); rows bounds[i] to bounds[i + 1] are those of the view free[i]
    cells: Int  # (bounds[F], 6, 3), see coupling_cells
    K: Float
    loss_scale_px: float


@dataclass(frozen=True, eq=False)
class _State:
    T_cam_world: Float
    points_world: Float
    points_cam: Float  # (O, 3)
    residuals: Float  # (O, 2) pixels, projected minus seen
    depths: Float  # (O,)
    in_front: Bool  # (O,)
    cost: float


def _problem(
    T_cam_world: Float,
    points_world: Float,
    observations: Observations,
    K: Float,
    is_fixed: Bool,
    loss_scale_px: float,
) -> _Problem:
    views, landmarks, pixels = observations.views, observations.landmarks, observations.pixels
    num_views, num_landmarks = len(T_cam_world), len(points_world)
    is_sound = _finite_rows(T_cam_world)
    is_finite = _finite_rows(pixels) & is_sound[views] & _finite_rows(points_world)[landmarks]
    pairs = np.unique(landmarks[is_finite] * num_views + views[is_finite])
    num_seen = np.bincount(pairs // max(num_views, 1), minlength=num_landmarks)
    rows = np.flatnonzero(is_finite & (num_seen[landmarks] >= 2))

    is_free = ~is_fixed & is_sound
    order = np.argsort(~is_free, kind="stable")  # free views first
    ranks = np.argsort(order, kind="stable")[views]
    rows = rows[np.argsort(ranks[rows], kind="stable")]
    free = order[: np.count_nonzero(is_free)]
    bounds = np.searchsorted(ranks[rows], np.arange(len(free) + 1))
    of_free = rows[: bounds[-1]]
    cells = coupling_cells(ranks[of_free], landmarks[of_free], num_landmarks)
    return _Problem(
        views[rows], landmarks[rows], pixels[rows], free, bounds, cells, K, loss_scale_px
    )


def _judged(problem: _Problem, T_cam_world: Float, points_world: Float) -> _State:
    T = T_cam_world[problem.views]
    points_cam = np.einsum("oij,oj->oi", T[:, :3, :3], points_world[problem.landmarks])
    points_cam += T[:, :3, 3]
    depths = points_cam[:, 2].copy()
    in_front = depths > MIN_DEPTH
    points_cam[~in_front] = 0, 0, 1  # any place without a division by zero: its weight is zero
    focal, centre = problem.K[[0, 1], [0, 1]], problem.K[:2, 2]
    residuals = points_cam[:, :2] / points_cam[:, 2:] * focal + centre - problem.pixels
    scaled = np.where(in_front, _squares(residuals) / problem.loss_scale_px**2, BEHIND**2)
    cost = problem.loss_scale_px**2 * float(np.log1p(scaled).sum())
    return _State(T_cam_world, points_world, points_cam, residuals, depths, in_front, cost)


def _linearised(problem: _Problem, state: _State) -> NormalEquations:
    """Build the normal equations, each observation weighted by the slope of its loss."""
    weights = 1 / (1 + _squares(state.residuals) / problem.loss_scale_px**2)
    roots = np.sqrt(np.where(state.in_front, weights, 0.0))
    J_views, J_landmarks = _jacobians(problem, state)
    J_views *= roots[: len(J_views), None, None]
    J_landmarks *= roots[:, None, None]
    residuals = state.residuals * roots[:, None]

    spans = [slice(*span) for span in itertools.pairwise(problem.bounds)]
    by_view = [(J_views[span].reshape(-1, 6), residuals[span].ravel()) for span in spans]
    landmarks, num_landmarks = problem.landmarks, len(state.points_world)
    blocks = (J_landmarks.transpose(0, 2, 1) @ J_landmarks).reshape(-1, 9)
    gradients = np.einsum("oai,oa->oi", J_landmarks, residuals)
    return NormalEquations(
        J_views,
        J_landmarks[: len(J_views)],
        landmarks[: len(J_views)],
        problem.cells,
        np.array([J.T @ J for J, _ in by_view]).reshape(-1, 6, 6),
        sums(blocks, landmarks, num_landmarks).reshape(-1, 3, 3),
        np.array([J.T @ r for J, r in by_view]).reshape(-1, 6),
        sums(gradients, landmarks, num_landmarks),
    )


def _jacobians(problem: _Problem, state: _State) -> tuple[Float, Float]:
    """Return the derivatives of the projections, by the free poses and by the landmarks."""
    inverse_depths = 1 / state.points_cam[:, 2:]
    normalised = state.points_cam[:, :2] * inverse_depths
    R = state.T_cam_world[problem.views, :3, :3]
    scales = (problem.K[[0, 1], [0, 1]] * inverse_depths)[:, :, None]
    J_landmarks = (R[:, :2] - normalised[:, :, None] * R[:, 2:]) * scales

    num = problem.bounds[-1]
    J_views = np.empty((num, 2, 6))
    x, y = normalised[:num].T
    J_views[:, 0, :3] = np.column_stack([-x * y, 1 + x * x, -y])
    J_views[:, 1, :3] = np.column_stack([-1 - y * y, x * y, x])
    J_views[:, :, :3] *= problem.K[[0, 1], [0, 1]][:, None]
    J_views[:, :, 3:5] = np.eye(2) * scales[:num]
    J_views[:, :, 5] = -normalised[:num] * scales[:num, :, 0]
    return J_views, J_landmarks


def _stepped(
    problem: _Problem, state: _State, equations: NormalEquations, damping: float
) -> _State:
    """Take one step; a state of infinite cost where there is none."""
    step = solve(equations, damping)
    if step is None:
        return replace(state, cost=np.inf)
    T, free = state.T_cam_world.copy(), problem.free
    T[free, :3] = Rotation.from_rotvec(step[0][:, :3]).as_matrix() @ T[free, :3]
    T[free, :3, 3] += step[0][:, 3:]
    trial = _judged(problem, T, state.points_world + step[1])
    is_lost = state.in_front & ~trial.in_front
    if not is_lost.any():
        return trial
    # Too deep by more than twice, a step overshoots the camera: limit it, or all steps would fail.
    before, after = state.depths[is_lost], trial.depths[is_lost]
    shares = np.ones((len(state.points_world), 1))
    np.minimum.at(shares[:, 0], problem.landmarks[is_lost], 0.5 * before / (before - after))
    return _judged(problem, T, state.points_world + shares * step[1])


def _finite_rows(array: Float) -> Bool:
    return np.asarray(np.isfinite(array).all(axis=tuple(range(1, array.ndim))), np.bool_)


def _squares(residuals: Float) -> Float:
    return np.asarray(np.einsum("oi,oi->o", residuals, residuals), np.float64)
