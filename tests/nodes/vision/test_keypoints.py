"""The order of keypoints, and masks."""

import numpy as np

from nodes.vision.keypoints import Keypoints, canonical_order, inside


def keypoints(*rows: tuple[float, float, float, float, float]) -> Keypoints:
    """Build keypoints from rows of score, y, x, size, angle; descriptors number them."""
    scores, y, x, sizes, angles = np.array(rows, np.float32).reshape(-1, 5).T
    numbers = np.arange(len(rows), dtype=np.float32)[:, None]
    return Keypoints(np.column_stack([x, y]), scores, sizes, angles, numbers)


def test_the_highest_score_comes_first_and_ties_go_by_y_x_size_angle() -> None:
    in_order = [
        (0.9, 5, 5, 5, 5),
        (0.5, 1, 9, 9, 9),
        (0.5, 2, 1, 9, 9),
        (0.5, 2, 2, 1, 9),
        (0.5, 2, 2, 2, 1),
        (0.5, 2, 2, 2, 2),
        (0.1, 0, 0, 0, 0),
    ]
    for seed in range(5):
        shuffle = np.random.default_rng(seed).permutation(len(in_order))
        found = keypoints(*(in_order[i] for i in shuffle))
        assert shuffle[canonical_order(found)].tolist() == list(range(len(in_order)))


def test_wholly_equal_keypoints_stay_in_their_order() -> None:
    assert canonical_order(keypoints(*[(0.5, 1, 1, 1, np.nan)] * 50)).tolist() == list(range(50))


def test_no_angle_comes_after_any_angle() -> None:
    found = keypoints((0.5, 1, 1, 1, np.nan), (0.5, 1, 1, 1, 6.0), (0.5, 1, 1, 1, 0.0))
    assert canonical_order(found).tolist() == [2, 1, 0]


def test_no_keypoints_have_an_order_too() -> None:
    assert canonical_order(keypoints()).shape == (0,)


def test_taking_keypoints_takes_all_that_belongs_to_them() -> None:
    found = keypoints((0.9, 1, 2, 3, 4), (0.8, 5, 6, 7, 8), (0.7, 9, 10, 11, 12))
    for taken in (found.take(np.array([2, 0])), found.take(np.array([False, True, True]))):
        for x, y, score, size, angle, number in zip(
            *taken.keypoints.T, taken.scores, taken.sizes, taken.angles, taken.descriptors[:, 0],
            strict=True,
        ):  # fmt: skip
            i = int(number)
            whole = [*found.keypoints[i], found.scores[i], found.sizes[i], found.angles[i]]
            assert [x, y, score, size, angle] == whole
    assert found.take(np.array([2, 0])).descriptors[:, 0].tolist() == [2, 0]
    assert found.take(np.array([False, True, True])).descriptors[:, 0].tolist() == [1, 2]


def test_a_keypoint_is_inside_where_its_nearest_pixel_is_allowed() -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2] = 255
    mask[3, 5] = 1
    points = [
        [2, 1],
        [2.4, 1.4],
        [2.6, 1],
        [1, 2],
        [5, 3],
        [5.4, 3.4],
        [5.6, 3],
        [-0.6, 0],
        [2, -3],
    ]
    allowed = inside(mask, np.array(points, np.float32))
    assert allowed.tolist() == [True, True, False, False, True, True, False, False, False]
    assert inside(mask, np.empty((0, 2), np.float32)).shape == (0,)
