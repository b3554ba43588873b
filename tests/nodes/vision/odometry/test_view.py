import numpy as np
import pytest

from nodes.vision.odometry.view import Seen, View, common, pixel_keys, union


def view(ids: list[int], pixels: list[tuple[float, float]], mark: float = 0.0) -> View:
    descriptors = np.array([[i, mark] for i in ids], np.float32).reshape(-1, 2)
    return View(3, np.array(ids, np.int64), np.array(pixels, float).reshape(-1, 2), descriptors)


def test_common_are_the_rows_of_the_same_tracks() -> None:
    rows0, rows1 = common(view([1, 4, 6], [(0, 0)] * 3), view([2, 4, 5, 6], [(0, 0)] * 4))
    assert (rows0.tolist(), rows1.tolist()) == ([1, 2], [1, 3])


def test_where_keeps_pixels_and_descriptors_beside_their_tracks() -> None:
    kept = view([1, 4, 6], [(1, 0), (4, 0), (6, 0)]).where(np.array([True, False, True]))
    assert kept.ids.tolist() == [1, 6]
    assert kept.pixels[:, 0].tolist() == [1, 6]
    assert kept.descriptors is not None
    assert kept.descriptors[:, 0].tolist() == [1, 6]


def test_a_union_takes_the_newer_of_two_observations_of_a_pixel_or_of_a_track() -> None:
    old = view([1, 4, 6], [(1, 1), (4, 4), (6, 6)])
    new = view([2, 6], [(4, 4), (9, 9)], mark=1.0)  # track 2 where 4 was, track 6 elsewhere
    both = union(old, new)
    assert both.ids.tolist() == [1, 2, 6]
    assert both.pixels.tolist() == [[1, 1], [4, 4], [9, 9]]
    assert both.descriptors is not None
    assert both.descriptors.tolist() == [[1, 0], [2, 1], [6, 1]]


def test_a_union_with_nothing_changes_nothing() -> None:
    both = union(view([1, 4], [(1, 1), (4, 4)]), view([], []))
    assert both.ids.tolist() == [1, 4]
    assert both.pixels.tolist() == [[1, 1], [4, 4]]


def test_a_union_without_descriptors_on_one_side_has_none() -> None:
    bare = View(3, np.array([9]), np.array([[9.0, 9.0]]))
    assert union(view([1], [(1, 1)]), bare).descriptors is None


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_a_view_of_keypoints_is_in_the_order_of_its_tracks(has_descriptors: bool) -> None:
    keypoints = np.array([[0.0, 0], [1, 1], [2, 2], [3, 3]])
    seen = Seen(
        seq=5, K=np.eye(3), width=640, seed=0, keypoint_ids=np.arange(4), keypoints=keypoints,
        ids_prev=np.zeros(0, np.int64), rows=np.zeros(0, np.int64),
        descriptors=keypoints.astype(np.float32) if has_descriptors else None,
    )  # fmt: skip
    found = seen.view(np.array([3, 0, 2]), np.array([8, 9, 7]))
    assert found.seq == 5
    assert found.ids.tolist() == [7, 8, 9]
    assert found.pixels[:, 0].tolist() == [2, 3, 0]
    assert (found.descriptors is not None) == has_descriptors
    if found.descriptors is not None:
        assert found.descriptors[:, 0].tolist() == [2, 3, 0]


def test_pixels_have_the_same_key_only_where_both_coordinates_are_the_same() -> None:
    keys = pixel_keys(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.5]]))
    assert len(set(keys.tolist())) == 3
    assert keys[0] == keys[2]
