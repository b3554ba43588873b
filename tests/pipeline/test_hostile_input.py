"""Whoever reaches a tcp port of a run can neither end it, nor stall it, nor fill its memory."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FLOW = """
name: flow
carrier: tcp
nodes:
  count:   {type: "toys:Count", params: {count: 100000, rows: 20, live: true, interval_ms: 10}}
  relay:   {type: "toys:Relay", inputs: {number: {from: count.number, policy: lossless}}}
  collect:
    type: "toys:Collect"
    params: {ages: true}
    inputs: {number: {from: relay.number, policy: lossless}}
"""
LINKS = ["count.number>relay.number", "relay.number>collect.number"]

SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pipeline import config
from pipeline.runner import run
graph = config.load(Path(sys.argv[1]), placement="processes")
sys.exit(run(graph, Path(sys.argv[2])).exit_code)
"""

CONNECTION_MB = 0.03  # what ZeroMQ holds for an open connection
PROC = Path("/proc")
needs_proc = pytest.mark.skipif(not (PROC / "net/tcp").exists(), reason="needs /proc: Linux")


def resident_mb(pid: int) -> float:
    pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def descriptors(pid: int) -> int:
    return len(list((PROC / str(pid) / "fd").iterdir()))


class Peaks(threading.Thread):
    """Notes the most memory that some processes have had."""

    def __init__(self, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self.found = dict.fromkeys(pids, 0.0)
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.02):
            for pid, peak in self.found.items():
                self.found[pid] = max(peak, resident_mb(pid))

    def end(self) -> dict[int, float]:
        self._end.set()
        self.join()
        return self.found


def ports_of(pid: int) -> list[int]:
    """Return the tcp ports that a process listens at."""
    links = [path.readlink().name for path in (PROC / str(pid) / "fd").iterdir()]
    inodes = {link.removeprefix("socket:[")[:-1] for link in links if link.startswith("socket:")}
    rows = [line.split() for line in (PROC / "net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes]


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run of three processes with a number each 10 ms; yield its runner."""
    (tmp_path / "flow.yaml").write_text(FLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "flow.yaml"), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / "collect.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    yield process
    process.kill()
    process.wait()


def attack(ports: list[int], *, connections: int, seconds: float) -> dict[str, int]:
    """Attack ports in a process of its own; return how often in which way."""
    script = Path(__file__).with_name("hostile_peers.py")
    numbers = [str(seconds), "6", str(connections)]
    command = [sys.executable, str(script), *numbers, *LINKS, "--", *map(str, ports)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@needs_proc
@pytest.mark.parametrize(
    ("connections", "seconds"),
    [(200, 0), pytest.param(1000, 60, marks=[pytest.mark.long, pytest.mark.timeout(600)])],
)
def test_a_run_under_attack_delivers_everything_in_time_and_keeps_its_size(
    flow: subprocess.Popen[bytes], tmp_path: Path, connections: int, seconds: float
) -> None:
    nodes = children_of(flow.pid)
    before = {pid: (resident_mb(pid), descriptors(pid)) for pid in nodes}
    ports = [port for pid in nodes for port in ports_of(pid)]
    assert (len(nodes), len(ports)) == (3, 2)
    peaks = Peaks(nodes)
    peaks.start()
    done = attack(ports, connections=connections, seconds=seconds)
    time.sleep(0.5)
    after = {pid: (resident_mb(pid), descriptors(pid)) for pid in nodes}
    peak = peaks.end()
    flow.send_signal(signal.SIGINT)
    assert flow.wait(15) == 130
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["state"] == "interrupted"
    rows = [line.split() for line in (tmp_path / "out" / "collect.txt").read_text().splitlines()]
    assert [row[:4] for row in rows] == [
        ["number", "count", str(i), str(i)] for i in range(len(rows))
    ]
    slowest_ms = max(float(row[4]) for row in rows)
    sys.stdout.write(
        f"{done}\n{before}\n{peak}\n{after}\n{len(rows)} items, slowest {slowest_ms} ms\n"
    )
    assert slowest_ms < 1000
    for pid in nodes:
        assert after[pid][0] < 1.10 * before[pid][0]
        assert peak[pid] < 1.10 * before[pid][0] + CONNECTION_MB * connections
        assert after[pid][1] == before[pid][1]
