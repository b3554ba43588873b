"""The steps of a stage: learning rate, shortened gradients, checkpoints, and going on from them."""

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nodes.networks.superpoint import Widths
from pipeline.errors import InputError

Load = Callable[[str], ModuleType]
SIZE = (32, 40)


class Slope:
    """A task whose loss falls evenly with each of four weights; remembers them at each step."""

    def __init__(self, stage: Any, steepness: float = 1.0) -> None:
        self.optimisation, self.steepness = stage, steepness
        self.seen: list[float] = []
        self.batches: list[object] = []

    def batch(self, step: int) -> int:
        return step

    def losses(self, network: torch.nn.Module, batch: object) -> dict[str, torch.Tensor]:
        assert network.training
        (weights,) = network.parameters()
        self.seen.append(float(weights[0].detach()))
        self.batches.append(batch)
        return {"loss": self.steepness * weights.sum()}

    def validate(self, network: torch.nn.Module) -> dict[str, float]:
        return {}


def weights(count: int = 4) -> torch.nn.Module:
    network = torch.nn.Module()
    network.register_parameter("it", torch.nn.Parameter(torch.zeros(count, dtype=torch.float64)))
    return network.eval()


@pytest.fixture
def learning(load: Load, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module, which draws no curves."""
    module = load("training.learning")
    monkeypatch.setattr(module, "plot", lambda path, picture: None)
    return module


@pytest.fixture
def stage(load: Load) -> Callable[..., Any]:
    given = {"name": "joint", "batch": 1, "size": SIZE, "validate_every": 1}
    return lambda **more: load("training.recipe").PairsStage(**{**given, **more})


@pytest.fixture
def learn(load: Load, learning: ModuleType) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that trains in a folder and returns its curve."""
    book = load("training.journal")

    def train(network: Any, task: Any, folder: Path, every: int = 1000) -> list[dict[str, Any]]:
        folder.mkdir(exist_ok=True)
        with closing(book.Journal(folder / "metrics.jsonl")) as journal:
            learning.Learner(network, task, folder, journal).run(every, 1)
        return book.read(journal.path)

    return train


def test_the_learning_rate_rises_from_a_hundredth_and_falls_along_a_cosine_to_a_hundredth(
    learn: Callable[..., Any], stage: Callable[..., Any], tmp_path: Path
) -> None:
    task = Slope(stage(steps=41, warm_up_steps=4, learning_rate=0.1))
    curve = learn(weights(), task, tmp_path)
    shown = [line["learning rate"] / 0.1 for line in curve]
    assert shown[:5] == pytest.approx([0.01, 0.2575, 0.505, 0.7525, 1])
    assert shown[4 + 37 // 2] == pytest.approx(0.505, abs=0.03)
    assert shown[-1] == pytest.approx(0.01 + 0.99 * (1 - math.cos(math.pi / 37)) / 2)
    assert 0.01 < shown[-1] < 0.012
    assert np.all(np.diff(shown[4:]) < 0)
    # Adam goes by the learning rate, whatever the slope.
    assert -np.diff(task.seen) == pytest.approx(0.1 * np.array(shown[:-1]), rel=1e-6)


def test_without_warm_up_learning_begins_at_the_whole_rate(
    learn: Callable[..., Any], stage: Callable[..., Any], tmp_path: Path
) -> None:
    task = Slope(stage(steps=3, warm_up_steps=0, learning_rate=0.1))
    assert learn(weights(), task, tmp_path)[0]["learning rate"] == pytest.approx(0.1)


@pytest.mark.parametrize(("steepness", "left"), [(100.0, 5.0), (2.0, 4.0)])
def test_gradients_are_shortened_to_5_and_never_lengthened(
    learn: Callable[..., Any], stage: Callable[..., Any], tmp_path: Path,
    steepness: float, left: float,
) -> None:  # fmt: skip
    network = weights()
    curve = learn(network, Slope(stage(steps=2), steepness), tmp_path)
    assert curve[-1]["gradient"] == pytest.approx(2 * steepness)  # of four weights, before
    assert float(network.it.grad.norm()) == pytest.approx(left, rel=1e-5)


def test_weights_decay_as_the_stage_says(
    learn: Callable[..., Any], stage: Callable[..., Any], tmp_path: Path
) -> None:
    network = weights()
    torch.nn.init.ones_(network.it)
    given = {"steps": 1, "warm_up_steps": 0, "learning_rate": 0.1, "weight_decay": 0.5}
    learn(network, Slope(stage(**given)), tmp_path)
    assert float(network.it[0].detach()) == pytest.approx(1 - 0.1 * 0.5 - 0.1)


def test_steps_are_learnt_once_each_and_go_on_after_the_last_checkpoint(
    learn: Callable[..., Any], learning: ModuleType, stage: Callable[..., Any], tmp_path: Path
) -> None:
    task = Slope(stage(steps=7))
    straight = learn(weights(), task, tmp_path, every=3)
    assert task.batches == list(range(7))
    names = [path.name for path in learning.checkpoints(tmp_path)]
    assert names == ["step_000003.pt", "step_000006.pt", "step_000007.pt"]
    assert not list(tmp_path.glob("*.part"))
    for name in names[1:]:
        (tmp_path / name).unlink()
    again = Slope(stage(steps=7))
    assert learn(weights(), again, tmp_path, every=3) == straight
    assert again.batches == [3, 4, 5, 6] and again.seen == task.seen[3:]
    done = Slope(stage(steps=7))
    assert learn(weights(), done, tmp_path, every=3) == straight
    assert done.batches == []


def test_a_resumed_stage_of_pairs_in_bfloat16_ends_with_the_same_weights(
    load: Load,
    learn: Callable[..., Any],
    stage: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages, photometric = load("training.stages"), load("training.photometric")
    monkeypatch.setattr(stages, "VALIDATION_BATCHES", 1)
    spread = load("training.homographies").Spread(rotation_deg=20, shift=0.1)
    chosen = stage(
        steps=4, batch=2, points=16, learning_rate=1e-2, warm_up_steps=1, success_weight=0.1,
        second=spread, photometric=photometric.OFF, validate_every=2,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, *SIZE), np.uint8)
    keypoints = [rng.uniform(0, 31, (6, 2)).astype(np.float32) for _ in images]
    photographs = SimpleNamespace(
        read=images.__getitem__, training=np.arange(3), validation=np.array([3])
    )
    around = stages.Surroundings(1, 0, torch.device("cpu"), torch.bfloat16)

    def run(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
        widths = Widths((2, 2, 2, 2), 2, 4)
        network = load("training.network").make_network(widths, batch_norm=True, seed=1)
        task = stages.PairsTask(chosen, around, photographs, keypoints)
        curve = learn(network, task, folder, every=2)
        return {name: value.clone() for name, value in network.state_dict().items()}, curve

    straight, curve = run(tmp_path)
    assert len(curve) == 2 and np.isfinite(curve[-1]["loss"])
    (tmp_path / "step_000004.pt").unlink()
    middle = torch.load(tmp_path / "step_000002.pt", weights_only=True)["network"]
    resumed, curve_again = run(tmp_path)
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())
    assert not all(torch.equal(value, middle[name]) for name, value in straight.items())
    assert curve_again == curve


def test_checkpoints_come_in_order_without_foreign_files(
    learning: ModuleType, tmp_path: Path
) -> None:
    for name in ("000010.pt", "000002.pt", "last.pt", "000004.pt.part", "000006.part", "7.pt.pt"):
        (tmp_path / f"step_{name}").touch()
    (tmp_path / "my_step_000005.pt").touch()
    found = [path.name for path in learning.checkpoints(tmp_path)]
    assert found == ["step_000002.pt", "step_000010.pt"]
    assert learning.checkpoints(tmp_path / "nowhere") == []


def test_a_checkpoint_appears_whole_or_not_at_all(
    learn: Callable[..., Any],
    learning: ModuleType,
    stage: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks_off(state: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", breaks_off)
    with pytest.raises(OSError, match="no space left"):
        learn(weights(), Slope(stage(steps=1)), tmp_path)
    assert learning.checkpoints(tmp_path) == []


def test_a_damaged_checkpoint_is_named_with_the_cure(
    learn: Callable[..., Any], learning: ModuleType, stage: Callable[..., Any], tmp_path: Path
) -> None:
    learn(weights(), Slope(stage(steps=2)), tmp_path)
    path = tmp_path / "step_000002.pt"
    whole = path.read_bytes()
    assert learning.read_checkpoint(path)["step"] == 2
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"step_000002\.pt: no checkpoint: delete it"):
        learn(weights(), Slope(stage(steps=2)), tmp_path)
    for wrong in ({"network": {}, "step": 2}, {"network": {}, "optimiser": tmp_path, "step": 2}):
        torch.save(wrong, path)  # a part is missing; another object than tensors and numbers
        with pytest.raises(InputError, match=r"step_000002\.pt: no checkpoint: delete it"):
            learning.read_checkpoint(path)
