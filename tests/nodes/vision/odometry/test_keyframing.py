import numpy as np
import pytest
from camera_world import shifted
from known_map import known_map, look, scatter, walk

from nodes.vision.odometry.keyframing import Budget, Rules, why_keyframe
from nodes.vision.se3 import inverse

RULES = Rules()


def spent() -> Budget:
    """Return a budget that allows no keyframe."""
    budget = Budget(0.5)
    while budget.allows:
        budget.spend()
    return budget


def why(num: int, num_shown: int, at: np.ndarray, budget: Budget) -> str | None:
    """Ask about a frame that shows some of the landmarks of the last keyframe, which is at 0.2."""
    points = scatter(num)
    view = look(points, at).where(np.arange(num) < num_shown)
    return why_keyframe(known_map(points, walk(2)), view, inverse(at), RULES, budget)


NEAR, FAR = shifted(0.25, 0, 0), shifted(0.8, 0, 0)


def test_a_frame_like_the_last_keyframe_is_none() -> None:
    budget = Budget(0.5)
    assert why(100, 100, NEAR, budget) is None
    assert budget.allows


def test_a_frame_that_sees_the_landmarks_from_another_side_is_one() -> None:
    reason = why(100, 100, FAR, Budget(0.5))
    assert reason is not None
    assert reason.startswith("parallax ")
    assert 5 < float(reason.split()[1]) < 7  # 0.6 at depths of 4 to 8
    assert reason.endswith(" deg")


def test_a_frame_that_sees_too_few_of_the_landmarks_is_one() -> None:
    assert why(100, 69, NEAR, Budget(0.5)) == "69 of 100 landmarks left"
    assert why(100, 71, NEAR, Budget(0.5)) is None


def test_a_keyframe_that_is_not_paid_for_waits() -> None:
    assert why(200, 200, FAR, spent()) is None
    assert why(200, 130, NEAR, spent()) is None


@pytest.mark.parametrize(("num", "num_shown"), [(80, 50), (300, 100)], ids=["few", "small share"])
def test_where_tracking_is_about_to_fail_the_budget_does_not_count(
    num: int, num_shown: int
) -> None:
    assert why(num, num_shown, NEAR, spent()) == f"{num_shown} of {num} landmarks left"


def test_few_landmarks_are_no_reason_where_the_last_keyframe_had_no_more() -> None:
    assert why(40, 40, NEAR, spent()) is None


def test_each_keyframe_is_paid_for() -> None:
    budget = Budget(0.5)
    assert why(100, 60, NEAR, budget) is not None
    assert not budget.allows


def test_a_budget_earns_its_share_of_every_frame() -> None:
    budget = Budget(0.25)
    made = 0
    for _ in range(400):
        budget.pass_frame()
        if budget.allows:
            budget.spend()
            made += 1
    assert 100 <= made <= 102


def test_a_long_wait_pays_for_two_keyframes_and_no_more() -> None:
    budget = Budget(0.5)
    for _ in range(100):
        budget.pass_frame()
    made = 0
    while budget.allows:
        budget.spend()
        made += 1
    assert made == 2


def test_urgent_keyframes_make_no_debt_that_lasts() -> None:
    budget = Budget(0.5)
    for _ in range(50):
        budget.spend()
    for _ in range(4):
        budget.pass_frame()
    assert budget.allows
