import numpy as np

from nodes.vision.tables import PAD, derivative, levels, looked_up, wrapped


def test_a_table_is_continued_over_its_border() -> None:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = looked_up(wrapped(table), (3, 4), (np.float32([[0, 0]]), np.float32([[0.25, 0.875]])))
    np.testing.assert_allclose(found, [[1, 1.5]], atol=0.05)  # between the last, 3, and the first


def test_derivatives_go_round() -> None:
    np.testing.assert_array_equal(derivative(np.float32([[0, 1, 4, 9]]), 1), [[-4, 2, 4, -2]])


def test_levels_halve_and_lie_below_each_other() -> None:
    picture = np.full((16, 8, 3), 90, np.uint8)
    sheet, tops = levels(picture, 3)
    assert sheet.shape == (28 + 6 * PAD, 8 + 2 * PAD, 3)
    assert tops.tolist() == [0, 16 + 2 * PAD, 24 + 4 * PAD]
    assert (sheet[:, : 2 + 2 * PAD] == 90).all()
