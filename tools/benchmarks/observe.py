"""Runs one graph in a process of its own and tells in JSON what it took: time, CPU, memory.

    python -m benchmarks.observe GRAPH.yaml OUT [--every N] [--set path=value ...]

CPU time is that of the run, without the start of the interpreter. Memory is the resident set each
time that the sources have released another N frames.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import NotMeasuredError, reason_of
from pipeline import launch
from pipeline.errors import PosestreamError
from pipeline.runner import run
from pipeline.stats import NodeStats

TOOLS = Path(__file__).resolve().parents[1]
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "MKL", "OMP")}
"""As the command line of posestream sets it: threads of a matrix product would only spin."""


def resident_mb() -> float:
    """Return the memory of this process that is in RAM; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Sampler:
    """Notes (frames, MB) whenever the sources have released `every` more frames."""

    def __init__(self, every: int) -> None:
        self.samples: list[tuple[int, float]] = []
        self._every = every
        self._next = every

    def __call__(self, nodes: Mapping[str, NodeStats], seconds: float) -> None:
        """Look at the numbers of all nodes; called by the runner every 50 ms."""
        frames = sum(sum(list(stats.captured.values())) for stats in nodes.values())
        if frames >= self._next:
            self.samples.append((frames, round(resident_mb(), 2)))
            self._next = (frames // self._every + 1) * self._every


def observe(graph_file: str, out: Path, every: int, sets: Sequence[str]) -> dict[str, Any]:
    """Run a graph here and return what it took, with its stats.json."""
    graph, sampler = launch.load(graph_file, sets), Sampler(every)
    started, cpu = time.monotonic(), time.process_time()
    result = run(graph, out, sampler)
    seen = {"seconds": time.monotonic() - started, "cpu_s": time.process_time() - cpu}
    stats = json.loads((out / "stats.json").read_text())
    return {**seen, "rss_mb": sampler.samples, "exit_code": result.exit_code, "stats": stats}


def observed(graph_file: Path | str, out: Path, *sets: str, every: int = 1000) -> dict[str, Any]:
    """Run a graph in a process of its own, and return what `observe` does.

    Raises:
        NotMeasuredError: the run fails.
    """
    flags = [word for setting in sets for word in ("--set", setting)]
    arguments = [str(graph_file), str(out), "--every", str(every), *flags]
    text = run_python("-m", "benchmarks.observe", *arguments, environment=ONE_THREAD)
    seen: dict[str, Any] = json.loads(text)
    if seen["exit_code"] != 0:
        raise NotMeasuredError(seen["stats"]["why"])
    return seen


def run_python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run Python with this checkout in its path, and return what it prints.

    Raises:
        NotMeasuredError: it fails; the message is the last that it says.
    """
    paths = [str(TOOLS), str(TOOLS.parent), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise NotMeasuredError(reason_of(RuntimeError(done.stderr or done.stdout)))
    return done.stdout


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph")
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    options = parser.parse_args()
    try:
        print(json.dumps(observe(options.graph, options.out, options.every, options.sets)))
    except PosestreamError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
