"""The training as a whole, in a small world: its stages, its files, and going on after a kill."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from training_world import RECIPE, write_photographs, write_recipe

from nodes.networks.state_dicts import load_superpoint

Load = Callable[[str], ModuleType]
TOOL = Path(__file__).parents[2] / "tools" / "train_superpoint.py"
FOLDERS = ["1_shapes", "2_labels", "3_joint"]


@pytest.fixture
def world(load: Load, tmp_path: Path) -> list[str]:
    """Return the arguments of a training in a small world."""
    photographs = write_photographs(tmp_path / "photos", load("training.shapes"))
    recipe = write_recipe(tmp_path)
    common = ["--config", str(recipe), "--images", str(photographs), "--workers", "1"]
    return [*common, "--device", "cpu"]


@pytest.fixture
def train(load: Load, world: list[str]) -> Callable[..., int]:
    """Return a function that trains into a folder, with more arguments."""
    main = load("train_superpoint").main
    return lambda out, *more: main([*world, "--out", str(out), *map(str, more)])


def curve(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(out: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_superpoint(out / stage / "weights.safetensors").state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_all_stages_run_and_leave_weights_labels_pictures_and_curves(
    train: Callable[..., int], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert train(out) == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == FOLDERS
    assert (out / "2_labels" / "labels.npz").exists()
    assert not list((out / "2_labels").glob("part_*"))
    for stage in FOLDERS:
        assert cv2.imread(str(out / stage / "keypoints.png")) is not None
    assert cv2.imread(str(out / "metrics.png")) is not None
    found = curve(out)
    assert [(line["stage"], line["step"]) for line in found] == [
        ("shapes", 4), ("labels", 20), ("joint", 4),
    ]  # fmt: skip
    assert {"loss", "val/loss", "val/average precision"} <= found[0].keys()
    assert {"detector", "descriptor", "success", "val/repeatability"} <= found[2].keys()
    assert not same(weights(out, "1_shapes"), weights(out, "3_joint"))


def test_a_training_that_went_back_ends_with_the_same_weights(
    train: Callable[..., int], tmp_path: Path
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert train(straight) == 0
    assert train(resumed) == 0
    assert (
        train(resumed, "--from", resumed / "1_shapes" / "step_000002.pt", "--stage", "shapes") == 0
    )
    assert not (resumed / "3_joint").exists()
    assert [line["stage"] for line in curve(resumed)] == ["shapes"]
    assert train(resumed) == 0
    assert same(weights(straight, "3_joint"), weights(resumed, "3_joint"))
    assert curve(straight) == curve(resumed)


def test_what_is_done_is_not_done_again(train: Callable[..., int], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(out) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert train(out) == 0
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert {path for path in after if before.get(path) != after[path]} == set()


def test_another_recipe_does_not_go_on_in_the_same_folder(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", "--stage", "shapes") == 0
    write_recipe(tmp_path, RECIPE.replace("seed: 3", "seed: 4"))
    assert train(tmp_path / "run") == 2
    assert "1_shapes: begun by another recipe: give another --out" in capsys.readouterr().err


def test_a_later_stage_may_change_as_long_as_it_has_not_begun(
    train: Callable[..., int], tmp_path: Path
) -> None:
    assert train(tmp_path / "run", "--stage", "shapes") == 0
    write_recipe(tmp_path, RECIPE.replace("success_weight: 0.1", "descriptor_loss: hinge"))
    assert train(tmp_path / "run") == 0
    assert "success" not in curve(tmp_path / "run")[-1]


def test_going_back_lets_later_stages_be_changed(train: Callable[..., int], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(out) == 0
    write_recipe(tmp_path, RECIPE.replace("points: 40", "points: 50"))
    assert train(out) == 2
    assert train(out, "--from", out / "1_shapes" / "step_000004.pt") == 0


def test_fine_tuning_begins_with_given_weights(train: Callable[..., int], tmp_path: Path) -> None:
    assert train(tmp_path / "run", "--stage", "shapes") == 0
    start = tmp_path / "run" / "1_shapes" / "weights.safetensors"
    head, _, rest = RECIPE.partition("descriptor: 8}")
    assert rest
    text = f"{head}descriptor: 8, batch_norm: false, start: {start}}}{rest}"
    write_recipe(tmp_path, text.replace("warm_up_steps: 100", "").replace("steps: 4", "steps: 1"))
    assert train(tmp_path / "tuned", "--stage", "shapes") == 0
    one, other = weights(tmp_path / "run", "1_shapes"), weights(tmp_path / "tuned", "1_shapes")
    for key, value in one.items():  # one step at a hundredth of the rate
        assert torch.allclose(value, other[key], atol=1e-4) and other[key].shape == value.shape


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--stage", "jont"], 2, "--stage jont: no such stage; allowed: shapes, labels, joint"),
        (["--from", "nowhere.pt"], 3, "nowhere.pt: no checkpoint of a stage in"),
    ],
)
def test_wrong_arguments_are_one_line(
    train: Callable[..., int], tmp_path: Path, more: list[str], code: int, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert train(tmp_path / "run", *more) == code
    error = capsys.readouterr().err.strip()
    assert message in error and "\n" not in error


def test_a_damaged_checkpoint_is_named(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(out, "--stage", "shapes") == 0
    (out / "1_shapes" / "weights.safetensors").unlink()
    (out / "1_shapes" / "step_000004.pt").write_bytes(b"cut off")
    assert train(out) == 3
    assert "step_000004.pt: no checkpoint: delete it" in capsys.readouterr().err


def test_photographs_are_asked_for_where_they_are_missing(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main, recipe = load("train_superpoint").main, write_recipe(tmp_path)
    assert main(["--config", str(recipe), "--out", str(tmp_path / "run"), "--workers", "1"]) == 3
    assert "give --images DIR" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_a_kill_the_loss_curve_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    quick = "steps: 200, learning_rate: 0.01, warm_up_steps: 10"
    text = RECIPE.split("  - {type: labels")[0].replace("steps: 4", quick)
    text = text.replace("validate_every: 4", "validate_every: 40")
    recipe = write_recipe(tmp_path, text.replace("checkpoint_every: 2", "checkpoint_every: 20"))

    def command(out: str) -> list[str]:
        arguments = ["--config", str(recipe), "--out", str(tmp_path / out), "--device", "cpu"]
        return [sys.executable, str(TOOL), *arguments]

    subprocess.run(command("straight"), check=True, timeout=300)
    running = subprocess.Popen(command("killed"))
    while not (tmp_path / "killed" / "1_shapes" / "step_000080.pt").exists():
        assert running.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "killed" / "1_shapes" / "weights.safetensors").exists()
    subprocess.run(command("killed"), check=True, timeout=300)
    straight, killed = curve(tmp_path / "straight"), curve(tmp_path / "killed")
    assert len(straight) == 20 and straight == killed
    assert same(
        weights(tmp_path / "straight", "1_shapes"), weights(tmp_path / "killed", "1_shapes")
    )
    losses = [line["loss"] for line in straight]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:2])
