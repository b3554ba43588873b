"""Suite live: a recording that comes at 30 frames a second, through the whole graph `klt`."""

import tempfile
from pathlib import Path

from benchmarks.measure import Contestant, Values, race
from benchmarks.observe import observed
from benchmarks.record import Findings
from benchmarks.settings import RECORDING, Settings
from pipeline import launch

GRAPH = "klt"
FPS = 30
LAPS = 23  # of 400 frames: five minutes and a bit
QUICK_FRAMES, QUICK_LAPS = 300, 2
UNITS = {
    "frames": "", "dropped": "frames", "p50": "ms, capture to pose", "p95": "ms", "p99": "ms",
    "CPU": "ms a frame", "load": "cores",
}  # fmt: skip


def run(settings: Settings) -> Findings:
    """Measure drops and latency once: a run of minutes is many repeats by itself."""
    folder = settings.recording(RECORDING)
    contestant = Contestant(f"posestream {GRAPH}", lambda: lambda: _run(folder, settings))
    found = race([contestant], 1, warm_up=False)
    note = (
        f"{RECORDING}, looped, {FPS} frames a second; decoding included. The whole graph "
        "with odometry and recorder. The latency is that of the recorder's poses, from the release "
        "of the frame. Frames dropped are those that no pose answers."
    )
    return Findings(found.rows(UNITS), [note])


def _run(folder: Path, settings: Settings) -> Values:
    recognised = launch.recognise(str(folder), None)
    sets = [f"capture.{override}" for override in recognised.overrides]
    laps = QUICK_LAPS if settings.quick else LAPS
    sets += [f"capture.pace={FPS}", f"capture.params.loop={laps}"]
    sets += [f"capture.params.stop={QUICK_FRAMES}"] if settings.quick else []
    with tempfile.TemporaryDirectory() as out:
        seen = observed(GRAPH, Path(out) / "run", *sets)
    (poses,) = (sink for sink in seen["stats"]["sinks"] if sink["sink"] == "recorder.pose")
    frames = poses["frames_captured"]
    return {
        "frames": frames,
        "dropped": poses["gaps"],
        **{name: poses["latency_ms"][name] for name in ("p50", "p95", "p99")},
        "CPU": 1e3 * seen["cpu_s"] / frames,
        "load": seen["cpu_s"] / seen["seconds"],
    }
