"""Batches: repeatable, of held-out photographs where asked, with points that truly correspond."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from training_world import write_photographs, write_recipe

from nodes.vision.feature_evaluation import transform
from pipeline.errors import InputError

Load = Callable[[str], ModuleType]


@pytest.fixture
def data(load: Load) -> ModuleType:
    return load("training.data")


@pytest.fixture
def stages(load: Load, tmp_path: Path) -> tuple:
    recipe = load("training.recipe").read_recipe(write_recipe(tmp_path))
    return recipe.stages


@pytest.fixture
def photographs(load: Load, data: ModuleType, tmp_path: Path) -> object:
    folder = write_photographs(tmp_path / "photos", load("training.shapes"), 40)
    return load("training.photographs").Photographs(folder, 72)


def corners_of(photographs: object) -> list:
    found = []
    for i in range(len(photographs)):
        corners = cv2.goodFeaturesToTrack(photographs.read(i), 50, 0.01, 5)
        found.append(np.zeros((0, 2), np.float32) if corners is None else corners[:, 0])
    return found


def test_photographs_are_reduced_to_the_short_side_and_never_enlarged(photographs: object) -> None:
    assert photographs.read(1).shape == (72, 96)
    assert photographs.read(0).shape == (64, 72)


def test_one_photograph_in_twenty_is_held_out(photographs: object) -> None:
    assert photographs.validation.tolist() == [19, 39]
    assert len(photographs.training) == 38
    assert not set(photographs.training) & set(photographs.validation)


def test_too_few_photographs_are_refused_with_the_cure(load: Load, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 photographs, at least 20 are needed: give --images"):
        load("training.photographs").Photographs(tmp_path / "nowhere", 72)


def test_a_photograph_that_cannot_be_decoded_is_named(
    data: ModuleType, photographs: object
) -> None:
    (photographs.folder / photographs.names[3]).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"picture_03\.png: cannot be decoded"):
        photographs.read(3)


def test_a_shapes_batch_depends_on_its_key_alone(data: ModuleType, stages: tuple) -> None:
    one, same, other = (data.shapes_batch(stages[0], key) for key in ((1, 2), (1, 2), (1, 3)))
    assert one.images.shape == (2, 1, 48, 64) and one.images.dtype == np.uint8
    assert np.array_equal(one.images, same.images) and np.array_equal(one.corners, same.corners)
    assert not np.array_equal(one.images, other.images)


def test_a_pairs_batch_depends_on_its_key_alone(
    data: ModuleType, stages: tuple, photographs: object
) -> None:
    labels = corners_of(photographs)
    one, same = (
        data.pairs_batch(stages[2], photographs, labels, photographs.training, (5, 1))
        for _ in range(2)
    )
    assert np.array_equal(one.images, same.images) and np.array_equal(one.points, same.points)
    assert one.images.shape == (4, 1, 48, 64)
    assert one.valid_cells.shape == (4, 6, 8) and one.points.shape == (2, 2, 40, 2)


def test_points_of_a_pair_correspond_by_its_homography(
    load: Load, data: ModuleType, stages: tuple, photographs: object
) -> None:
    batch = data.pairs_batch(
        stages[2], photographs, corners_of(photographs), photographs.training, (5, 2)
    )
    for i in range(2):
        valid = batch.valid[i]
        assert valid.sum() > 10
        first, second = batch.points[0, i][valid], batch.points[1, i][valid]
        assert np.allclose(transform(batch.H_1_0[i], first), second, atol=1e-3)
        assert (first >= 4).all() and (first <= [59, 43]).all()
        assert (second >= 4).all() and (second <= [59, 43]).all()


def test_corresponding_points_show_the_same_grey_without_photometric_changes(
    load: Load, data: ModuleType, stages: tuple, photographs: object
) -> None:
    off = load("training.photometric").OFF
    stage = type(stages[2])(**{**vars(stages[2]), "photometric": off})
    batch = data.pairs_batch(
        stage, photographs, corners_of(photographs), photographs.training, (5, 3)
    )
    for i in range(2):
        smooth = [cv2.GaussianBlur(batch.images[k, 0], (0, 0), 2) for k in (i, i + 2)]
        values = [
            image[tuple(batch.points[k, i][batch.valid[i]].round().astype(int).T[::-1])]
            for k, image in enumerate(smooth)
        ]
        right = np.median(np.abs(values[0].astype(float) - values[1]))
        mixed = np.median(np.abs(values[0].astype(float) - np.roll(values[1], 5)))
        assert right < 6 < mixed


def test_keypoints_of_both_views_stand_in_the_batch(
    data: ModuleType, stages: tuple, photographs: object
) -> None:
    batch = data.pairs_batch(
        stages[2], photographs, corners_of(photographs), photographs.training, (5, 4)
    )
    assert set(batch.keypoints[:, 0]) <= {0, 1, 2, 3}
    assert (batch.keypoints[:, 1:].round() >= 0).all()
    assert (batch.keypoints[:, 1:].round() <= [63, 47]).all()


@pytest.fixture
def plain(load: Load) -> Callable[..., Any]:
    """Return a function that makes a stage of pairs, by itself of unchanged views."""
    off = load("training.photometric").OFF
    given = {"name": "x", "steps": 1, "batch": 1, "size": (48, 64), "photometric": off}
    return lambda **more: load("training.recipe").PairsStage(**{**given, **more})


@pytest.fixture
def pair_of(data: ModuleType) -> Callable[..., Any]:
    """Return a function that makes a batch of pairs of one photograph, or of several."""

    def made(stage: Any, images: Any, keypoints: list, key: tuple[int, ...] = (1,)) -> Any:
        read = SimpleNamespace(read=list(images).__getitem__)
        return data.pairs_batch(stage, read, keypoints, np.arange(len(images)), key)

    return made


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


NOWHERE = np.zeros((0, 2), np.float32)


def test_corners_stand_with_the_index_of_their_drawing(load: Load, data: ModuleType) -> None:
    recipe, off = load("training.recipe"), load("training.photometric").OFF
    stage = recipe.ShapesStage(name="x", steps=1, batch=6, size=(48, 64), photometric=off)
    batch = data.shapes_batch(stage, (4, 1))
    for i in range(6):
        drawing = load("training.shapes").draw(np.random.default_rng([4, 1, i]), (48, 64))
        assert np.array_equal(batch.images[i, 0], drawing.image)
        found = batch.corners[batch.corners[:, 0] == i, 1:]
        assert np.array_equal(found, drawing.corners.astype(np.float32))
    assert len(set(batch.corners[:, 0])) >= 3


def test_keypoints_of_each_view_are_where_it_shows_them(
    load: Load, plain: Callable[..., Any], pair_of: Callable[..., Any]
) -> None:
    spread = load("training.homographies").Spread
    first = spread(rotation_deg=30, shift=0.2)
    second = spread(rotation_deg=180, scale=1.1, perspective=0.1, shift=0.2)
    stage = plain(batch=5, size=(72, 104), first=first, second=second)
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.arange(10, 120, 20), np.arange(10, 80, 20)), -1).reshape(-1, 2)
    dots = [grid + rng.integers(-3, 4, grid.shape) for _ in range(4)]
    images = np.full((4, 80, 120), 40, np.uint8)
    for image, places in zip(images, dots, strict=True):
        for place in places.tolist():
            cv2.circle(image, place, 3, 255, -1)
    batch = pair_of(stage, images, [places.astype(np.float32) for places in dots])
    views = [batch.keypoints[batch.keypoints[:, 0] == k, 1:] for k in range(10)]
    for image, keypoints in zip(batch.images[:, 0], views, strict=True):
        x, y = keypoints.round().astype(int).T
        assert len(keypoints) >= 3 and (image[y, x] > 200).all()
    for i, H_1_0 in enumerate(batch.H_1_0):
        for H, from_view, to_view in ((H_1_0, i, i + 5), (np.linalg.inv(H_1_0), i + 5, i)):
            carried = transform(H, views[from_view])
            carried = carried[((carried >= 0) & (carried <= [103, 71])).all(axis=1)]
            gaps = np.linalg.norm(carried[:, None] - views[to_view], axis=2)
            assert len(carried) and (gaps.min(axis=1) < 1e-3).all()


def test_places_are_where_the_centres_of_the_first_views_cells_lie_in_the_second(
    load: Load, plain: Callable[..., Any], pair_of: Callable[..., Any]
) -> None:
    second = load("training.homographies").Spread(rotation_deg=90, scale=1.5, perspective=0.2)
    batch = pair_of(plain(batch=3, second=second), [np.full((48, 64), 255, np.uint8)], [NOWHERE])
    assert batch.places.shape == (3, 6, 8, 2)
    for H, places in zip(batch.H_1_0, batch.places, strict=True):
        for row, column in ((0, 0), (2, 7), (5, 1)):
            x, y, depth = H @ (8 * column + 3.5, 8 * row + 3.5, 1)
            assert places[row, column] == pytest.approx([x / depth, y / depth], rel=1e-4)


def test_the_centre_of_a_cell_lies_between_its_pixels(load: Load) -> None:
    centres = load("training.homographies").cell_centres((16, 24))
    assert centres.shape == (2, 3, 2)
    assert centres[0, 0].tolist() == [3.5, 3.5] and centres[1, 2].tolist() == [19.5, 11.5]


@pytest.fixture
def shifted(
    data: ModuleType, plain: Callable[..., Any], pair_of: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:  # fmt: skip
    """Return a pair of views of a white photograph (48, 64) that lies at (20, 10) and (-10, 15)."""
    stage = plain(points=500, first="first", second="second")
    known = {"first": shift(20, 10), "second": shift(-30, 5)}
    monkeypatch.setattr(data, "sample", lambda rng, size, spread: known[spread])
    keypoints = np.array([[20, 12], [30, 20], [2, 20], [36, 2], [60, 40]], np.float32)
    return pair_of(stage, [np.full((48, 64), 255, np.uint8)], [keypoints])


def test_valid_cells_are_those_whose_centre_shows_the_photograph(shifted: Any) -> None:
    first, second = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    first[1:, 3:] = True  # centres at x of 27.5 or more, y of 11.5 or more
    second[2:, :7] = True  # at x up to 51.5, y of 19.5 or more
    assert np.array_equal(shifted.valid_cells, [first, second])


def test_compared_points_keep_away_from_the_borders_of_views_and_photograph(shifted: Any) -> None:
    first, second = shifted.points[:, 0][:, shifted.valid[0]]
    assert 100 < len(first) < 500
    assert np.allclose(second - first, [-30, 5], atol=1e-4)
    # 4 px beyond the second view's left and the photograph's upper border, and before the first
    # view's right and the second view's lower border
    assert first.min(axis=0) == pytest.approx([34.5, 14.5], abs=0.5)
    assert first.max(axis=0) == pytest.approx([58.5, 37.5], abs=0.5)
    told = first[shifted.is_keypoint[0][shifted.valid[0]]]
    assert sorted(told.tolist()) == [[40, 22], [50, 30]]


def test_the_right_and_lower_border_of_the_photograph_count_as_well(
    data: ModuleType, plain: Callable[..., Any], pair_of: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    known = {"first": shift(-20, -10), "second": shift(2, 3)}
    monkeypatch.setattr(data, "sample", lambda rng, size, spread: known[spread])
    stage = plain(points=500, first="first", second="second")
    batch = pair_of(stage, [np.full((48, 64), 255, np.uint8)], [NOWHERE])
    first = batch.points[0, 0][batch.valid[0]]
    assert first.max(axis=0) == pytest.approx([63 - 20 - 4.5, 47 - 10 - 4.5], abs=0.5)
    expected = np.zeros((2, 6, 8), bool)
    expected[0, :5, :5] = True  # x to 43, y to 37
    expected[1, :5, :6] = True  # x to 45, y to 40
    assert np.array_equal(batch.valid_cells, expected)


def only(load: Load, **changes: float) -> Any:
    """Return the settings of no photometric change but some."""
    off = load("training.photometric").OFF
    return type(off)(**{**vars(off), **changes})


def test_both_views_and_all_pairs_have_light_of_their_own(
    load: Load, plain: Callable[..., Any], pair_of: Callable[..., Any]
) -> None:
    stage = plain(batch=6, photometric=only(load, brightness=0.4))
    batch = pair_of(stage, [np.full((48, 64), 128, np.uint8)], [NOWHERE])
    greys = batch.images.mean(axis=(1, 2, 3))
    assert len(set(greys.round().tolist())) >= 10


def black_cells(image: np.ndarray) -> list[list[bool]]:
    rows = [np.hsplit(row, image.shape[1] // 8) for row in np.vsplit(image, image.shape[0] // 8)]
    return [[not cell.any() for cell in row] for row in rows]


def test_black_cells_beyond_an_endoscopes_circle_are_neither_valid_nor_compared(
    load: Load, plain: Callable[..., Any], pair_of: Callable[..., Any]
) -> None:
    stage = plain(batch=8, size=(96, 128), points=300, photometric=only(load, vignette=1.0))
    batch = pair_of(stage, [np.full((96, 128), 255, np.uint8)], [NOWHERE])
    black = np.array([black_cells(image[0]) for image in batch.images])
    assert np.array_equal(batch.valid_cells, ~black)
    first, second = black.reshape(2, 8, 12, 16)
    assert (first & ~second).any() and (second & ~first).any()
    for points, cells in zip(batch.points, (first, second), strict=True):
        for where, valid, dark in zip(points, batch.valid, cells, strict=True):
            x, y = where[valid].round().astype(int).T // 8
            assert len(x) > 100 and not dark[y, x].any()


def test_black_cells_of_drawings_are_not_valid(load: Load, data: ModuleType) -> None:
    stage = load("training.recipe").ShapesStage(
        name="x", steps=1, batch=6, size=(48, 64), photometric=only(load, vignette=1.0)
    )
    batch = data.shapes_batch(stage, (1,))
    black = np.array([black_cells(image[0]) for image in batch.images])
    assert black.any() and np.array_equal(batch.valid_cells, ~black)


def test_prepared_batches_come_in_order_and_errors_come_through(data: ModuleType) -> None:
    assert list(data.prefetched(lambda i: i * i, range(3, 40), 3)) == [i * i for i in range(3, 40)]

    def fails(i: int) -> int:
        if i == 5:
            raise InputError("broken")
        return i

    found = []
    with pytest.raises(InputError, match="broken"):
        found.extend(data.prefetched(fails, range(9), 2))
