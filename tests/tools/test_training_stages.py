"""The stages that learn: what they feed a network, which losses they add up, how they score it."""

import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from nodes.networks.superpoint import CELL, CHANNELS, SuperPoint, Widths

Load = Callable[[str], ModuleType]
SIZE = (48, 96)
ROWS, COLUMNS = SIZE[0] // CELL, SIZE[1] // CELL
BACKGROUND = math.log(1 + 64 * math.exp(-12))  # what a black cell costs `SeesDots`


class SeesDots(SuperPoint):
    """Bright pixels are keypoints; the brightest of a cell gives its descriptor's direction."""

    def __init__(self) -> None:
        super().__init__(Widths((1, 1, 1, 1), 1, 2))
        self.modes: list[bool] = []
        self.gradients: list[bool] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
        self.modes.append(self.training)
        self.gradients.append(torch.is_grad_enabled())
        cells = functional.pixel_unshuffle(images, CELL)
        brightest = cells.amax(dim=1)
        angles = (255 * brightest - 150) * math.pi / 200
        descriptors = torch.stack([angles.cos(), angles.sin()], dim=1)
        logits = torch.cat([20 * cells - 12, torch.zeros_like(cells[:, :1])], dim=1)
        return logits, descriptors * (brightest > 0).unsqueeze(1)


class Says(SuperPoint):
    """Answers with what it was given."""

    def __init__(self, logits: torch.Tensor, descriptors: torch.Tensor) -> None:
        super().__init__(Widths((1, 1, 1, 1), 1, 1))
        self.answer = logits, descriptors

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert len(images) == len(self.answer[0])
        return self.answer


class Pictures:
    """Five photographs, the last two held out; remembers which were read."""

    def __init__(self) -> None:
        self.training, self.validation = np.arange(3), np.arange(3, 5)
        self.reads: list[int] = []

    def read(self, index: int) -> np.ndarray:
        self.reads.append(index)
        return np.random.default_rng(index).integers(0, 256, SIZE, np.uint8)


@pytest.fixture
def stages(load: Load) -> ModuleType:
    return load("training.stages")


@pytest.fixture
def make(load: Load, stages: ModuleType) -> Callable[..., Any]:
    """Return a function that makes a task; a stage of type pairs unless another is named."""
    recipe, off = load("training.recipe"), load("training.photometric").OFF

    def task(kind: str = "Pairs", precision: torch.dtype = torch.float32, **changes: Any) -> Any:
        given = {"name": "x", "steps": 1, "batch": 2, "size": SIZE, "photometric": off, **changes}
        stage = getattr(recipe, f"{kind}Stage")(**given)
        around = stages.Surroundings(7, 2, torch.device("cpu"), precision)
        if kind == "Shapes":
            return stages.ShapesTask(stage, around)
        return stages.PairsTask(stage, around, Pictures(), [np.full((4, 2), 20.0)] * 5)

    return task


