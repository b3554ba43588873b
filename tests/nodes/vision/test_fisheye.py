"""The equidistant lens model by itself: its inverse, and where it folds."""

import numpy as np
import pytest

from nodes.vision import fisheye, radtan

WILD = {
    "nearly folds": (-0.29, 0.1, 0.0, 0.0),
    "steep far out": (0.5, 0.5, 0.5, 0.5),
    "waves": (0.3, -0.2, 0.05, -0.003),
    "none": (),
}


@pytest.mark.parametrize("name", WILD)
def test_angles_up_to_the_fold_come_back_from_their_radius(name: str) -> None:
    distortion = WILD[name]
    theta = np.linspace(0, fisheye.max_angle(distortion) * 0.999, 500)
    rays = np.column_stack([np.sin(theta), np.zeros_like(theta), np.cos(theta)])
    seen = fisheye.distort(rays, distortion)
    assert (np.diff(seen[:, 0]) > 0).all()
    assert np.abs(fisheye.rays(seen, distortion) - rays).max() < 1e-7


@pytest.mark.parametrize(
    ("distortion", "expected"),
    [
        ((), np.pi),
        ((0.0, 0.0, 0.0, 0.0), np.pi),
        ((0.1, 0.0, 0.0, 0.0), np.pi),
        ((-0.1, 0.0, 0.0, 0.0), np.sqrt(1 / 0.3)),
        ((0.0, -0.05, 0.0, 0.0), (1 / 0.25) ** 0.25),
        ((0.0, 0.0, 0.0, -0.01), (1 / 0.09) ** 0.125),
        ((-0.01, 0.0, 0.0, 0.0), np.pi),  # it would fold at 331 degrees
    ],
)
def test_the_fold_is_where_the_radius_stops_rising(
    distortion: tuple[float, ...], expected: float
) -> None:
    assert fisheye.max_angle(distortion) == pytest.approx(expected, rel=1e-9)


def test_of_two_folds_the_first_counts() -> None:
    distortion = (-0.4, 0.1, 0.0, 0.0)  # 1 - 1.2 u + 0.5 u^2 has no real root
    assert fisheye.max_angle(distortion) == pytest.approx(np.pi)
    u = np.array([-0.5, 0.05])  # 1 - 1.5 u + 0.25 u^2: at u = 0.764 and 5.236
    assert fisheye.max_angle((*u.tolist(), 0.0, 0.0)) == pytest.approx(np.sqrt(3 - np.sqrt(5)))


def test_what_is_not_finite_has_no_ray() -> None:
    rays = fisheye.rays(np.array([[np.nan, 0.0], [np.inf, 0.0], [0.1, 0.0]]), ())
    assert np.isnan(rays).any(axis=1).tolist() == [True, True, False]


def test_a_barrel_lens_turns_back_where_its_radius_stops_rising() -> None:
    distortion = (-0.5, 0.0, 0.0, 0.0)  # r - 0.5 r^3 stops at r = sqrt(2 / 3)
    angle = radtan.max_angle(distortion, np.array([0.6, 0.8]))
    assert angle == pytest.approx(np.arctan(np.sqrt(2 / 3)), abs=0.002)
    assert radtan.max_angle((0.1, 0.0, 0.0, 0.0), np.array([1.0, 0.0])) == pytest.approx(np.pi / 2)
