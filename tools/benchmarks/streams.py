"""Suite streams: how many cameras of 30 frames a second one detector and one matcher sustain."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.eager_superpoint import THRESHOLD, save_random_weights
from benchmarks.graph_nodes import FPS
from benchmarks.measure import Contestant, NotMeasuredError, Values, race
from benchmarks.observe import observed
from benchmarks.record import Findings
from benchmarks.settings import RECORDING, VGA, Settings, Size

CLIP = 60
KEYPOINTS = 1024
HD: Size = (1280, 720)
WAIT_MS = 5
BEYOND = 0.5  # share of dropped frames above which more streams are not tried
UNITS = {
    "sustained": "1 is yes", "dropped": "frames", "results": "fps, all streams",
    "slowest": "fps", "fastest": "fps", "p50": "ms, worst stream", "p99": "ms, worst stream",
    "load": "cores",
}  # fmt: skip

Nodes = dict[str, dict[str, Any]]
"""The parameters of detector and matcher."""
CPU_NODES: dict[str, Nodes] = {
    "ORB": {"detector": {"algorithm": "orb"}, "matcher": {}},
    "SIFT at half resolution": {
        "detector": {"algorithm": "sift", "options": {"half_resolution": True}},
        "matcher": {},
    },
}


@dataclass(frozen=True)
class Plan:
    """Numbers of streams to try, and frames of each stream: not counted, and counted."""

    streams: tuple[int, ...]
    warm_up: int
    counted: int


FULL = Plan((1, 2, 4, 8, 16, 32), 5 * FPS, 10 * FPS)
QUICK = Plan((1, 2), FPS // 2, FPS)


def run(settings: Settings) -> Findings:
    """Add streams until most frames are dropped."""
    is_cuda = settings.device == "cuda"
    size = HD if is_cuda else VGA
    with tempfile.TemporaryDirectory() as folder:
        detectors = superpoint(Path(folder), "cuda") if is_cuda else CPU_NODES
        contestants = [
            c for name in detectors for c in _rows(settings, name, detectors[name], size)
        ]
        found = race(contestants, 1 if settings.quick else min(settings.repeats, 3), warm_up=False)
    plan = QUICK if settings.quick else FULL
    note = (
        f"Grey {settings.pictures} at {size[0]}x{size[1]}, decoded before, {FPS} a second from "
        f"every stream; {plan.counted} of each are counted after {plan.warm_up} that are not. One "
        f"detector gathers a batch over all streams for at most {WAIT_MS} ms; one matcher. "
        "Sustained is what drops nothing. The latency is from the frame to its matches."
    )
    return Findings(found.rows(UNITS), [note])


def superpoint(folder: Path, device: str) -> dict[str, Nodes]:
    """Return the parameters of detector and matcher for SuperPoint with random weights."""
    weights = str(save_random_weights(folder))
    options = {"weights": weights, "max_keypoints": KEYPOINTS, "threshold": THRESHOLD}
    detector = {"algorithm": "superpoint", "options": {**options, "device": device}}
    matcher = {"algorithm": "mutual_nearest", "options": {"device": device}}
    return {"SuperPoint": {"detector": detector, "matcher": matcher}}


def _rows(settings: Settings, name: str, nodes: Nodes, size: Size) -> Iterator[Contestant]:
    plan = QUICK if settings.quick else FULL
    hopeless: list[int] = []  # numbers of streams that were far too many

    def measure(count: int) -> Values:
        if hopeless and count > min(hopeless):
            raise NotMeasuredError(f"{min(hopeless)} already lose more than half of their frames")
        values = run_graph(graph_text(settings, nodes, count, size, plan), plan)
        if values["dropped"] > BEYOND * plan.counted * count:
            hopeless.append(count)
        return values

    for count in plan.streams:
        label = f"{name}, {count} stream{'s' if count > 1 else ''}"
        yield Contestant(label, lambda c=count: lambda: measure(c))


def graph_text(settings: Settings, nodes: Nodes, count: int, size: Size, plan: Plan) -> str:
    """Return the graph: `count` paced sources into one detector, one matcher, one sink."""
    params = {
        "folder": str(settings.data / RECORDING), "frames": plan.warm_up + plan.counted,
        "clip": min(CLIP, plan.warm_up + plan.counted), "width": size[0], "height": size[1],
    }  # fmt: skip
    names = [f"camera{index:02d}" for index in range(count)]
    batch = {"size": count, "wait_ms": WAIT_MS}
    graph: dict[str, Any] = {
        name: {"type": "benchmarks.graph_nodes:CameraLoop", "params": dict(params)}
        for name in names
    }
    graph["detector"] = {
        "type": "detector", "inputs": {"frame": [f"{name}.frame" for name in names]},
        "batch": batch, "params": nodes["detector"],
    }  # fmt: skip
    graph["matcher"] = {
        "type": "matcher", "inputs": {"features": "detector.features"}, "batch": dict(batch),
        "params": nodes["matcher"],
    }  # fmt: skip
    graph["sink"] = {
        "type": "benchmarks.graph_nodes:Count", "inputs": {"matches": "matcher.matches"},
        "params": {"warm_up": plan.warm_up},
    }  # fmt: skip
    return yaml.safe_dump({"name": "streams", "nodes": graph}, sort_keys=False)


def run_graph(text: str, plan: Plan) -> Values:
    """Run a graph of `graph_text` and return its figures."""
    with tempfile.TemporaryDirectory() as scratch:
        graph, out = Path(scratch) / "streams.yaml", Path(scratch) / "run"
        graph.write_text(text)
        seen = observed(graph, out)
        ages_ms = json.loads((out / "ages.json").read_text())
    return {**summary(ages_ms, plan.counted), "load": seen["cpu_s"] / seen["seconds"]}


def summary(ages_ms: dict[str, list[float]], counted: int) -> Values:
    """Return drops, rates and latencies from the ages of each stream's results, of the worst."""
    dropped = sum(counted - len(ages) for ages in ages_ms.values())
    rates = [FPS * len(ages) / counted for ages in ages_ms.values()]
    values = {
        "sustained": float(dropped == 0),
        "dropped": float(dropped),
        "results": sum(rates),
        "slowest": min(rates),
        "fastest": max(rates),
    }
    known = [ages for ages in ages_ms.values() if ages]
    percentiles = {f"p{p}": [float(np.percentile(a, p)) for a in known] for p in (50, 99)}
    return values | {name: max(found) for name, found in percentiles.items() if found}
