"""A recording gives the same bytes however it is run: placement, workers, batches, delays, repeats."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import config
from pipeline.runner import run

GRAPH = """
name: replay
nodes:
  capture:  {type: capture}
  detector: {type: detector, inputs: {frame: capture.frame}, params: {options: {nfeatures: 500}}}
  delay:    {type: "delays:Delay", inputs: {features: detector.features}}
  matcher:  {type: matcher, inputs: {features: delay.features}}
  pose:     {type: pose, inputs: {matches: matcher.matches}}
  mosaic:   {type: mosaic, inputs: {frame: capture.frame, pose: pose.pose}}
  odometry: {type: odometry, inputs: {matches: matcher.matches, features: detector.features}}
  recorder:
    type: recorder
    join: none
    inputs:
      {pose: pose.pose, trajectory: odometry.trajectory, keyframe: odometry.keyframe, matches: matcher.matches, mosaic: mosaic.mosaic}
"""
FLOW_GRAPH = """
name: flow
nodes:
  capture:    {type: capture}
  tracker:    {type: tracker, inputs: {frame: capture.frame}}
  calibrator: {type: calibrator, inputs: {matches: tracker.matches}}
  pose:       {type: pose, inputs: {matches: calibrator.matches}}
  odometry:   {type: odometry, inputs: {matches: calibrator.matches}}
  recorder:
    type: recorder
    join: none
    inputs:
      {pose: pose.pose, trajectory: odometry.trajectory, keyframe: odometry.keyframe, matches: tracker.matches}
"""

WAYS = {
    "plain": [],
    "again": [],
    "two workers": ["detector.workers=2", "pose.workers=2", "delay.workers=3"],
    "batches of 2": ["detector.batch.size=2"],
    "batches of 5": ["detector.batch.size=5", "detector.workers=2"],
    "batches of 16": ["detector.batch.size=16", "pose.batch.size=3"],
    "processes": ["place={detector: one, pose: two, recorder: three}"],
    "processes over ipc": ["carrier=ipc", "place={detector: one, pose: two, recorder: three}"],
    "processes over tcp": ["carrier=tcp", "place={capture: one, matcher: two}", "pose.workers=2"],
}  # fmt: skip
FLOW_WAYS = {
    "plain": [],
    "again": [],
    "two workers": ["pose.workers=2"],
    "processes": ["place={tracker: one, odometry: two, recorder: three}"],
    "processes over ipc": ["carrier=ipc", "place={tracker: one, odometry: two, recorder: three}"],
    "processes over tcp": ["carrier=tcp", "place={tracker: one, odometry: two, recorder: three}"],
}


def hashes(out: Path, sets: list[str], graph: str = GRAPH) -> dict[str, str]:
    """Run, and return the SHA-256 of the outputs."""
    report = run(config.load_text(graph, "replay.yaml", sets), out).report
    assert report.state == "complete"
    recorded = json.loads((out / "stats.json").read_text())["hashes"]
    names = ["poses.jsonl", "trajectory.tum", "keyframes.jsonl", "matches.npz"]
    names += ["panorama.png"] if graph == GRAPH else []
    for name in names:
        assert recorded[name] == hashlib.sha256((out / name).read_bytes()).hexdigest()
    assert len((out / "poses.jsonl").read_text().splitlines()) > 5
    return {name: recorded[name] for name in names}


def test_a_synthetic_recording_gives_the_same_bytes_in_every_way(tmp_path: Path) -> None:
    common = ["capture.params.options={motion: general, frames: 12, width: 320, height: 240}"]
    found = {way: hashes(tmp_path / way, [*common, *sets]) for way, sets in WAYS.items()}
    assert all(found[way] == found["plain"] for way in WAYS), found


def test_optical_flow_gives_the_same_bytes_in_every_way(tmp_path: Path) -> None:
    common = ["capture.params.options={motion: general, frames: 12, width: 320, height: 240}"]
    found = {
        way: hashes(tmp_path / way, [*common, *sets], FLOW_GRAPH) for way, sets in FLOW_WAYS.items()
    }
    assert all(found[way] == found["plain"] for way in FLOW_WAYS), found


def test_another_seed_gives_other_poses(tmp_path: Path) -> None:
    common = ["capture.params.options={motion: general, frames: 12, width: 320, height: 240}"]
    first = hashes(tmp_path / "0", common)
    second = hashes(tmp_path / "1", [*common, "seed=1"])
    assert first["matches.npz"] == second["matches.npz"]
    assert first["poses.jsonl"] != second["poses.jsonl"]


@pytest.mark.long
@pytest.mark.data
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", ["kitti01", "redkitchen"])
def test_a_real_recording_gives_the_same_bytes_in_every_way_and_ten_times(
    tmp_path: Path, data_dir: Callable[[str], Path], name: str
) -> None:
    source = json.dumps({"path": str(data_dir(name))})
    common = [
        "capture.params.source=dataset",
        f"capture.params.options={source}",
        "capture.params.stop=50",
    ]
    ways = {**WAYS, **{f"repeat {index}": [] for index in range(10)}}
    found = {way: hashes(tmp_path / way, [*common, *sets]) for way, sets in ways.items()}
    assert all(found[way] == found["plain"] for way in ways), found
    flow = [
        hashes(tmp_path / f"flow {way}", [*common, *sets], FLOW_GRAPH)
        for way, sets in FLOW_WAYS.items()
    ]
    assert all(hashed == flow[0] for hashed in flow), flow
