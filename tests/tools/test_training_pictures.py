"""Pictures to look at: marks lie where the points are, sheets keep every pixel."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

Load = Callable[[str], ModuleType]
GREY = np.full((60, 80), 90, np.uint8)


def _marked(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (picture != 90).any(axis=2)


def _middle(weights: npt.NDArray[np.floating]) -> tuple[float, float]:
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return (weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()


@pytest.mark.parametrize("point", [(40.0, 30.0), (20.25, 41.5), (33.75, 12.5)])
def test_a_ring_lies_around_its_keypoint_to_a_tenth_of_a_pixel(
    load: Load, point: tuple[float, float]
) -> None:
    picture = load("training.pictures").draw_keypoints(GREY, np.array([point], np.float32))
    change = np.abs(picture.astype(float) - 90).sum(axis=2)
    assert _middle(change) == pytest.approx(point, abs=0.1)
    assert not _marked(picture)[round(point[1]), round(point[0])]
    assert (GREY == 90).all()


def test_better_keypoints_are_redder_and_lie_on_top(load: Load) -> None:
    pictures = load("training.pictures")
    points = np.array([[20, 30], [60, 30]], np.float32)
    picture = pictures.draw_keypoints(GREY, points, np.array([0.9, 0.1])).astype(int)
    redness = picture[:, :, 2] - picture[:, :, 0]
    assert redness[:, :40].max() > 50
    assert redness[:, 40:].min() < -50
    same = np.array([[20, 30], [20, 30]], np.float32)
    best_first = pictures.draw_keypoints(GREY, same, np.array([0.9, 0.1]))
    np.testing.assert_array_equal(
        best_first, pictures.draw_keypoints(GREY, same, np.array([0.1, 0.9]))
    )


def test_no_keypoints_leave_the_image(load: Load) -> None:
    none = np.zeros((0, 2), np.float32)
    for scores in (None, np.zeros(0)):
        picture = load("training.pictures").draw_keypoints(GREY, none, scores)
        np.testing.assert_array_equal(picture, np.dstack([GREY] * 3))


def test_right_matches_are_green_and_wrong_ones_red_between_their_points(load: Load) -> None:
    pictures = load("training.pictures")
    points0 = np.array([[10, 10], [10, 50]], np.float32)
    points1 = np.array([[70, 10], [70, 50]], np.float32)
    picture = pictures.draw_matches(GREY, GREY, points0, points1, np.array([True, False]))
    assert picture.shape == (60, 80 + pictures.LINE_PX + 80, 3)
    column = 10 + (70 + 80 + pictures.LINE_PX - 10) // 2 - 20  # beside the white line
    for x in (10, column, 80 + pictures.LINE_PX + 70):  # a thin smooth line lets some grey through
        assert picture[10, x].tolist() == pytest.approx([*pictures.GREEN], abs=30)
        assert picture[50, x].tolist() == pytest.approx([*pictures.RED], abs=30)
    assert not _marked(picture)[10, [5, 157]].any()


def test_a_wrong_match_never_hides_a_right_one(load: Load) -> None:
    pictures = load("training.pictures")
    point = np.array([[10, 10], [10, 10]], np.float32)
    for correct in ([True, False], [False, True]):
        picture = pictures.draw_matches(GREY, GREY, point, point, np.array(correct))
        assert picture[10, 40].tolist() == pytest.approx([*pictures.GREEN], abs=40)


def test_a_sheet_has_equal_cells_with_white_lines_and_every_pixel(load: Load) -> None:
    pictures = load("training.pictures")
    small = np.full((20, 30, 3), 50, np.uint8)
    made = pictures.sheet([GREY, small, small, GREY], 3)
    line = pictures.LINE_PX
    assert made.shape == (2 * 60 + line, 3 * 80 + 2 * line, 3)
    assert (made[:60, :80] == 90).all()
    assert (made[:20, 80 + line : 110 + line] == 50).all()
    assert (made[20:60, 80 + line : 160 + line] == 0).all()
    assert (made[60 + line :, :80] == 90).all()
    assert (made[60 + line :, 80 + line : 160 + line] == 0).all()
    assert (made[60 : 60 + line] == 255).all()
    assert (made[:, 80 : 80 + line] == 255).all()
    assert pictures.sheet([GREY], 5).shape == (60, 80, 3)


def test_a_sheet_of_nothing_is_an_error(load: Load) -> None:
    with pytest.raises(ValueError, match="a sheet has pictures and columns, not 0 and 3"):
        load("training.pictures").sheet([], 3)


def test_a_picture_comes_back_from_its_file_and_nothing_else_is_left(
    load: Load, tmp_path: Path
) -> None:
    pictures = load("training.pictures")
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for _ in range(2):
        pictures.save(tmp_path / "new" / "one.png", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "new" / "one.png")), picture)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["one.png"]


def test_a_save_that_fails_keeps_the_old_picture(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = load("training.pictures")
    path = tmp_path / "one.png"
    pictures.save(path, np.dstack([GREY] * 3))
    before = path.read_bytes()

    def torn(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(OSError, match="disk full"):
        pictures.save(path, np.zeros((5, 5, 3), np.uint8))
    assert path.read_bytes() == before
