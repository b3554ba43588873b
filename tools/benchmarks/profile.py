"""Suite profile: where the CPU time of a frame goes, node by node, on two recordings."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Contestant, Race, Values, race
from benchmarks.observe import observed
from benchmarks.pipeline import Input
from benchmarks.record import Findings
from benchmarks.settings import RECORDING, Settings
from pipeline import launch

NODES = ("capture", "detector", "tracker", "matcher", "calibrator", "pose", "odometry")
PROFILED = ("kitti00", RECORDING)
GRAPHS = ("pairs", "klt_pairs", "video", "klt")


def run(settings: Settings) -> Findings:
    """Run each graph on each recording in turns."""
    found = race(_profiles(settings), min(settings.repeats, 3), warm_up=False)
    note = (
        "CPU time of a frame in each node's code; `rest` is what the run took beside: engine, "
        "opening and closing."
    )
    return Findings(found.rows(_columns(found)), [note])


def _columns(profile: Race) -> dict[str, str]:
    """Return the columns of the profile: the whole, the nodes along the graph, the rest."""
    seen = [column for runs in profile.runs.values() for run in runs for column in run]
    order = ["total", *NODES, *(c for c in seen if c != "rest"), "rest"]
    return {column: "ms CPU" for column in order if column in seen}


def _profiles(settings: Settings) -> Iterator[Contestant]:
    for recording in PROFILED:
        for graph in ("pairs", "klt_pairs", "video", "klt"):

            def prepare(name: str = recording, graph: str = graph) -> Any:
                folder = settings.recording(name)
                return lambda: _profile(Input(folder, 30 if settings.quick else None), graph)

            yield Contestant(f"{graph}, {recording}", prepare)


def _profile(taken: Input, graph: str) -> Values:
    """Return the CPU time of a frame by node, and what the run took beside."""
    found = launch.recognise(str(taken.folder), None)
    sets = [f"capture.{override}" for override in found.overrides] + taken.sets(1)
    with tempfile.TemporaryDirectory() as folder:
        seen = observed(graph, Path(folder) / "run", *sets)
    (stream,) = seen["stats"]["streams"].values()
    per_frame = 1e3 / stream["frames_captured"]
    nodes = {name: seconds * per_frame for name, seconds in seen["stats"]["cpu_s"].items()}
    total = seen["cpu_s"] * per_frame
    return {"total": total, **nodes, "rest": total - sum(nodes.values())}
