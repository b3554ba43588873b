"""Deaths of the detector's process over a recording: what the run leaves is the same to the byte."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline import launch
from pipeline.runner import run
from pipeline.stats import NodeStats

DEATHS = 200
EARLY = 0.2  # share of the deaths that come before the process has done anything


class Killer:
    """Kills the detector's process at random moments, while it starts and while it works."""

    def __init__(self, rng: random.Random, most: int) -> None:
        self.deaths = 0
        self._rng, self._most = rng, most
        self._done, self._done_then = 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)

    def watch(self, nodes: Mapping[str, NodeStats], seconds: float) -> None:
        """Take note of how far the run is: the status display of the run."""
        accounts = [a for s in nodes.values() for p in s.accounts.values() for a in p.values()]
        self._done = sum(account.total for account in accounts)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        while self.deaths < self._most:
            if self._rng.random() > EARLY or not self.deaths:
                while self._done <= self._done_then and not self._over.wait(0.01):
                    pass
            if self._over.wait(self._rng.uniform(0, 0.6)):
                return
            self._done_then = self._done
            if pids := children():
                os.kill(pids[0], signal.SIGKILL)
                self.deaths += 1


def children() -> list[int]:
    """Return the process groups of this process."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True)
    pids = [int(word) for word in found.stdout.split()]
    return [pid for pid in pids if b"pipeline.child" in _command(pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile


def hashes(out: Path) -> dict[str, str]:
    """Return the hashes of what a run has left, but for its configuration."""
    found: dict[str, str] = json.loads((out / "stats.json").read_text())["hashes"]
    return {name: found[name] for name in found if name != "config.yaml"}


def assert_deaths_change_nothing(
    target: str, sets: list[str], out: Path, deaths: int, most_a_run: int
) -> None:
    def graph(*more: str):  # type: ignore[no-untyped-def]
        return launch.graph_for(target, "video", [*sets, *more], None, None, lambda text: None)

    whole = run(graph(), out / "undisturbed")
    assert whole.report.state == "complete"
    expected, died, runs = hashes(out / "undisturbed"), 0, 0
    assert set(expected) >= {"poses.jsonl", "trajectory.tum", "keyframes.jsonl", "matches.npz"}
    rng = random.Random(deaths)
    while died < deaths:
        runs += 1
        with Killer(rng, min(most_a_run, deaths - died)) as killer:
            result = run(
                graph("place={detector: heavy}", "restart=true"), out / f"run{runs}", killer.watch
            )
        assert result.failure is None
        assert result.report.state == "complete"
        assert hashes(out / f"run{runs}") == expected
        assert result.report.restarts["heavy"] >= killer.deaths - 1  # the last may come at the end
        died += killer.deaths
        assert killer.deaths > 0
    print(f"{died} deaths in {runs} runs of {whole.report.balances[0].frames} frames")  # noqa: T201


def test_a_few_deaths_of_the_detector_change_nothing(tmp_path: Path) -> None:
    sets = ["capture.params.options.frames=45", "detector.params.options.nfeatures=300"]
    assert_deaths_change_nothing("synthetic", sets, tmp_path, 3, 3)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_deaths_of_the_detector_change_nothing(
    tmp_path: Path, data_dir: Callable[[str], Path]
) -> None:
    sets = ["capture.params.loop=3", "detector.params.options.half_resolution=true"]
    assert_deaths_change_nothing(str(data_dir("kitti00")), sets, tmp_path, DEATHS, DEATHS)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_without_restart_every_death_ends_the_run_with_code_6_within_5_s(
    tmp_path: Path, data_dir: Callable[[str], Path]
) -> None:
    rng = random.Random(6)
    for number in range(20):
        command = [
            sys.executable, "-m", "pipeline", "run", str(data_dir("kitti00")), "--out",
            str(tmp_path / str(number)), "--set", "place={detector: heavy}",
        ]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            victim = _wait_for_child(process.pid)
            time.sleep(rng.uniform(0, 3))
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            _, text = process.communicate(timeout=30)
        assert process.returncode == 6, text
        assert time.monotonic() - killed < 5
        assert "'detector'" in text or "'heavy'" in text
        assert "killed by SIGKILL" in text


def _wait_for_child(pid: int) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
        if found.split():
            return int(found.split()[0])
        time.sleep(0.02)
    raise AssertionError("the group never started")
