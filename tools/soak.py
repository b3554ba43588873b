"""Runs four live streams for an hour with a fault a minute, and says what became of it.

    python tools/soak.py --minutes 60

Two streams are paced recordings of the synthetic scene, two come by MJPEG over HTTP from a server
in this process. Faults, in turn: the detector's process is killed, the server vanishes for some
seconds, the detector's process is stopped for some seconds, the server goes on without a picture.
At the end the run is interrupted, as a user would, and its ledger read. Memory and descriptors are
those of the runner's process, sampled every 5 s; the slope is fitted after a tenth of the time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np

from nodes.sources.base import Selection
from nodes.sources.synthetic import Synthetic

SIZE = (160, 120)
RATE_HZ = 30.0
LAP = 60
AWAY_S = 6.0
GRAPH = """
name: soak
restart: true
place: {{detector: heavy}}
nodes:
  a: {{type: capture, pace: 30, params: {recording}}}
  b: {{type: capture, pace: 30, params: {recording}}}
  c: {{type: capture, params: {camera}}}
  d: {{type: capture, params: {camera}}}
  detector:
    type: detector
    inputs: {{frame: [a.frame, b.frame, c.frame, d.frame]}}
    params: {{algorithm: orb, options: {{nfeatures: 150}}}}
  matcher: {{type: matcher, inputs: {{features: detector.features}}}}
  pose: {{type: pose, inputs: {{matches: matcher.matches}}, params: {{algorithm: magsac}}}}
  recorder:
    type: recorder
    join: none
    inputs: {{pose: pose.pose}}
    params: {{writers: [poses]}}
  view:
    type: visualiser
    join: latest
    inputs:
      frame: [a.frame, b.frame, c.frame, d.frame]
      matches: matcher.matches
      pose: pose.pose
    params: {{viewer: "null"}}
"""


def render_lap() -> list[np.ndarray]:
    """Return pictures of the synthetic scene, there and back, so that the camera never jumps."""
    options = Synthetic.Options(frames=LAP // 2 + 1, width=SIZE[0], height=SIZE[1], speed=0.5)
    source = Synthetic(options)
    source.open(lambda text: None)
    there = [p.image for p in source.frames(Selection()) if p.image is not None]
    return [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in [*there, *there[-2:0:-1]]]


class Camera:
    """A network camera of ours that can be made to vanish and to fall silent."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.is_away = threading.Event()
        self.is_silent = threading.Event()
        jpegs = [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.is_away.is_set():
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera.stream(self.wfile.write, jpegs)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stream(self, write: Callable[[bytes], object], jpegs: list[bytes]) -> None:
        """Send pictures at the rate until somebody has enough."""
        start = time.monotonic()
        for number, jpeg in enumerate(itertools.cycle(jpegs)):
            time.sleep(max(0.0, start + number / RATE_HZ - time.monotonic()))
            while self.is_silent.is_set():
                time.sleep(0.1)
            if self.is_away.is_set():
                return
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            try:
                write(head.encode() + jpeg + b"\r\n")
            except OSError:
                return


@dataclass
class Watch:
    """Samples of the runner's process."""

    pid: int
    times_s: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def sample(self, now_s: float) -> None:
        """Read memory and descriptors once."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        self.times_s.append(now_s)
        self.resident_mb.append(
            int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1024
        )
        self.descriptors.append(len(list(Path(f"/proc/{self.pid}/fd").iterdir())))

    def figures(self) -> dict[str, float]:
        """Return the slope of the memory and the range of the descriptors after the warm-up."""
        start = max(1, len(self.times_s) // 10)
        hours = np.array(self.times_s[start:]) / 3600
        slope = float(np.polyfit(hours, self.resident_mb[start:], 1)[0])
        half = len(self.descriptors) // 2
        return {
            "memory_mb_first": round(float(np.median(self.resident_mb[start : start + 12])), 1),
            "memory_mb_last": round(float(np.median(self.resident_mb[-12:])), 1),
            "memory_slope_mb_per_h": round(slope, 2),
            "descriptors_median_first_half": float(np.median(self.descriptors[start:half])),
            "descriptors_median_second_half": float(np.median(self.descriptors[half:])),
            "descriptors_max": float(max(self.descriptors[start:])),
        }


def children_of(pid: int) -> list[int]:
    """Return the process groups of a runner."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def faults(pid: int, camera: Camera) -> Iterator[str]:
    """Cause one fault after the other, without end."""

    def signal_child(number: signal.Signals) -> None:
        for child in children_of(pid)[:1]:
            os.kill(child, number)

    def for_a_while(event: threading.Event) -> None:
        event.set()
        time.sleep(AWAY_S)
        event.clear()

    while True:
        signal_child(signal.SIGKILL)
        yield "detector killed"
        for_a_while(camera.is_away)
        yield "camera away"
        signal_child(signal.SIGSTOP)
        time.sleep(AWAY_S / 2)
        signal_child(signal.SIGCONT)
        yield "detector stopped"
        for_a_while(camera.is_silent)
        yield "camera silent"


def soak(minutes: float, every_s: float, out: Path) -> dict[str, object]:
    """Run, disturb, interrupt, and return the figures."""
    pictures = render_lap()
    lap = out / "lap"
    lap.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(lap / f"{number:04d}.png"), picture)
    camera = Camera(pictures)
    graph = out / "soak.yaml"
    recording = {"source": "folder", "loop": 0, "grey": True, "options": {"path": str(lap)}}
    address = {"source": "url", "grey": True, "options": {"url": camera.url, "timeout_s": 2}}
    graph.write_text(GRAPH.format(recording=json.dumps(recording), camera=json.dumps(address)))
    command = [sys.executable, "-m", "pipeline", "run", str(graph), "--out", str(out / "run")]
    log = (out / "log.txt").open("w")
    counts: dict[str, int] = {}
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        watch, started = Watch(process.pid), time.monotonic()
        causes, next_fault = faults(process.pid, camera), every_s
        while (now := time.monotonic() - started) < minutes * 60 and process.poll() is None:
            if now >= next_fault:
                fault = next(causes)
                counts[fault] = counts.get(fault, 0) + 1
                next_fault += every_s
            watch.sample(now)
            time.sleep(5)
        ended_by_itself = process.poll() is not None
        process.terminate()  # a job in the background may not hear SIGINT
        code = process.wait(60)
    stats = json.loads((out / "run" / "stats.json").read_text())
    return {
        "minutes": minutes,
        "exit_code": code,
        "ended_by_itself": ended_by_itself,
        "faults": counts,
        "restarts": stats["restarts"],
        **watch.figures(),
        "unbalanced": [s for s in stats["sinks"] if _settled(s) != s["frames_captured"]],
        "streams": {name: _summary(s) for name, s in stats["streams"].items()},
    }


def _settled(sink: dict[str, int]) -> int:
    return sink["results"] + sink["skips"] + sink["errors"] + sink["gaps"]


def _summary(stream: dict[str, object]) -> dict[str, object]:
    return {key: stream[key] for key in ("frames_captured", "results", "skips", "gaps")}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every-s", type=float, default=60.0, help="time between two faults")
    parser.add_argument("--out", type=Path, help="folder for pictures, graph, log and run")
    arguments = parser.parse_args()
    out = arguments.out or Path(tempfile.mkdtemp(prefix="soak-"))
    print(json.dumps(soak(arguments.minutes, arguments.every_s, out), indent=2))


if __name__ == "__main__":
    main()
