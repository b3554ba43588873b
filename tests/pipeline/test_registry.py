"""Registries load lazily, and say what to do when a name or a package is missing."""

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.registry import Registry, load_object, suggest


class Thing:
    @dataclass(frozen=True)
    class Options:
        size: int = 3

    def __init__(self, options: Options) -> None:
        self.size = options.size


THINGS = Registry("thing", {"thing": f"{__name__}:Thing", "far": "module_that_is_not_there:Far"})


def test_a_name_gives_its_class_and_options_build_it() -> None:
    assert THINGS.load("thing") is Thing
    assert THINGS.create("thing").size == 3
    assert THINGS.create("thing", {"size": 5}).size == 5
    assert THINGS.create("thing", Thing.Options(7)).size == 7


def test_an_unknown_name_gives_the_nearest_and_all() -> None:
    with pytest.raises(ConfigError) as caught:
        THINGS.load("thign")
    assert str(caught.value) == "unknown thing 'thign'. Did you mean 'thing'? Allowed: thing, far"


def test_a_missing_package_gives_the_command_that_installs_it(tmp_path: Path) -> None:
    extras = Registry(
        "thing", {"far": "module_that_is_not_there:Far"}, extras={"module_that_is_not_there": "far"}
    )
    with pytest.raises(MissingDependencyError) as caught:
        extras.load("far")
    assert str(caught.value) == (
        "thing 'far' needs the package module_that_is_not_there: pip install 'posestream[far]'"
    )


def test_a_broken_import_that_no_extra_cures_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there"):
        THINGS.load("far")


def test_other_packages_add_names_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[test.things]\nother = fractions:Fraction\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    registry = Registry("thing", {"thing": f"{__name__}:Thing"}, group="test.things")
    assert registry.names() == ["thing", "other"]
    assert registry.load("other").__name__ == "Fraction"


def test_listing_names_imports_nothing() -> None:
    assert THINGS.names() == ["thing", "far"]
    assert "module_that_is_not_there" not in sys.modules


def test_an_object_is_found_by_module_and_name() -> None:
    assert load_object("pathlib:Path") is Path


def test_a_suggestion_without_a_near_name_only_lists() -> None:
    assert suggest("zzz", ["alpha", "beta"]) == "Allowed: alpha, beta"
