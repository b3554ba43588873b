from collections.abc import Callable

import numpy as np
import pytest
from two_view_scene import VGA, Scene, make_scene

from nodes.vision.focal import PairFocal, SharedFocal, combine_focals, estimate_focal

NUM_SEEDS = 10


def tell(scene: Scene, seed: int = 0) -> PairFocal | None:
    centre = (scene.camera.cx, scene.camera.cy)
    return estimate_focal(scene.pixels_prev - centre, scene.pixels_cur - centre, 640, seed)


def general(seed: int, **options: float) -> Scene:
    """A sideways motion with a turn, another one for each seed."""
    rng = np.random.default_rng(seed)
    turn = tuple(rng.normal(0, 4, 3))
    return make_scene(seed, rotation_deg=turn, translation=(0.3, *rng.normal(0, 0.1, 2)), **options)


def told(make: Callable[[int], Scene]) -> list[PairFocal]:
    return [pair for seed in range(NUM_SEEDS) if (pair := tell(make(seed), seed)) is not None]


def test_pairs_tell_the_focal_length_within_3_percent_despite_noise_and_outliers() -> None:
    pairs = told(lambda seed: general(seed, noise_px=0.5, outlier_fraction=0.3))
    assert len(pairs) >= 8
    shared = combine_focals(pairs)
    assert shared.focal_px == pytest.approx(VGA.fx, rel=0.03)
    assert shared.num_pairs == len(pairs)
    low, high = shared.range_px
    assert low < VGA.fx < high


def test_the_claimed_uncertainty_covers_the_error() -> None:
    pairs = told(lambda seed: general(seed, noise_px=0.5, outlier_fraction=0.3))
    errors = [np.log(pair.focal_px / VGA.fx) / pair.sigma for pair in pairs]
    assert np.sqrt(np.mean(np.square(errors))) < 1.5
    assert max(pair.sigma for pair in pairs) < 0.2


def test_a_large_enough_turn_on_the_spot_tells_it_as_well() -> None:
    scene = make_scene(1, rotation_deg=(5, 8, -6), translation=(0, 0, 0), noise_px=0.3)
    pair = tell(scene)
    assert pair is not None
    assert pair.focal_px == pytest.approx(VGA.fx, rel=0.05)


def test_a_small_turn_tells_it_with_the_uncertainty_that_it_has() -> None:
    pairs = told(
        lambda seed: make_scene(
            seed, rotation_deg=(0.3, 0.5, 0.2), translation=(0, 0, 0), noise_px=0.5
        )
    )
    errors = [np.log(pair.focal_px / VGA.fx) / pair.sigma for pair in pairs]
    assert np.sqrt(np.mean(np.square(errors))) < 1.5
    assert min(pair.sigma for pair in pairs) > 0.05


MISLEADING: dict[str, Callable[[int], Scene]] = {
    "plane": lambda seed: general(seed, noise_px=0.3, plane_fraction=1.0),
    "static": lambda seed: make_scene(
        seed, rotation_deg=(0, 0, 0), translation=(0, 0, 0), noise_px=0.5
    ),
    "turn about the axis of view": lambda seed: make_scene(
        seed, rotation_deg=(0, 0, 9), translation=(0, 0, 0), noise_px=0.3
    ),
    "forward": lambda seed: make_scene(
        seed, rotation_deg=(0, 0.2, 0), translation=(0, 0, 0.6), noise_px=0.3
    ),
    "sideways without a turn": lambda seed: make_scene(
        seed, rotation_deg=(0, 0, 0), translation=(0.3, 0, 0), noise_px=0.3
    ),
    "outliers": lambda seed: general(seed, outlier_fraction=1.0),
}


@pytest.mark.parametrize("kind", MISLEADING)
def test_what_cannot_tell_the_focal_length_tells_none(kind: str) -> None:
    assert told(MISLEADING[kind]) == []


def test_too_few_matches_tell_nothing() -> None:
    for count in (0, 1, 7, 29):
        points = np.random.default_rng(0).uniform(-300, 300, (count, 2))
        assert estimate_focal(points, points + 5, 640, 0) is None


def test_equal_points_tell_nothing() -> None:
    points = np.ones((50, 2))
    assert estimate_focal(points, points, 640, 0) is None


def test_an_estimate_repeats_to_the_bit() -> None:
    scene = general(3, noise_px=0.5, outlier_fraction=0.3)
    assert tell(scene, 5) == tell(scene, 5)


def test_the_less_certain_pairs_weigh_less() -> None:
    sure = [PairFocal(focal, 0.02) for focal in (495.0, 500.0, 505.0)]
    shared = combine_focals([*sure, *[PairFocal(900.0, 0.5)] * 3])
    assert 495 <= shared.focal_px < 510


def test_one_pair_that_is_wrong_moves_the_rest_little() -> None:
    pairs = [PairFocal(500.0 + i, 0.03) for i in range(8)]
    assert combine_focals([*pairs, PairFocal(1500.0, 0.01)]).focal_px == pytest.approx(505, abs=5)


def test_pairs_that_disagree_spread_more_than_those_that_agree() -> None:
    agreeing = combine_focals([PairFocal(500.0 + i, 0.03) for i in range(8)])
    disagreeing = combine_focals([PairFocal(300.0 + 100 * i, 0.03) for i in range(8)])
    assert agreeing.spread < 0.09 < 0.15 < disagreeing.spread


def test_no_number_of_pairs_makes_the_spread_vanish() -> None:
    assert combine_focals([PairFocal(500.0, 0.01)] * 400).spread > 0.05


def test_the_range_is_the_spread_around_the_focal_length() -> None:
    assert SharedFocal(550.0, 0.1, 9).range_px == pytest.approx((500.0, 605.0))
