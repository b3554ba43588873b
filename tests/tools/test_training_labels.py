"""Homographic adaptation, shown with a detector whose answers are known."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from training_world import write_photographs, write_recipe

from nodes.networks.superpoint import CELL, CHANNELS, SuperPoint, Widths

Load = Callable[[str], ModuleType]
SIZE = (90, 118)  # of whole cells in neither direction
DOTS = np.array([[30.0, 25.0], [80.0, 30.0], [41.0, 66.0], [97.0, 70.0]])


class FindsDots(SuperPoint):
    """Answers with the brightness of pixels, on two levels: dots are keypoints."""

    def __init__(self) -> None:
        super().__init__(Widths((1, 1, 1, 1), 1, 1))
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert images.min() >= 0 and images.max() <= 1
        self.seen.append(images)
        cells = torch.nn.functional.pixel_unshuffle(images, CELL)
        dustbin = torch.zeros_like(cells[:, :1])
        logits = torch.cat([20 * cells - 12, dustbin], dim=1)
        assert logits.shape[1] == CHANNELS
        return logits, cells


@pytest.fixture
def labels(load: Load) -> ModuleType:
    return load("training.labels")


@pytest.fixture
def image() -> np.ndarray:
    made = np.zeros(SIZE, np.uint8)
    for x, y in DOTS.astype(int):
        made[y, x] = 255
    return cv2.GaussianBlur(made, (0, 0), 1.2) * 6


def stage(load: Load, **changes: object) -> object:
    recipe = load("training.recipe")
    spread = load("training.homographies").Spread(rotation_deg=180, scale=1.2, perspective=0.2)
    return recipe.LabelsStage(
        **{"name": "labels", "homographies": 20, "spread": spread, "threshold": 0.05, **changes}
    )


def test_dots_are_found_where_they_are_under_many_warps(
    load: Load, labels: ModuleType, image: np.ndarray
) -> None:
    found = labels.label(FindsDots(), image, stage(load), (1, 2), torch.float32)
    assert len(found.keypoints) == len(DOTS)
    distances = np.linalg.norm(found.keypoints[:, None] - DOTS, axis=2)
    assert (distances.min(axis=0) <= 0.3).all()
    assert (np.diff(found.scores) <= 0).all()


def test_the_mean_is_over_the_views_that_show_a_pixel(
    load: Load, labels: ModuleType, image: np.ndarray
) -> None:
    shift = np.eye(3)
    shift[0, 2] = 60  # shows what was left of the middle
    both = labels.adapted_scores(FindsDots(), image, np.stack([np.eye(3), shift]), 0, torch.float32)
    alone = labels.adapted_scores(FindsDots(), image, np.eye(3)[None], 0, torch.float32)
    seen_once, seen_twice = both[30, 80], both[25, 30]
    assert float(seen_once) == pytest.approx(float(alone[30, 80]), abs=1e-4)
    assert float(seen_twice) == pytest.approx(float(alone[25, 30]), rel=0.7)
    assert both.shape == SIZE


def test_predictions_near_the_border_of_a_view_do_not_count(
    load: Load, labels: ModuleType, image: np.ndarray
) -> None:
    scores = labels.adapted_scores(FindsDots(), image, np.eye(3)[None], 5, torch.float32)
    assert float(scores[:5].max()) == 0 and float(scores[:, -5:].max()) == 0
    assert float(scores[5:-5, 5:-5].min()) > 0


def test_predictions_count_away_from_both_borders_the_views_and_the_photographs(
    labels: ModuleType, image: np.ndarray
) -> None:
    shift = np.eye(3)
    shift[0, 2] = 10
    scores = labels.adapted_scores(FindsDots(), image, shift[None], 5, torch.float32)
    height, width = SIZE
    assert float(scores[:, :5].max()) == 0  # 5 pixels within the photograph, 15 in the view
    assert float(scores[:, width - 15 :].max()) == 0  # 15 within the photograph, 5 in the view
    assert float(scores[:5].max()) == 0 and float(scores[height - 5 :].max()) == 0
    assert float(scores[5 : height - 5, 5 : width - 15].min()) > 0


def test_the_trainer_labels_with_a_network_in_eval_mode(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evaluates(FindsDots):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert not self.training
            return super().forward(images)

    trainer, network = load("training.trainer"), Evaluates().train()
    monkeypatch.setattr(trainer, "make_network", lambda *args, **kwargs: network)
    text = "name: tiny\nstages:\n  - {type: labels, name: labels, homographies: 2}\n"
    recipe = load("training.recipe").read_recipe(write_recipe(tmp_path, text))
    folder = write_photographs(tmp_path / "photos", load("training.shapes"))
    photographs = load("training.photographs").Photographs(folder, 64)
    out = trainer.Trainer(recipe, photographs, tmp_path / "run", torch.device("cpu"), 1).run()
    assert len(network.seen) == len(photographs)
    assert load("training.labels").read_labels(out / "labels.npz")[0] == photographs.names


def test_the_key_seeds_the_homographies(load: Load, labels: ModuleType, image: np.ndarray) -> None:
    networks = [FindsDots() for _ in range(3)]
    for network, key in zip(networks, ((1, 2), (1, 2), (1, 3)), strict=True):
        labels.label(network, image, stage(load, homographies=3), key, torch.float32)
    one, same, other = (network.seen[0] for network in networks)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_only_so_many_keypoints_are_kept_the_best(
    load: Load, labels: ModuleType, image: np.ndarray
) -> None:
    all_of_them = labels.label(FindsDots(), image, stage(load), (1, 2), torch.float32)
    two = labels.label(FindsDots(), image, stage(load, max_keypoints=2), (1, 2), torch.float32)
    assert np.array_equal(two.keypoints, all_of_them.keypoints[:2])


def test_a_picture_without_dots_has_no_labels(load: Load, labels: ModuleType) -> None:
    found = labels.label(FindsDots(), np.zeros(SIZE, np.uint8), stage(load), (1,), torch.float32)
    assert found.keypoints.shape == (0, 2) and found.scores.shape == (0,)


def test_labels_come_back_from_their_file(labels: ModuleType, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    written = [
        labels.Labels(rng.random((n, 2), np.float32), rng.random(n, np.float32)) for n in (3, 0, 5)
    ]
    labels.write_labels(tmp_path / "labels.npz", ["a", "b/c", "d"], written)
    names, found = labels.read_labels(tmp_path / "labels.npz")
    assert names == ["a", "b/c", "d"]
    for one, other in zip(written, found, strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)
        assert np.array_equal(one.scores, other.scores)
