"""Measure what the engine costs: the graph `video` with nodes that do nothing, VGA frames.

    python tools/measure_engine.py            # saturated, then paced at 30 fps

Links, joins and ledger are real, in one process; the vision is not there, so that the CPU time that
remains is the engine's. Prints milliseconds of CPU for each frame, median of five runs.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from nodes.messages import Features, Frame, Matches, RelativePose
from nodes.vision.camera import Camera
from pipeline import config
from pipeline.node import Node, Output, Skip, Source
from pipeline.runner import run

CAMERA = Camera(640, 480, 500, 500, 320, 240)
# All messages share these arrays, so that making them costs nothing.
IMAGE = np.zeros((480, 640, 3), np.uint8)
ONES, POINTS = np.ones(1000, np.float32), np.ones((1000, 2), np.float32)
DESCRIPTORS = np.ones((1000, 128), np.float32)
IDS = np.arange(1000)
PAIRS = np.stack([IDS, IDS], 1).astype(np.int32)
INLIERS, T = np.ones(1000, bool), np.eye(4)
GRAPH = """
name: engine
nodes:
  capture:    {type: "measure_engine:Capture"}
  detector:   {type: "measure_engine:Detector", inputs: {frame: capture.frame}, workers: 2}
  matcher:    {type: "measure_engine:Matcher", inputs: {features: detector.features}}
  pose:       {type: "measure_engine:Pose", inputs: {matches: matcher.matches}}
  recorder:
    {type: "measure_engine:Sink", join: none, inputs: {pose: pose.pose, matches: matcher.matches}}
  visualiser:
    type: "measure_engine:Sink"
    inputs: {frame: capture.frame, matches: matcher.matches, pose: pose.pose}
"""


class Capture(Source):
    """Yields one and the same picture."""

    @dataclass(frozen=True)
    class Params:
        frames: Annotated[int, "how many frames"] = 300

    outputs = {"frame": Output(Frame)}

    def produce(self) -> Iterator[Frame]:
        for seq in range(self.params.frames):
            yield Frame(stream="capture", seq=seq, stamp_ns=seq, image=IMAGE, camera=CAMERA)


class Detector(Node):
    """Yields the same 1,000 keypoints for every frame."""

    outputs = {"features": Output(Features)}
    stateless = True

    def process(self, frame: Frame) -> Iterator[Features]:
        yield Features(
            stream=frame.stream, seq=frame.seq, stamp_ns=0, keypoints=POINTS, scores=ONES,
            sizes=ONES, angles=ONES, descriptors=DESCRIPTORS, camera=CAMERA,
        )  # fmt: skip


class Matcher(Node):
    """Matches each keypoint with itself."""

    outputs = {"matches": Output(Matches)}

    def process(self, features: Features) -> Iterator[Matches | Skip]:
        if features.seq == 0:
            yield Skip("first_frame")
            return
        yield Matches(
            stream=features.stream, seq=features.seq, stamp_ns=0, seq_prev=0, stamp_ns_prev=0,
            keypoints_prev=features.keypoints, keypoints_cur=features.keypoints, ids_prev=IDS,
            ids_cur=IDS, matches=PAIRS,
            match_scores=features.scores, camera=CAMERA,
        )  # fmt: skip


class Pose(Node):
    """Says that nothing moved."""

    outputs = {"pose": Output(RelativePose)}

    def process(self, matches: Matches) -> Iterator[RelativePose]:
        yield RelativePose(
            stream=matches.stream, seq=matches.seq, stamp_ns=0, seq_prev=0, stamp_ns_prev=0,
            num_matches=1000, num_inliers=1000, T_cur_prev=T, inliers=INLIERS,
        )  # fmt: skip


class Sink(Node):
    """Takes everything."""

    def process(
        self,
        frame: Frame | None = None,
        matches: Matches | None = None,
        pose: RelativePose | None = None,
    ) -> None:
        return None


def cpu_ms_per_frame(frames: int, pace: str) -> float:
    """Return the CPU time of each frame; a difference leaves the start-up out."""
    return (
        1e3 * (cpu_seconds(frames, pace) - cpu_seconds(frames // 3, pace)) / (frames - frames // 3)
    )


def cpu_seconds(frames: int, pace: str) -> float:
    """Run the graph once and return the CPU time of this process."""
    sets = [f"capture.params.frames={frames}", f"capture.pace={pace}"]
    graph = config.load_text(GRAPH, "engine.yaml", sets)
    with tempfile.TemporaryDirectory() as out:
        started = time.process_time()
        report = run(graph, Path(out)).report
        seconds = time.process_time() - started
    dropped = sum(balance.account.gaps for balance in report.balances)
    assert report.state == "complete" and not dropped, (report.state, dropped)
    return seconds


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    for name, frames, pace in (("saturated", 2000, "fastest"), ("paced at 30 fps", 210, "30")):
        values = [cpu_ms_per_frame(frames, pace) for _ in range(repeats)]
        print(
            f"engine, {name}: {statistics.median(values):.2f} ms CPU per VGA frame "
            f"(min {min(values):.2f}, max {max(values):.2f}, {repeats} runs of {frames} frames)"
        )


if __name__ == "__main__":
    main()
