"""What several tests share: where the real sequences are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def shared_data() -> Path:
    """Return the folder of the shared sequences, which need not exist."""
    return Path(os.environ.get("POSESTREAM_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def data_dir() -> Callable[[str], Path]:
    """Return a function that finds a shared sequence by name, or skips the test."""

    def find(name: str) -> Path:
        path = shared_data() / name
        if not path.is_dir():
            pytest.skip(f"needs the sequence {name} in {shared_data()}; set POSESTREAM_DATA")
        return path

    return find