@pytest.fixture
def pairs(load: Load) -> Callable[..., Any]:
    """Return a function that makes a batch of pairs: black, without keypoints, all cells valid."""
    data = load("training.data")

    def batch(count: int = 1, size: tuple[int, int] = SIZE, **given: Any) -> Any:
        rows, columns = size[0] // CELL, size[1] // CELL
        values = {
            "images": np.zeros((2 * count, 1, *size), np.uint8),
            "keypoints": np.zeros((0, 3), np.float32),
            "valid_cells": np.ones((2 * count, rows, columns), bool),
            "points": np.zeros((2, count, 8, 2), np.float32),
            "valid": np.zeros((count, 8), bool),
            "is_keypoint": np.zeros((count, 8), bool),
            "places": np.full((count, rows, columns, 2), 1e4, np.float32),
            "H_1_0": np.stack([np.eye(3)] * count),
        }
        return data.PairsBatch(**{**values, **given})

    return batch


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def dotted(dots: list[list[tuple[int, int, int]]], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return images (B, 1, H, W) with dots (x, y, grey)."""
    images = np.zeros((len(dots), 1, *size), np.uint8)
    for image, places in zip(images, dots, strict=True):
        for x, y, grey in places:
            image[0, y, x] = grey
    return images


def told(task: Any, network: SuperPoint, batch: Any) -> dict[str, float]:
    return {name: float(value) for name, value in task.losses(network, batch).items()}


def saying(z: torch.Tensor) -> torch.Tensor:
    """Return logits (B, 65, h, w) that say "a keypoint is in this cell" with the logits z."""
    logits = torch.zeros(len(z), CHANNELS, *z.shape[1:])
    logits[:, -1] = math.log(64) - z
    return logits


def test_training_and_validation_read_their_own_photographs(
    stages: ModuleType, make: Callable[..., Any]
) -> None:
    task = make(batch=8)
    task.batch(0)
    task.batch(stages.VALIDATION_KEY - 1)
    learnt = set(task._photographs.reads)
    task._photographs.reads.clear()
    network = SeesDots()
    task.validate(network)
    assert learnt == {0, 1, 2}
    assert set(task._photographs.reads) == {3, 4}
    task.pictures(network)
    assert set(task._photographs.reads) == {3, 4}


def test_the_random_numbers_of_a_step_are_of_the_seed_the_stage_and_the_step(
    make: Callable[..., Any],
) -> None:
    assert make().key(5) == (7, 2, 5)
    task = make("Shapes")
    assert np.array_equal(task.batch(5).images, task.batch(5).images)
    assert not np.array_equal(task.batch(5).images, task.batch(6).images)


def test_validation_is_the_mean_over_batches_in_eval_mode_and_learning_goes_on(
    stages: ModuleType,
) -> None:
    class Counts(stages.Task):
        def batch(self, step: int) -> int:
            return step - stages.VALIDATION_KEY

        def losses(self, network: Any, batch: int) -> dict[str, torch.Tensor]:
            network(torch.zeros(1, 1, *SIZE))
            return {"loss": torch.tensor(float(batch))}

        def scores(self, network: Any, batch: int) -> Mapping[str, float]:
            return {"score": batch**2}

        def pictures(self, network: Any) -> list[np.ndarray]:
            return []

    network = SeesDots().train()
    found = Counts(None, None).validate(network)
    assert found == {"val/loss": 3.5, "val/score": 140 / 8}
    assert network.modes == [False] * 8 and network.gradients == [False] * 8
    assert network.training


def test_images_are_shares_of_255(make: Callable[..., Any]) -> None:
    images = np.array([0, 51, 255], np.uint8).repeat(64).reshape(3, 1, 8, 8)
    logits, _ = make().around.run(SeesDots(), images)
    assert logits[:, 0].flatten().tolist() == pytest.approx([-12, -8, 8])


def test_layers_run_in_the_precision_and_answers_are_float32(make: Callable[..., Any]) -> None:
    class Convolves(SuperPoint):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            made.append(self.conv1a(images).dtype)
            return self.conv1a(images), self.conv1b(self.conv1a(images))

    made: list[torch.dtype] = []
    network, images = Convolves(Widths((1, 1, 1, 1), 1, 1)), np.zeros((1, 1, 8, 8), np.uint8)
    for precision in (torch.float32, torch.bfloat16):
        answers = make(precision=precision).around.run(network, images)
        assert [answer.dtype for answer in answers] == [torch.float32] * 2
    assert made == [torch.float32, torch.bfloat16]


def test_the_detector_of_pairs_learns_both_views_keypoints_from_valid_cells_alone(
    make: Callable[..., Any], pairs: Callable[..., Any]
) -> None:
    images = dotted([[(13, 21, 255)], [(70, 40, 255)]])
    keypoints = np.array([[0, 13, 21], [1, 70, 40]], np.float32)
    everywhere = np.ones((2, ROWS, COLUMNS), bool)
    task, dot = make(batch=1, descriptor_loss="none"), math.log(1 + math.exp(-8))
    clean = told(task, SeesDots(), pairs(images=images, keypoints=keypoints))
    cells = 2 * ROWS * COLUMNS
    assert clean["detector"] == pytest.approx(
        (2 * dot + (cells - 2) * BACKGROUND) / cells, rel=1e-3
    )
    images[1, 0, 3, 90] = 255  # no keypoint
    masked = everywhere.copy()
    masked[1, 0, 11] = False
    seen = told(task, SeesDots(), pairs(images=images, keypoints=keypoints))
    hidden = told(task, SeesDots(), pairs(images=images, keypoints=keypoints, valid_cells=masked))
    assert seen["detector"] == pytest.approx(clean["detector"] + 8 / cells, rel=0.01)
    assert hidden["detector"] == pytest.approx(clean["detector"], rel=0.01)


def test_the_detector_of_drawings_learns_from_valid_cells_alone(
    load: Load, make: Callable[..., Any]
) -> None:
    images = dotted([[(13, 21, 255)], [(90, 3, 255)]])
    corners = np.array([[0, 13, 21]], np.float32)
    valid = np.ones((2, ROWS, COLUMNS), bool)
    batch = load("training.data").ShapesBatch
    seen = told(make("Shapes"), SeesDots(), batch(images, corners, valid))["loss"]
    valid[1, 0, 11] = False
    hidden = told(make("Shapes"), SeesDots(), batch(images, corners, valid))["loss"]
    assert seen == pytest.approx(8 / valid.size, rel=0.1)
    assert hidden == pytest.approx(BACKGROUND, rel=0.02)


def test_hinge_loss_counts_the_second_views_valid_cells(
    make: Callable[..., Any], pairs: Callable[..., Any]
) -> None:
    first, second = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 0], [0.6, 0.8]])
    descriptors = torch.stack([first.T, second.T]).view(2, 2, 1, 2)
    network = Says(torch.zeros(2, CHANNELS, 1, 2), descriptors)
    valid = np.array([[[True, True]], [[False, True]]])
    task = make(batch=1, size=(8, 16), descriptor_loss="hinge", descriptor_weight=0.3)
    found = told(task, network, pairs(size=(8, 16), valid_cells=valid))
    # No cells correspond: those of products 0.6 and 0.8 with the second view's right cell count.
    assert found["descriptor"] == pytest.approx((0.4 + 0.6) / 2)
    assert found["detector"] == pytest.approx(math.log(65))
    assert found["loss"] == pytest.approx(math.log(65) + 0.3 * 0.5)


def test_hinge_loss_is_told_where_the_first_views_cells_lie(
    make: Callable[..., Any], pairs: Callable[..., Any]
) -> None:
    descriptors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]).view(1, 3, 1, 3)
    moved = descriptors.roll(1, dims=3)  # to the right by a cell
    network = Says(torch.zeros(2, CHANNELS, 1, 3), torch.cat([descriptors, moved]))
    places = np.array([[[[40.0, 4], [40, 4], [40, 4]]]], np.float32)
    places[0, 0, 0] = 11.5, 3.5  # that of the first cell is the second one, and all but its sides
    task = make(batch=1, size=(8, 24), descriptor_loss="hinge")
    found = told(task, network, pairs(size=(8, 24), places=places))
    # Within 8 px of (11.5, 3.5) lie three cells: one product of 1, two of 0; one wrong 1 remains.
    assert found["descriptor"] == pytest.approx((2 * 250 + 2 * 0.8) / 9, rel=1e-5)


CELLS = (3, 5)
POINTS = torch.tensor([[3.5, 3.5], [27.5, 3.5], [11.5, 19.5], [3.5, 11.5]])
"""A keypoint that succeeds, one that fails, a random point that fails, and one that is not there;
all are one cell to the right in the second view."""


@pytest.fixture
def contrast(pairs: Callable[..., Any]) -> tuple[SuperPoint, Any, torch.Tensor]:
    """Return a network, a batch of 3 x 5 cells, and the logits (2, 3, 5) of a keypoint's being."""
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(5.0), indexing="ij")
    z = torch.stack([0.3 * x - 0.7 * y, 0.5 - 0.2 * x + 0.4 * y])
    first = torch.eye(15).view(1, 15, *CELLS)  # every cell has a descriptor of its own
    second = first.roll(1, dims=3)
    second[..., 0, 4], second[..., 2, 2] = second[..., 2, 2].clone(), second[..., 0, 4].clone()
    points = torch.stack([POINTS, POINTS + torch.tensor([8.0, 0.0])])[:, None]
    batch = pairs(
        size=(24, 40),
        points=points.numpy(),
        valid=np.array([[True, True, True, False]]),
        is_keypoint=np.array([[True, True, False, False]]),
    )
    return Says(saying(z), torch.cat([first, second])), batch, z


