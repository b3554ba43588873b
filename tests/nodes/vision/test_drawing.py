"""Drawing leaves its arguments alone and puts its marks where they belong."""

import numpy as np
import pytest

from nodes.vision.drawing import (
    BACKGROUND,
    GREY,
    ORANGE,
    SKY_BLUE,
    YELLOW,
    annotated,
    as_colour,
    letterboxed,
    marks_scale,
    text_bar,
)

NO_POINTS = np.zeros((0, 2), np.float32)
NO_TRAILS = np.zeros((0, 2, 2), np.float32)


def black(width: int = 640, height: int = 480) -> np.ndarray:
    """Return a black picture."""
    return np.zeros((height, width, 3), np.uint8)


def trail(*points: tuple[float, float], length: int = 4) -> np.ndarray:
    """Return one trail (1, L, 2)."""
    filled = [*points, *[(np.nan, np.nan)] * (length - len(points))]
    return np.array([filled], np.float32)


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Return where a picture has this colour, or one a little darker, as soft edges make it."""
    darker = picture.astype(float) / np.maximum(picture.max(axis=2, keepdims=True), 1)
    is_bright = picture.max(axis=2) > 150
    return is_bright & (np.abs(darker - np.array(colour) / max(colour)) < 0.02).all(axis=2)


@pytest.mark.parametrize(
    ("inliers", "colour"), [([True], SKY_BLUE), ([False], ORANGE), (None, YELLOW)]
)
def test_match_has_the_colour_of_its_kind_at_its_place_and_nowhere_else(inliers, colour) -> None:
    kinds = None if inliers is None else np.array(inliers)
    picture = annotated(black(), NO_POINTS, trail((300, 200), (250, 200)), kinds)
    found = coloured(picture, colour)
    rows, columns = np.nonzero(found)
    assert found[200, 300] and found[200, 275]
    assert rows.min() >= 197 and rows.max() <= 203
    assert columns.min() >= 249 and columns.max() <= 303
    others = {SKY_BLUE, ORANGE, YELLOW} - {colour}
    assert not any(coloured(picture, other).any() for other in others)


def test_trail_of_an_inlier_goes_on_and_that_of_an_outlier_stops_at_its_last_step() -> None:
    path = trail((300, 200), (250, 200), (200, 200))
    for is_inlier in (True, False):
        picture = annotated(black(), NO_POINTS, path, np.array([is_inlier]))
        assert picture[200, 225].any() == is_inlier


def test_keypoints_are_grey_dots_at_their_places() -> None:
    picture = annotated(black(), np.array([[100, 50], [20, 30]], np.float32), NO_TRAILS, None)
    assert (picture[50, 100] == GREY).all() and (picture[30, 20] == GREY).all()
    assert (picture > 0).any(axis=2).sum() < 60


def test_points_on_and_beyond_the_border_do_no_harm() -> None:
    points = np.array([[-5, -5], [639, 479], [1e4, 1e4]], np.float32)
    assert annotated(black(), points, trail((-50, 3), (700, 500)), None).shape == (480, 640, 3)


def test_frame_itself_is_not_drawn_upon_and_grey_becomes_colour() -> None:
    for image in (black(), black()[..., 0]):
        image.flags.writeable = False
        picture = annotated(image, np.array([[9, 9]], np.float32), NO_TRAILS, None)
        assert picture.shape == (480, 640, 3) and picture.any() and not image.any()


def test_grey_image_keeps_its_levels_in_all_channels() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (as_colour(image) == image[..., None]).all()


def test_marks_grow_with_the_picture_but_never_vanish() -> None:
    assert marks_scale(640, 480) == 1
    assert marks_scale(1920, 1080) == pytest.approx(2.6, abs=0.01)
    assert marks_scale(32, 24) == 0.5


def ink(bar: np.ndarray) -> np.ndarray:
    """Return where a bar is not empty."""
    return (bar != np.array(BACKGROUND, np.uint8)).any(axis=2)


def test_bar_writes_left_and_right_in_the_colour_of_the_row() -> None:
    bar = text_bar(640, 1, [("left", "right", ORANGE)])
    columns = np.nonzero(ink(bar).any(axis=0))[0]
    assert bar.shape[1] == 640
    assert 0 < columns.min() < 15 and 625 < columns.max() < 640
    assert not ink(bar)[:, 100:500].any()
    assert coloured(bar, ORANGE).any()


def test_text_too_wide_for_the_bar_is_written_smaller_and_never_meets_the_other() -> None:
    left, right = "a long state that says much " * 3, "and many figures too " * 3
    bar = text_bar(320, 1, [(left, right, GREY)])
    columns = np.nonzero(ink(bar).any(axis=0))[0]
    assert columns.min() > 0 and columns.max() < 319
    gaps = np.diff(columns)
    assert gaps.max() >= 8


def test_bar_of_two_rows_has_text_in_both_halves() -> None:
    bar = text_bar(640, 2, [("one", "", GREY), ("two", "", GREY)])
    half = len(bar) // 2
    assert ink(bar)[:half].any() and ink(bar)[half:].any()
    assert not ink(bar)[[0, -1]].any()


@pytest.mark.parametrize("size", [(1280, 960), (320, 240), (100, 400), (400, 100), (1, 1)])
def test_letterboxed_picture_keeps_its_proportions_in_the_middle_of_the_box(size) -> None:
    white = np.full((size[1], size[0], 3), 255, np.uint8)
    box = letterboxed(white, 640, 480)
    rows, columns = np.nonzero(box[..., 0])
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert box.shape == (480, 640, 3)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.01)
    assert width == 640 or height == 480
    assert abs(rows.min() - (479 - rows.max())) <= 1
    assert abs(columns.min() - (639 - columns.max())) <= 1
