"""Random homographies and warps: ranges, places of pixels, no aliasing."""

from collections.abc import Callable
from types import ModuleType

import cv2
import numpy as np
import pytest

from nodes.vision.feature_evaluation import transform

Load = Callable[[str], ModuleType]
SIZE = (96, 128)


@pytest.fixture
def homographies(load: Load) -> ModuleType:
    return load("training.homographies")


def test_no_spread_is_the_identity(homographies: ModuleType) -> None:
    H = homographies.sample(np.random.default_rng(0), SIZE, homographies.Spread())
    assert np.allclose(H, np.eye(3), atol=1e-12)


def test_rotations_and_scales_fill_their_range_and_keep_the_centre(
    homographies: ModuleType,
) -> None:
    rng, spread = np.random.default_rng(0), homographies.Spread(rotation_deg=90, scale=2)
    found = [homographies.sample(rng, SIZE, spread) for _ in range(300)]
    angles = [np.degrees(np.arctan2(H[1, 0], H[0, 0])) for H in found]
    scales = [np.sqrt(np.linalg.det(H[:2, :2])) for H in found]
    assert -90 <= min(angles) < -80 and 80 < max(angles) <= 90
    assert 0.5 <= min(scales) < 0.55 and 1.8 < max(scales) <= 2
    assert 0.9 < np.median(scales) < 1.1
    centre = homographies.centre(SIZE)
    assert all(np.allclose(transform(H, centre), centre) for H in found)


def test_stretch_and_perspective_are_no_similarities(homographies: ModuleType) -> None:
    rng = np.random.default_rng(1)
    stretched = homographies.sample(rng, SIZE, homographies.Spread(stretch=2))
    assert np.linalg.cond(stretched[:2, :2]) > 1.05
    tilted = homographies.sample(rng, SIZE, homographies.Spread(perspective=0.5))
    corners = np.array([[0, 0], [127, 0], [127, 95], [0, 95]], float)
    depths = corners @ tilted[2, :2] + tilted[2, 2]
    assert depths.max() - depths.min() > 0.05 and depths.min() > 0


@pytest.mark.parametrize(
    "wrong", [{"rotation_deg": 181}, {"scale": 0.5}, {"perspective": 0.9}, {"shift": -0.1}]
)
def test_a_spread_out_of_range_is_refused(
    homographies: ModuleType, wrong: dict[str, float]
) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name} must be from"):
        homographies.Spread(**wrong)


def test_fitting_covers_the_target_and_keeps_centres(homographies: ModuleType) -> None:
    H = homographies.fitting((100, 300), (96, 128))
    assert np.allclose(
        transform(H, homographies.centre((100, 300))), homographies.centre((96, 128))
    )
    corners = transform(H, np.array([[-0.5, -0.5], [299.5, 99.5]]))
    assert np.all(corners[0] <= -0.5 + 1e-9) and np.all(corners[1] >= [127.5 - 1e-9, 95.5 - 1e-9])


def test_points_behind_the_horizon_are_never_inside(homographies: ModuleType) -> None:
    H = np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]])
    points = transform(H, np.array([[10.0, 5.0], [100.0, 5.0]]))
    assert np.isfinite(points[0]).all() and np.isinf(points[1]).all()
    assert homographies.is_inside(points, SIZE).tolist() == [True, False]


@pytest.mark.parametrize("scale", [1.7, 1.0, 0.5, 0.2])
def test_a_dot_is_where_its_warped_place_says(homographies: ModuleType, scale: float) -> None:
    image = np.zeros((240, 320), np.uint8)
    place = np.array([170.0, 110.0])
    cv2.circle(image, (170, 110), 3, 255, -1, cv2.LINE_AA)
    rng = np.random.default_rng(3)
    spread = homographies.Spread(rotation_deg=180, stretch=1.3, perspective=0.2)
    H = homographies.sample(rng, SIZE, spread) @ homographies.moved(homographies.centre(SIZE))
    H = H @ np.diag([scale, scale, 1]) @ homographies.moved(-homographies.centre((240, 320)))
    warped = homographies.warp_image(image, H, SIZE).astype(float)
    expected = transform(H, place)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    warped[np.hypot(x - expected[0], y - expected[1]) > 12] = 0  # mirrored dots lie farther away
    found = np.array([(x * warped).sum(), (y * warped).sum()]) / warped.sum()
    assert np.linalg.norm(found - expected) < 0.2


def test_a_strong_reduction_keeps_the_mean_of_a_fine_pattern(homographies: ModuleType) -> None:
    image = np.zeros((480, 640), np.uint8)
    image[:, ::2] = 200  # bilinear sampling every fifth pixel would see stripes of its own
    H = homographies.fitting((480, 640), SIZE)
    warped = homographies.warp_image(image, H, SIZE)
    assert abs(float(warped.mean()) - 100) < 2
    assert warped[8:-8, 8:-8].std() < 2
