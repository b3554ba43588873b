import numpy as np
import pytest
from motion_pairs import make_pair

from nodes.vision.motion import estimate_motion
from nodes.vision.robust import Limits, sample_motion_poselib
from nodes.vision.se3 import from_rotation_vector
from nodes.vision.selection import LabelledMotion, classify_motion
from nodes.vision.turn import camera_of_turn

K = np.array([[500.0, 0, 319.5], [0, 500.0, 239.5], [0, 0, 1]])


def with_focal(K: np.ndarray, factor: float) -> np.ndarray:
    return K * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])


def classify(label: str, index: int, factor: float, is_focal_known: bool) -> LabelledMotion:
    """Classify a pair with a focal length that is wrong by a factor."""
    pair = make_pair(label, np.random.default_rng([3, index]))
    guess, limits = with_focal(pair.camera.K, factor), Limits()
    motion = estimate_motion(sample_motion_poselib, pair.points0, pair.points1, guess, limits, 1)
    return classify_motion(
        motion, pair.points0, pair.points1, guess, limits, 1, is_focal_known=is_focal_known
    )


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_the_focal_length_of_an_exact_turn_is_found(factor: float) -> None:
    R = from_rotation_vector(np.radians([2.0, 9.0, 1.0]), np.zeros(3))[:3, :3]
    H = K @ R @ np.linalg.inv(K)
    found = camera_of_turn(H / H[2, 2], with_focal(K, factor))
    assert found[0, 0] == pytest.approx(500, rel=0.01)
    assert found[1, 1] == pytest.approx(500, rel=0.01)
    assert np.array_equal(found[:2, 2], K[:2, 2])


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_a_turn_is_a_turn_though_the_focal_length_is_a_wrong_guess(factor: float) -> None:
    found = [classify("rotation", index, factor, is_focal_known=False) for index in range(20)]
    assert [f.label for f in found].count("rotation") >= 19
    assert all(not f.T_1_0[:3, 3].any() for f in found if f.label == "rotation")
    believed = [classify("rotation", index, factor, is_focal_known=True) for index in range(20)]
    assert [f.label for f in believed].count("rotation") < 15


def test_a_general_motion_stays_general_though_the_focal_length_is_a_wrong_guess() -> None:
    found = [classify("general", index, 1.2, is_focal_known=False).label for index in range(20)]
    assert found.count("general") >= 18
