import numpy as np

from nodes.vision.odometry.tracks import TrackTable, find


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_track_keeps_its_identity_over_keypoints_of_any_identity() -> None:
    table = TrackTable()
    first = table.follow(ids(7, 3, 5), ids(12, 11, 10))
    assert first.tolist() == [0, 1, 2]
    assert table.follow(ids(10, 12), ids(20, 21)).tolist() == [2, 0]
    assert table.follow(ids(21, 20), ids(30, 31)).tolist() == [0, 2]


def test_a_track_that_no_match_continues_is_over() -> None:
    table = TrackTable()
    table.follow(ids(0, 1), ids(10, 11))
    table.follow(ids(10), ids(20))
    assert table.follow(ids(20, 11), ids(30, 31)).tolist() == [0, 2]


def test_ages_count_the_frames_that_show_a_track() -> None:
    table = TrackTable()
    table.follow(ids(0, 1), ids(10, 11))
    assert table.ages(ids(0, 1)).tolist() == [2, 2]
    table.follow(ids(11, 12), ids(20, 21))
    assert table.ages(ids(1, 2, 0)).tolist() == [3, 2, 0]


def test_the_age_of_a_track_nobody_knows_is_zero() -> None:
    assert TrackTable().ages(ids(4)).tolist() == [0]


def test_an_adopted_keypoint_continues_the_earlier_track() -> None:
    table = TrackTable()
    table.follow(ids(0, 1, 2), ids(10, 11, 12))
    table.follow(ids(10), ids(20))
    table.adopt(ids(25), ids(2))
    assert table.ages(ids(2)).tolist() == [2]
    assert table.follow(ids(25, 20), ids(30, 31)).tolist() == [2, 0]


def test_a_keypoint_has_one_track_and_a_track_one_keypoint() -> None:
    table = TrackTable()
    table.follow(ids(0, 1, 2), ids(10, 11, 12))
    table.adopt(ids(12), ids(0))  # the keypoint of track 2 turns out to show track 0
    followed = table.follow(ids(10, 11, 12), ids(20, 21, 22)).tolist()
    assert followed == [3, 1, 0]


def test_the_table_is_as_large_as_one_frame() -> None:
    table = TrackTable()
    for i in range(300):
        keys = np.arange(100 * i, 100 * (i + 1))
        table.follow(keys, keys + 100)
        table.adopt(keys[:5] + 100, np.arange(5))
    arrays = [value for value in vars(table).values() if isinstance(value, np.ndarray)]
    assert arrays
    assert {len(array) for array in arrays} == {100}


def test_find_says_where_a_value_stands_and_whether_it_does() -> None:
    rows, is_known = find(ids(2, 4, 6), ids(6, 5, 2, 9))
    assert is_known.tolist() == [True, False, True, False]
    assert rows[is_known].tolist() == [2, 0]
    assert find(ids(), ids(1))[1].tolist() == [False]
