"""What the tests of the tools share: importing what lies in tools/."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = str(Path(__file__).parents[2] / "tools")
OWN = frozenset(
    {
        "benchmark",
        "benchmarks",
        "evaluate_features",
        "evaluation",
        "soak",
        "train_superpoint",
        "training",
    }
)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Return a function that imports a module of tools/, which is forgotten after the test."""
    monkeypatch.syspath_prepend(TOOLS)
    yield importlib.import_module
    for name in [n for n in sys.modules if n.partition(".")[0] in OWN]:
        del sys.modules[name]