def test_contrastive_loss_compares_the_descriptors_at_the_points(
    make: Callable[..., Any], contrast: tuple[SuperPoint, Any, torch.Tensor]
) -> None:
    task = make(batch=1, size=(24, 40), temperature=0.5)
    found = told(task, contrast[0], contrast[1])
    # Of three points one is most like its own, each of two is like the other's.
    assert found["descriptor"] == pytest.approx(math.log(math.exp(2) + 2) - 2 / 3, rel=1e-5)


def test_success_is_of_keypoints_alone_in_both_views(
    make: Callable[..., Any], contrast: tuple[SuperPoint, Any, torch.Tensor]
) -> None:
    network, batch, z = contrast
    found = told(make(batch=1, size=(24, 40)), network, batch)
    assert found["matched"] == 0.5
    costs = functional.softplus(torch.stack([-z[0, 0, 0], z[0, 0, 3], -z[1, 0, 1], z[1, 0, 4]]))
    assert found["success"] == pytest.approx(float(costs.mean()), rel=1e-5)


def test_the_loss_is_the_weighted_sum_of_its_parts(
    make: Callable[..., Any], contrast: tuple[SuperPoint, Any, torch.Tensor]
) -> None:
    network, batch, _ = contrast
    given = {"batch": 1, "size": (24, 40)}
    found = told(make(**given, descriptor_weight=0.3, success_weight=0.7), network, batch)
    parts = found["detector"] + 0.3 * found["descriptor"] + 0.7 * found["success"]
    assert found["loss"] == pytest.approx(parts, rel=1e-6)
    alone = told(make(**given, descriptor_loss="none", success_weight=0.7), network, batch)
    assert alone == {"loss": found["detector"], "detector": found["detector"]}


