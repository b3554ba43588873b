"""The peak of the scores around a keypoint: where it truly is, and as plain numpy says."""

import numpy as np
import pytest
import torch
from reference_superpoint import greedy, heat_of, logits_like_real_ones, refined

from nodes.networks.refinement import MAX_SHIFT_PX, refine


def refine_in(heat: np.ndarray, points: list[tuple[int, int]]) -> np.ndarray:
    """Return where `refine` moves whole pixels of an image as large as the map."""
    scores = torch.from_numpy(heat.astype(np.float32))[None]
    where = torch.tensor(points, dtype=torch.float32)[None]
    return refine(scores, where, *heat.shape)[0].numpy()


def blob(x: float, y: float, spread: tuple[float, float], angle: float) -> np.ndarray:
    """Return a Gaussian map (24, 32), longer in one direction than across it."""
    rows, columns = np.mgrid[:24, :32]
    along = np.cos(angle) * (columns - x) + np.sin(angle) * (rows - y)
    across = np.cos(angle) * (rows - y) - np.sin(angle) * (columns - x)
    return 0.8 * np.exp(-((along / spread[0]) ** 2 + (across / spread[1]) ** 2) / 2)


@pytest.mark.parametrize("dx", [-0.45, -0.1, 0.0, 0.3])
@pytest.mark.parametrize("dy", [-0.3, 0.0, 0.2, 0.45])
@pytest.mark.parametrize(("spread", "angle"), [((1, 1), 0), ((1.5, 0.8), 0.5), ((3, 1), 2.0)])
def test_the_top_of_a_gaussian_is_found_wherever_between_the_pixels_it_is(
    dx: float, dy: float, spread: tuple[float, float], angle: float
) -> None:
    found = refine_in(blob(13 + dx, 9 + dy, spread, angle), [(13, 9)])
    assert np.allclose(found, [[13 + dx, 9 + dy]], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_least_squares_in_plain_numpy(seed: int) -> None:
    heat = heat_of(logits_like_real_ones(seed)).astype(np.float32)
    points = greedy(heat, 0.015, 1)
    found = refine_in(heat, points)
    expected = np.array([refined(heat, x, y) for x, y in points])
    assert len(points) > 300
    assert np.allclose(found, expected, atol=2e-3)
    assert np.mean(np.any(found != points, axis=1)) > 0.6


def test_a_shift_is_less_than_half_a_pixel() -> None:
    found = refine_in(blob(13.9, 9.0, (1, 1), 0), [(13, 9)])
    assert np.allclose(found, [[13 + MAX_SHIFT_PX, 9]], atol=1e-5)


def test_what_is_no_peak_and_what_is_at_the_edge_stays() -> None:
    points = [(13, 9), (0, 9), (31, 9), (13, 0), (13, 23)]
    flat, bowl = np.full((24, 32), 0.5), 0.01 / blob(13.3, 9.2, (9, 9), 0)
    saddle = blob(13.2, 9.2, (1, 1e9), 0) * (0.01 / blob(13, 9.2, (1e9, 8), 0))
    for heat in (flat, bowl, saddle, np.zeros((24, 32))):
        assert np.array_equal(refine_in(heat, points), points)
    corner = blob(0.3, 0.3, (1, 1), 0)
    assert np.array_equal(refine_in(corner, [(0, 0)]), [[0, 0]])


def test_the_edge_is_that_of_the_image_and_not_of_its_padding() -> None:
    scores = torch.from_numpy(blob(13.3, 9.2, (1, 1), 0).astype(np.float32))[None]
    points = torch.tensor([[[13.0, 9.0]]])
    assert torch.equal(refine(scores, points, 24, 14), points)
    assert torch.equal(refine(scores, points, 10, 32), points)
    assert not torch.equal(refine(scores, points, 11, 15), points)


def test_scores_of_zero_do_not_make_numbers_that_are_none() -> None:
    heat = np.zeros((24, 32))
    heat[9, 13] = 0.9
    assert np.array_equal(refine_in(heat, [(13, 9), (14, 9), (20, 20)])[0], [13, 9])
    assert np.isfinite(refine_in(heat, [(14, 9), (20, 20)])).all()
