"""Batches: repeatable, of held-out photographs where asked, with points that truly correspond."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

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


def test_prepared_batches_come_in_order_and_errors_come_through(data: ModuleType) -> None:
    assert list(data.prefetched(lambda i: i * i, range(3, 40), 3)) == [i * i for i in range(3, 40)]

    def fails(i: int) -> int:
        if i == 5:
            raise InputError("broken")
        return i

    found = []
    with pytest.raises(InputError, match="broken"):
        found.extend(data.prefetched(fails, range(9), 2))