PLANTED = [
    [(12, 12, 250), (27, 19, 230), (51, 28, 210), (60, 11, 190)],
    [(36, 36, 250), (59, 20, 230), (84, 27, 210), (75, 12, 190)],
]
SHIFTS = [(24, 8), (-24, -8)]


def both_views(
    extra0: list[tuple[int, int, int]] | None = None,
    extra1: list[tuple[int, int, int]] | None = None,
) -> np.ndarray:
    """Return the planted dots of two pairs, and more in the first pair's views."""
    second = [
        [(x + shift_x, y + shift_y, grey) for x, y, grey in dots]
        for dots, (shift_x, shift_y) in zip(PLANTED, SHIFTS, strict=True)
    ]
    first = [PLANTED[0] + (extra0 or []), PLANTED[1]]
    return dotted([*first, second[0] + (extra1 or []), second[1]])


def test_keypoints_that_come_again_and_match_have_perfect_scores(
    make: Callable[..., Any], pairs: Callable[..., Any]
) -> None:
    H_1_0 = np.stack([shift(*by) for by in SHIFTS])
    found = make().scores(SeesDots(), pairs(2, images=both_views(), H_1_0=H_1_0))
    assert found == {"repeatability": 1.0, "matching accuracy": 1.0}


def test_keypoints_and_matches_of_one_view_alone_lower_the_scores(
    make: Callable[..., Any], pairs: Callable[..., Any]
) -> None:
    H_1_0 = np.stack([shift(*by) for by in SHIFTS])
    leaves, appears = (84, 20, 170), (60, 12, 170)  # alike, and not the same place
    likes_in_vain = (88, 36, 178)  # no match: the other is nearer to the one that leaves
    images = both_views([leaves, likes_in_vain], [appears])
    found = make().scores(SeesDots(), pairs(2, images=images, H_1_0=H_1_0))
    assert found["repeatability"] == pytest.approx((8 / 9 + 1) / 2)  # what leaves does not count
    assert found["matching accuracy"] == pytest.approx((4 / 5 + 1) / 2)


def test_average_precision_is_of_corners_found_in_their_own_drawing(
    load: Load, make: Callable[..., Any]
) -> None:
    corners = np.array([[0, 0, 20], [0, 70, 30], [1, 33, 12], [1, 95, 47]], np.float32)
    valid = np.ones((2, ROWS, COLUMNS), bool)
    batch = load("training.data").ShapesBatch
    all_found = dotted([[(0, 20, 255), (70, 30, 230)], [(33, 12, 240), (95, 47, 210)]])
    task = make("Shapes")
    assert task.scores(SeesDots(), batch(all_found, corners, valid)) == {"average precision": 1.0}
    one_wrong = dotted([[(0, 20, 255), (70, 30, 230)], [(33, 12, 240), (70, 30, 160)]])
    found = task.scores(SeesDots(), batch(one_wrong, corners, valid))
    assert found == {"average precision": 0.75}
