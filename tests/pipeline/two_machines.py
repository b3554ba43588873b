"""A second machine for tests, which is a thread of this one, reached over loopback."""

import threading
import time
from pathlib import Path

from pipeline import config
from pipeline.errors import PosestreamError
from pipeline.graph import Graph
from pipeline.remote import serve
from pipeline.runner import RunResult


class Server:
    """Serves a group in a thread, and holds what came of it."""

    def __init__(self, graph: Graph, out: Path) -> None:
        self.said: list[str] = []
        self.code: int | None = None
        self.error: PosestreamError | None = None
        self._thread = threading.Thread(target=self._serve, args=(graph, out), daemon=True)
        self._thread.start()

    def _serve(self, graph: Graph, out: Path) -> None:
        try:
            self.code = serve(graph, "gpu", out, self.said.append)
        except PosestreamError as error:
            self.error, self.code = error, error.exit_code

    def wait(self) -> int | None:
        self._thread.join(10)
        return self.code

    def wait_until_said(self, text: str) -> None:
        deadline = time.monotonic() + 5
        while not any(text in line for line in self.said):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.01)


def load(text: str, *sets: str) -> Graph:
    return config.load_text(text, "chain.yaml", sets)


def failure_of(result: RunResult) -> str:
    assert result.failure is not None
    return result.failure.text


def endpoint_of(hosts: str) -> str:
    return hosts.split('"')[1]
