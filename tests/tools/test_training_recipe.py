"""Recipes: every shipped one is right, and what is wrong is said with file, line and key."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from training_world import RECIPE, write_recipe

from pipeline.errors import ConfigError

Load = Callable[[str], ModuleType]
SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))


@pytest.fixture
def recipes(load: Load) -> ModuleType:
    return load("training.recipe")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_read_and_named_after_its_file(
    recipes: ModuleType, path: Path
) -> None:
    assert recipes.read_recipe(path).name == path.stem


def test_a_recipe_of_each_kind_is_shipped() -> None:
    assert {path.stem for path in SHIPPED} >= {"superpoint", "superpoint_small"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed: 3", "seed: -1", "tiny.yaml:3: seed: Input should be greater than or equal to 0"),
        ("seed: 3", "sead: 3", "tiny.yaml:3: sead: Unexpected keyword argument"),
        ("batch: 2, size: [48, 64], v", "batch: 0, size: [48, 64], v", "tiny.yaml:8: stages.0.batch"),
        ("size: [48, 64], v", "size: [50, 64], v", "size must be two multiples of 8, not [50, 64]"),
        ("rotation_deg: 20", "rotation_deg: 200", "rotation_deg must be from 0 to 180, not 200"),
        ("type: labels", "type: label", "tiny.yaml:9: stages.1: Input tag 'label'"),
        ("name: joint", "name: shapes", "two stages are named 'shapes': names must differ"),
        ("heads: 8,", "heads: 0,", "heads must be at least 1, not 0"),
        ("descriptor: 8}", "descriptor: 8, start: x}", "batch_norm must be false with start"),
        ("type: labels, name: labels, homographies: 2, spread: {rotation_deg: 20}, threshold: 0.001",
         "type: shapes, name: s2, steps: 1, batch: 1, size: [8, 8]",
         "a stage of type pairs needs one of type labels before it"),
        ("steps: 4, batch", "steps: 4, batch: 3, batch", "tiny.yaml:8: stages.0.batch: given twice"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_is_refused_with_its_line(
    recipes: ModuleType, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in RECIPE
    path = write_recipe(tmp_path, RECIPE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        recipes.read_recipe(path)
    assert message in str(caught.value)


def test_a_missing_recipe_is_a_line(recipes: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read"):
        recipes.read_recipe(tmp_path / "nowhere.yaml")


def test_the_fingerprint_of_a_stage_depends_on_what_comes_before_it_and_no_more(
    recipes: ModuleType, tmp_path: Path
) -> None:
    def prints(text: str) -> list[str]:
        recipe = recipes.read_recipe(write_recipe(tmp_path, text))
        return [recipe.fingerprint(i) for i in range(3)]

    first = prints(RECIPE)
    later = prints(RECIPE.replace("points: 40", "points: 50"))
    assert first[:2] == later[:2] and first[2] != later[2]
    assert not set(first) & set(prints(RECIPE.replace("seed: 3", "seed: 4")))
    assert first == prints(RECIPE.replace("checkpoint_every: 2", "checkpoint_every: 3"))
