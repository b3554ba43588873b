"""Bundle adjustment: truth, robustness, what is fixed, what cannot be had."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from two_view_scene import VGA

from nodes.vision import bundle, schur
from nodes.vision.bundle import Adjusted, Observations, adjust
from nodes.vision.se3 import from_rotation_vector, inverse, rotation_angle

K = VGA.K


@dataclass(frozen=True, eq=False)
class Window:
    """A window of V views of L landmarks, and a disturbed start of it."""

    T_cam_world: np.ndarray
    points: np.ndarray
    observations: Observations
    T_start: np.ndarray
    points_start: np.ndarray
    is_fixed: np.ndarray
    is_outlier: np.ndarray

    def adjust(self, **options: float) -> Adjusted:
        """Adjust the start."""
        return adjust(
            self.T_start, self.points_start, self.observations, K, self.is_fixed, **options
        )


def make_window(
    noise_px: float = 0.0,
    outlier_fraction: float = 0.0,
    num_views: int = 6,
    num_landmarks: int = 120,
    num_fixed: int = 2,
    seed: int = 0,
) -> Window:
    """Make a camera that moves sideways; the later views see seven tenths of the landmarks."""
    rng = np.random.default_rng(seed)
    T = np.array(
        [
            inverse(from_rotation_vector(rng.normal(0, 0.05, 3), np.array([0.4 * i, 0, 0.1 * i])))
            for i in range(num_views)
        ]
    )
    points = rng.uniform([-2, -2, 4], [4, 2, 10], (num_landmarks, 3))
    is_seen = rng.random((num_views, num_landmarks)) < 0.7
    is_seen[:2] = True
    views, landmarks = np.nonzero(is_seen)
    order = rng.permutation(len(views))
    views, landmarks = views[order], landmarks[order]
    pixels = project(T, points, views, landmarks) + rng.normal(0, noise_px, (len(views), 2))
    is_outlier = rng.random(len(views)) < outlier_fraction
    pixels[is_outlier] = rng.uniform([0, 0], [640, 480], (is_outlier.sum(), 2))
    T_start = T.copy()
    for i in range(num_fixed, num_views):
        T_start[i] = from_rotation_vector(rng.normal(0, 0.01, 3), rng.normal(0, 0.03, 3)) @ T[i]
    points_start = points + rng.normal(0, 0.1, points.shape)
    is_fixed = np.arange(num_views) < num_fixed
    observations = Observations(views, landmarks, pixels)
    return Window(T, points, observations, T_start, points_start, is_fixed, is_outlier)


def project(
    T: np.ndarray, points: np.ndarray, views: np.ndarray, landmarks: np.ndarray
) -> np.ndarray:
    """Return pixels (O, 2)."""
    points_cam = np.einsum("oij,oj->oi", T[views, :3, :3], points[landmarks]) + T[views, :3, 3]
    homogeneous = points_cam @ K.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def pose_errors(adjusted: Adjusted, window: Window) -> tuple[float, float]:
    """Return the worst errors of rotation (degrees) and of translation."""
    pairs = list(zip(adjusted.T_cam_world, window.T_cam_world, strict=True))
    turned = max(np.degrees(rotation_angle(a[:3, :3].T @ b[:3, :3])) for a, b in pairs)
    return turned, max(np.linalg.norm(a[:3, 3] - b[:3, 3]) for a, b in pairs)


def rms(errors: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def without(observations: Observations, rows: np.ndarray) -> Observations:
    """Drop rows (O,) bool."""
    kept = ~rows
    return Observations(
        observations.views[kept], observations.landmarks[kept], observations.pixels[kept]
    )


def same(a: Adjusted, b: Adjusted) -> bool:
    """Tell whether two results are equal to the bit."""
    return (
        np.array_equal(a.T_cam_world, b.T_cam_world)
        and np.array_equal(a.points_world, b.points_world)
        and np.array_equal(a.errors, b.errors)
    )


def test_exact_pixels_give_the_exact_window_in_six_steps() -> None:
    window = make_window()
    adjusted = window.adjust(max_iterations=6)
    assert np.allclose(adjusted.T_cam_world, window.T_cam_world, atol=1e-9)
    assert np.allclose(adjusted.points_world, window.points, atol=1e-8)
    assert adjusted.cost_after < 1e-15 < adjusted.cost_before


def test_noisy_pixels_are_met_within_their_noise() -> None:
    window = make_window(noise_px=0.5, num_landmarks=300)
    adjusted = window.adjust(loss_scale_px=5.0)
    num_measured = 2 * len(window.observations.views)
    num_unknown = 6 * 4 + 3 * 300
    expected = 0.5 * np.sqrt(2 * (num_measured - num_unknown) / num_measured)
    assert rms(adjusted.errors) == pytest.approx(expected, rel=0.05)
    turned, moved = pose_errors(adjusted, window)
    assert turned < 0.1
    assert moved < 0.02


def test_the_costs_are_those_of_the_cauchy_loss() -> None:
    window = make_window(noise_px=0.5)
    adjusted = window.adjust(loss_scale_px=2.0)
    pixels = window.observations.pixels
    views, landmarks = window.observations.views, window.observations.landmarks
    before = np.linalg.norm(
        project(window.T_start, window.points_start, views, landmarks) - pixels, axis=1
    )
    after = np.linalg.norm(
        project(adjusted.T_cam_world, adjusted.points_world, views, landmarks) - pixels, axis=1
    )
    assert np.allclose(adjusted.errors, after)
    assert adjusted.cost_before == pytest.approx(4 * np.log1p(before**2 / 4).sum())
    assert adjusted.cost_after == pytest.approx(4 * np.log1p(after**2 / 4).sum())
    assert 0 < adjusted.num_iterations <= 8


def test_scipy_finds_the_same_least_cost() -> None:
    window = make_window(0.5, num_views=4, num_landmarks=15)
    views, landmarks = window.observations.views, window.observations.landmarks
    adjusted = window.adjust(loss_scale_px=1.5, max_iterations=50)

    def residuals(x: np.ndarray) -> np.ndarray:
        T = window.T_start.copy()
        T[2:, :3, :3] = Rotation.from_rotvec(x[:6].reshape(2, 3)).as_matrix() @ T[2:, :3, :3]
        T[2:, :3, 3] += x[6:12].reshape(2, 3)
        points = window.points_start + x[12:].reshape(-1, 3)
        offs = project(T, points, views, landmarks) - window.observations.pixels
        scaled = (offs**2).sum(axis=1, keepdims=True) / 1.5**2
        return (offs * np.sqrt(np.log1p(scaled) / scaled)).ravel()  # its square is the loss

    best = least_squares(residuals, np.zeros(12 + 45), x_scale="jac")
    assert adjusted.cost_after == pytest.approx(2 * best.cost, rel=1e-4)


def test_a_tenth_of_gross_outliers_does_not_pull_the_window() -> None:
    window = make_window(noise_px=0.5, outlier_fraction=0.1, num_landmarks=300)
    clean = replace(window, observations=without(window.observations, window.is_outlier))
    adjusted, expected = (w.adjust(max_iterations=20) for w in (window, clean))
    assert pose_errors(adjusted, window)[0] < 1.2 * pose_errors(expected, window)[0] + 0.01
    assert pose_errors(adjusted, window)[1] < 1.2 * pose_errors(expected, window)[1] + 0.002
    assert np.median(adjusted.errors[~window.is_outlier]) < 0.6
    assert np.median(adjusted.errors[window.is_outlier]) > 50


def test_fixed_views_and_what_was_passed_in_stay_to_the_bit() -> None:
    window = make_window(noise_px=0.5)
    shuffled = replace(window, is_fixed=np.array([False, True, False, False, True, False]))
    T_start, points_start = window.T_start.copy(), window.points_start.copy()
    adjusted = shuffled.adjust()
    assert np.array_equal(adjusted.T_cam_world[[1, 4]], T_start[[1, 4]])
    assert not (adjusted.T_cam_world[[0, 2, 3, 5]] == T_start[[0, 2, 3, 5]]).all(axis=(1, 2)).any()
    assert np.array_equal(window.T_start, T_start)
    assert np.array_equal(window.points_start, points_start)


def test_what_a_fixed_view_sees_counts() -> None:
    window = make_window()
    blind = without(window.observations, window.is_fixed[window.observations.views])
    seeing = window.adjust(max_iterations=20)
    unseeing = replace(window, observations=blind).adjust(max_iterations=20)
    assert pose_errors(seeing, window)[1] < 1e-6
    assert pose_errors(unseeing, window)[1] > 1e-3


def test_one_fixed_view_leaves_the_scale_near_the_starts() -> None:
    window = make_window(noise_px=0.3, num_fixed=1)
    adjusted = window.adjust(max_iterations=50)
    scale = np.median(adjusted.points_world[:, 2] / window.points[:, 2])
    assert scale == pytest.approx(1, abs=0.05)
    scaled = adjusted.T_cam_world.copy()
    scaled[:, :3, 3] /= scale
    assert pose_errors(replace(adjusted, T_cam_world=scaled), window)[0] < 0.1
    assert np.abs(scaled - window.T_cam_world).max() < 0.02
    assert rms(adjusted.errors) < 0.45


def test_without_a_fixed_view_the_pixels_are_still_met() -> None:
    adjusted = replace(make_window(noise_px=0.3), is_fixed=np.zeros(6, np.bool_)).adjust()
    assert rms(adjusted.errors) < 0.45


def test_with_all_views_fixed_the_landmarks_are_found() -> None:
    window = make_window()
    all_fixed = replace(window, T_start=window.T_cam_world, is_fixed=np.ones(6, np.bool_))
    adjusted = all_fixed.adjust()
    assert np.array_equal(adjusted.T_cam_world, window.T_cam_world)
    assert np.allclose(adjusted.points_world, window.points, atol=1e-8)


def test_a_landmark_of_fewer_than_two_views_stays_and_changes_nothing() -> None:
    window = make_window(noise_px=0.5)
    views, landmarks = window.observations.views, window.observations.landmarks
    first = np.flatnonzero(landmarks == 7)[0]
    drop = (landmarks == 8) | ((landmarks == 7) & (np.arange(len(views)) != first))
    kept = without(window.observations, drop)
    adjusted = replace(window, observations=kept).adjust()
    assert np.array_equal(adjusted.points_world[[7, 8]], window.points_start[[7, 8]])
    never = without(window.observations, (landmarks == 7) | (landmarks == 8))
    assert np.allclose(
        adjusted.T_cam_world, replace(window, observations=never).adjust().T_cam_world, atol=1e-12
    )
    twice = Observations(*(np.append(a, a[:1], axis=0) for a in vars(only(window, first)).values()))
    adjusted = replace(window, observations=twice).adjust()
    assert np.array_equal(adjusted.points_world, window.points_start)


def only(window: Window, row: int) -> Observations:
    """Return one observation."""
    return without(window.observations, np.arange(len(window.observations.views)) != row)


def test_an_observation_twice_counts_twice() -> None:
    window = make_window(noise_px=0.5)
    doubled = Observations(*(np.repeat(a, 2, axis=0) for a in vars(window.observations).values()))
    once, twice = window.adjust(), replace(window, observations=doubled).adjust()
    assert np.allclose(once.T_cam_world, twice.T_cam_world, atol=1e-9)
    assert twice.cost_after == pytest.approx(2 * once.cost_after)


def test_landmarks_behind_a_camera_have_infinite_errors_and_do_not_harm() -> None:
    window = make_window(noise_px=0.3)
    window.points_start[:5] = window.points[:5] * [1, 1, -1]
    adjusted = window.adjust()
    is_behind = window.observations.landmarks < 5
    assert np.isinf(adjusted.errors[is_behind]).all()
    assert rms(adjusted.errors[~is_behind]) < 0.45
    assert pose_errors(adjusted, window)[1] < 0.02
    assert np.isfinite(adjusted.points_world).all()


def test_an_observation_behind_its_camera_costs_as_if_ten_thousand_scales_off() -> None:
    window = make_window()
    at_truth = replace(window, T_start=window.T_cam_world, points_start=window.points.copy())
    at_truth.points_start[:5] *= [1, 1, -1]
    num_behind = np.count_nonzero(window.observations.landmarks < 5)
    adjusted = at_truth.adjust(loss_scale_px=2.0, max_iterations=0)
    assert adjusted.cost_before == pytest.approx(num_behind * 4 * np.log1p(1e8))


def test_landmarks_four_times_too_deep_come_back_and_never_behind_a_camera() -> None:
    window = make_window()
    window.points_start[:5] = 4 * window.points[:5]
    for num in range(12):
        assert np.isfinite(window.adjust(max_iterations=num).errors).all()
    assert np.allclose(window.adjust(max_iterations=14).points_world, window.points, atol=1e-6)


def test_rays_that_diverge_send_their_landmark_far_but_harm_nothing() -> None:
    window = make_window(noise_px=0.3)
    views, landmarks, pixels = vars(window.observations).values()
    rows = landmarks < 5
    pixels[rows] = np.outer(views[rows] - 2.5, [30, 0])
    pixels[rows] += [320, 240]
    adjusted = window.adjust(max_iterations=30)
    assert np.isfinite(adjusted.errors).all()
    assert pose_errors(adjusted, window)[1] < 0.05


def test_steps_that_fail_are_tried_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    def solve_well_if_damped(
        equations: schur.NormalEquations, damping: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        return schur.solve(equations, damping) if damping > 0.05 else None

    monkeypatch.setattr(bundle, "solve", solve_well_if_damped)
    window = make_window(noise_px=0.5)
    costs = [window.adjust(max_iterations=num).cost_after for num in (0, 3, 4)]
    assert costs[0] == costs[1] > costs[2]


def test_what_is_not_finite_takes_no_part_and_spoils_nothing() -> None:
    window = make_window(noise_px=0.3)
    window.points_start[3] = np.nan
    window.observations.pixels[10] = np.nan
    window.T_start[5, 0, 3] = np.inf
    adjusted = window.adjust()
    views, landmarks, _ = vars(window.observations).values()
    is_bad = (views == 5) | (landmarks == 3) | (np.arange(len(views)) == 10)
    assert np.isinf(adjusted.errors[is_bad]).all()
    good = replace(window, observations=without(window.observations, is_bad))
    assert adjusted.cost_before == pytest.approx(good.adjust().cost_before)
    assert rms(adjusted.errors[~is_bad]) < 0.45
    assert np.isfinite(adjusted.T_cam_world[:5]).all()
    assert np.isfinite(np.delete(adjusted.points_world, 3, axis=0)).all()


def test_no_views_no_landmarks_or_no_observations_come_back_as_they_were() -> None:
    window = make_window()
    none = without(window.observations, np.ones(len(window.observations.views), np.bool_))
    adjusted = replace(window, observations=none).adjust()
    assert np.array_equal(adjusted.T_cam_world, window.T_start)
    assert np.array_equal(adjusted.points_world, window.points_start)
    assert (adjusted.cost_before, adjusted.cost_after, adjusted.num_iterations) == (0, 0, 0)
    assert adjusted.errors.shape == (0,)
    empty = replace(window, observations=none, points_start=np.zeros((0, 3))).adjust()
    assert empty.points_world.shape == (0, 3)
    nothing = replace(empty_of(window), observations=none).adjust()
    assert nothing.T_cam_world.shape == (0, 4, 4)


def empty_of(window: Window) -> Window:
    """Return the window without views."""
    return replace(window, T_start=np.zeros((0, 4, 4)), is_fixed=np.zeros(0, np.bool_))


def test_no_iterations_give_the_start_and_its_errors() -> None:
    window = make_window(noise_px=0.5)
    adjusted = window.adjust(max_iterations=0)
    assert np.array_equal(adjusted.T_cam_world, window.T_start)
    assert adjusted.cost_before == adjusted.cost_after > 0
    assert not np.shares_memory(adjusted.T_cam_world, window.T_start)
    assert not np.shares_memory(adjusted.points_world, window.points_start)


def test_a_system_without_a_solution_gives_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    window = make_window(noise_px=0.5)
    monkeypatch.setattr(bundle, "solve", lambda *_: None)
    adjusted = window.adjust()
    assert np.array_equal(adjusted.T_cam_world, window.T_start)
    assert np.array_equal(adjusted.points_world, window.points_start)
    assert adjusted.num_iterations == 8


@pytest.mark.parametrize("seed", range(6))
def test_a_hopeless_start_never_ends_worse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    window = make_window(noise_px=1.0, outlier_fraction=0.5, num_landmarks=30, seed=seed)
    window.T_start[:] = [from_rotation_vector(*rng.normal(0, 1, (2, 3))) for _ in range(6)]
    window.points_start[:] = rng.normal(0, 5, window.points.shape)
    costs = [window.adjust(max_iterations=n).cost_after for n in range(12)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    assert np.isfinite(window.adjust().T_cam_world).all()
    assert np.isfinite(window.adjust().points_world).all()


def test_poses_stay_rigid() -> None:
    R = make_window(noise_px=0.5).adjust(max_iterations=20).T_cam_world[:, :3, :3]
    assert np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(R), 1)


def test_views_of_one_centre_break_nothing() -> None:
    window = make_window(noise_px=0.3)
    window.T_cam_world[:, :3, 3] = 0
    window.T_start[:, :3, 3] = 0
    views, landmarks = window.observations.views, window.observations.landmarks
    window.observations.pixels[:] = project(window.T_cam_world, window.points, views, landmarks)
    adjusted = window.adjust()
    assert np.isfinite(adjusted.points_world).all()
    assert pose_errors(adjusted, window)[0] < 0.05


def test_an_adjustment_repeats_to_the_bit() -> None:
    first, second = (make_window(noise_px=0.5, outlier_fraction=0.1).adjust() for _ in range(2))
    assert same(first, second)


def test_the_schur_complement_solves_the_whole_system() -> None:
    rng = np.random.default_rng(0)
    num_views, num_landmarks = 3, 5
    views, landmarks = np.nonzero(np.ones((num_views, num_landmarks)))
    A, B = rng.normal(size=(15, 2, 6)), rng.normal(size=(15, 2, 3))
    r = rng.normal(size=(15, 2))
    J = np.zeros((15, 2, 18 + 15))
    for row, (view, landmark) in enumerate(zip(views, landmarks, strict=True)):
        J[row, :, 6 * view : 6 * view + 6] = A[row]
        J[row, :, 18 + 3 * landmark : 21 + 3 * landmark] = B[row]
    J = J.reshape(30, 33)
    H, g = J.T @ J, J.T @ r.ravel()
    equations = schur.NormalEquations(
        A,
        B,
        landmarks,
        schur.coupling_cells(views, landmarks, num_landmarks),
        np.array([H[i : i + 6, i : i + 6] for i in range(0, 18, 6)]),
        np.array([H[i : i + 3, i : i + 3] for i in range(18, 33, 3)]),
        g[:18].reshape(-1, 6),
        g[18:].reshape(-1, 3),
    )
    expected = -np.linalg.solve(H + 0.1 * np.diag(np.diag(H)), g)
    steps = schur.solve(equations, damping=0.1)
    assert steps is not None
    assert np.allclose(np.concatenate([s.ravel() for s in steps]), expected)
    broken = replace(equations, blocks_landmarks=-equations.blocks_landmarks)
    assert schur.solve(broken, damping=0.1) is None
    unsound = replace(equations, gradients_views=np.full((3, 6), np.nan))
    assert schur.solve(unsound, damping=0.1) is None
