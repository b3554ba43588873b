"""Suite memory: the graph `klt` over tens of thousands of frames of a recording, to and fro."""

import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.measure import Contestant, NotMeasuredError, Values, race
from benchmarks.observe import observed
from benchmarks.record import Findings
from benchmarks.settings import RECORDING, Settings

FRAMES, QUICK_FRAMES = 50_000, 400
EVERY, QUICK_EVERY = 1000, 40
WARM_UP = 0.1  # share of the run in which the memory may still grow
SIZE = (320, 240)
UNITS = {
    "frames": "", "slope": "MB for 10,000 frames", "first third": "MB", "last third": "MB",
    "rate": "fps",
}  # fmt: skip


def run(settings: Settings) -> Findings:
    """Measure the growth of the memory once: the run is long."""
    frames = settings.frames or (QUICK_FRAMES if settings.quick else FRAMES)
    every = QUICK_EVERY if settings.quick else EVERY
    folder = settings.recording(RECORDING)
    contestant = Contestant("posestream klt", lambda: lambda: _run(folder, frames, every))
    found = race([contestant], 1, warm_up=False)
    note = (
        f"{RECORDING} at {SIZE[0]}x{SIZE[1]} grey, decoded once and played to and fro; graph `klt` "
        f"with odometry and recorder, without viewer. Resident memory every {every:,} frames; the "
        f"slope is by least squares after the first {WARM_UP:.0%}, the thirds are medians."
    )
    return Findings(found.rows(UNITS), [note])


def graph_text(config: str, source: dict[str, Any]) -> str:
    """Return a built-in graph with another source, and without a viewer."""
    graph = yaml.safe_load((resources.files("configs") / f"{config}.yaml").read_text())
    graph["nodes"]["capture"] = source
    graph["nodes"].pop("visualiser", None)
    return yaml.safe_dump(graph, sort_keys=False)


def _run(folder: Path, frames: int, every: int) -> Values:
    params = {
        "folder": str(folder), "frames": frames, "clip": 400, "width": SIZE[0], "height": SIZE[1],
    }  # fmt: skip
    source = {"type": "benchmarks.graph_nodes:Loop", "params": params}
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "memory.yaml"
        graph.write_text(graph_text("klt", source))
        seen = observed(graph, Path(scratch) / "run", every=every)
    return {"frames": frames, **growth(seen["rss_mb"], frames), "rate": seen["stats"]["fps"]}


def growth(samples: list[tuple[int, float]], frames: int) -> Values:
    """Return slope and medians of the memory from (frames, MB), after the warm-up."""
    counted = np.array([(f, mb) for f, mb in samples if f >= WARM_UP * frames and mb > 0])
    if len(counted) < 3:
        raise NotMeasuredError(f"{len(counted)} samples of the memory are too few")
    slope = np.polyfit(counted[:, 0], counted[:, 1], 1)[0]
    third = max(1, len(counted) // 3)
    return {
        "slope": float(slope * 10_000),
        "first third": float(np.median(counted[:third, 1])),
        "last third": float(np.median(counted[-third:, 1])),
    }
