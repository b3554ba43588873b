"""What tests of several machines share: a free port, and the keys of two machines."""

import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.keys import make_keys


def free_port() -> int:
    """Return a port which, with the one after it, nobody uses."""
    while True:
        with closing(socket.socket()) as first, closing(socket.socket()) as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return int(port)


@pytest.fixture
def hosts() -> str:
    """Return the end of a graph of which `count` and `relay` run elsewhere."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    return f'place: {{count: gpu, relay: gpu}}\nhosts: {{gpu: "{endpoint}"}}\n'


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, str]:
    """Return the folders of keys of main and of gpu, each without the other's secret."""
    for name in ("main", "gpu"):
        make_keys(tmp_path / "of_main", name)
    shutil.copytree(tmp_path / "of_main", tmp_path / "of_gpu")
    (tmp_path / "of_main" / "gpu.secret").unlink()
    (tmp_path / "of_gpu" / "main.secret").unlink()
    return str(tmp_path / "of_main"), str(tmp_path / "of_gpu")
