"""Suite links: 1080p frames from one process to another, every byte written and read."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import link_peers
from benchmarks.ceilings import memcpy_gbs
from benchmarks.link_work import (
    NUM_BYTES,
    RING,
    SHAPE,
    Image,
    Schedule,
    frames,
    read,
    values,
)
from benchmarks.measure import Contestant, NotMeasuredError, Values, race, timed
from benchmarks.record import Findings
from benchmarks.settings import Settings
from pipeline import config
from pipeline.runner import run as run_graph

QUICK = Schedule(paced=5, saturated=30)
MEMCPY = "memcpy"
SLOTS = 8  # frames that a copy goes to, about as many as a link has under way
UNITS = {
    "rate": "GB/s", "share": "of memcpy", "CPU": "ms a frame, both ends",
    "CPU beside imagezmq": "times less", "latency": "ms, p50 at 30 fps",
}  # fmt: skip
GRAPH = """
name: links
carrier: {carrier}
nodes:
  source: {{type: "benchmarks.graph_nodes:Fill", params: {params}}}
  sink: {{type: "benchmarks.graph_nodes:Read", inputs: {{frame: source.frame}}, params: {params}}}
place: {place}
"""


def run(settings: Settings) -> Findings:
    """Measure all carriers and their peers."""
    schedule = QUICK if settings.quick else Schedule()
    found = race(contestants(schedule), settings.repeats, warm_up=not settings.quick)
    found.add_ratio("share", "rate", MEMCPY)
    found.add_ratio("CPU beside imagezmq", "CPU", "imagezmq, tcp", less_is_better=True)
    note = (
        f"{SHAPE[1]}x{SHAPE[0]} RGB; {schedule.saturated} frames as fast as they go, after "
        f"{schedule.paced} at 30 fps for the latency, from the frame's completion to its last "
        "byte read. Source and sink are one process in `threads`, two in the others. No link is "
        "faster than the slower of writing and reading, which stand in the table by themselves. "
        "`written in place`: the source asks the engine for the memory of each frame, as capture "
        "does; the others write into a ring of frames, from which a link has to copy. "
        f"memcpy goes from a ring of {RING} frames to one of {SLOTS}, as the links do."
    )
    return Findings(found.rows(UNITS), [note])


def contestants(schedule: Schedule) -> Iterator[Contestant]:
    """Yield the ceilings, the carriers of posestream, and the peers."""

    def row(name: str, measure: Callable[[], Values]) -> Contestant:
        return Contestant(name, lambda: measure)

    ring, slots = frames(RING), frames(SLOTS)
    for frame in ring:
        frame.fill(0)
    yield row(MEMCPY, lambda: {"rate": memcpy_gbs(ring, slots, 4 * RING)})
    yield row("memcpy in the cache", lambda: {"rate": memcpy_gbs(ring[:1], slots[:1], 4 * RING)})
    yield row("writing alone", lambda: _alone(slots, lambda image: image.fill(7)))
    yield row("reading alone", lambda: _alone(ring, lambda image: read(image, 0)))
    yield row("posestream, threads", lambda: _posestream(schedule, None))
    for carrier in ("shm", "ipc", "tcp"):
        yield row(f"posestream, {carrier}", lambda c=carrier: _posestream(schedule, c))
    in_place = "posestream, shm, written in place"
    yield row(in_place, lambda: _posestream(schedule, "shm", in_place=True))
    for carrier in ("tcp", "ipc"):
        yield row(f"imagezmq, {carrier}", lambda c=carrier: link_peers.imagezmq_values(schedule, c))
    yield row("multiprocessing.Queue", lambda: link_peers.queue_values(schedule))


def _alone(images: list[Image], work: Callable[[Image], object]) -> Values:
    values = timed(lambda: [work(image) for image in images], len(images))
    return {"rate": NUM_BYTES / values["ms"] / 1e6, "CPU": values["ms CPU"]}


def _posestream(schedule: Schedule, carrier: str | None, *, in_place: bool = False) -> Values:
    """Run the graph of two nodes, in one process or in two."""
    params = (
        f"{{paced: {schedule.paced}, saturated: {schedule.saturated}, "
        f"in_place: {str(in_place).lower()}}}"
    )
    place = "{sink: other}" if carrier else "{}"
    text = GRAPH.format(carrier=carrier or "ipc", params=params, place=place)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        result = run_graph(config.load_text(text, "links.yaml"), out)
        if result.exit_code != 0:
            raise NotMeasuredError(result.report.why)
        source, sink = (json.loads((out / f"{end}.json").read_text()) for end in ("source", "sink"))
    return values(source, sink, schedule)
