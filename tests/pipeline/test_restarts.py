"""Process groups that die and are started again: nothing lost, nothing twice, or a declared gap."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from test_faults import children_of

from pipeline import config
from pipeline.errors import ConfigError
from pipeline.graph import Graph
from pipeline.runner import RunResult, run

CHAIN = """
name: chain
restart: true
nodes:
  left:    {type: "toys:Count", params: {count: 150, rows: 1500}}
  right:   {type: "toys:Count", params: {count: 120, step: 3}}
  relay:   {type: "toys:Relay", inputs: {number: [left.number, right.number]}, params: {delay_ms: 8}}
  pairs:   {type: "toys:Pairwise", inputs: {number: relay.number}}
  again:   {type: "toys:Relay", inputs: {number: pairs.number}}
  collect: {type: "toys:Collect", inputs: {number: again.number}}
  other:   {type: "toys:Collect", inputs: {number: [left.number, right.number], other: again.number}}
"""

GROUPS = {
    "a stateless node": "place={relay: heavy}",
    "a node with a memory": "place={pairs: heavy}",
    "three nodes": "place={relay: heavy, pairs: heavy, again: heavy}",
    "two groups in a row": "place={relay: first, pairs: second}",
    "with the sources": "place={left: heavy, right: heavy, relay: heavy, pairs: heavy}",
}


def group_processes() -> list[int]:
    """Return the process ids of the groups of the run in this process."""
    found = []
    for pid in children_of(os.getpid()):
        with suppress(OSError):  # it may end meanwhile
            if b"pipeline.child" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


@contextmanager
def killer(out: Path, seed: int, *, every_s: tuple[float, float], most: int) -> Iterator[list[int]]:
    """Kill a process of a run every now and then, once it has begun; yield whom."""
    rng, killed, over = random.Random(seed), [], threading.Event()

    def kill() -> None:
        while not (out / "collect.txt").exists() and not over.wait(0.05):
            pass
        while len(killed) < most and not over.wait(rng.uniform(*every_s)):
            if found := group_processes():
                pid = rng.choice(found)
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def load(*sets: str, text: str = CHAIN) -> Graph:
    return config.load_text(text, "test.yaml", sets)


def sorted_lines(out: Path, name: str) -> dict[str, list[str]]:
    """Return what a collector wrote, by stream, in its order."""
    found: dict[str, list[str]] = {}
    for line in (out / f"{name}.txt").read_text().splitlines():
        found.setdefault(line.split()[1], []).append(line)
    return found


def assert_balanced(result: RunResult) -> None:
    assert result.report.balances
    assert all(balance.holds for balance in result.report.balances), result.report.balances


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    assert run(load("restart=false"), out).report.state == "complete"
    return out


@pytest.mark.parametrize("place", GROUPS.values(), ids=GROUPS)
def test_a_recording_gives_the_same_whoever_is_killed(
    tmp_path: Path, undisturbed: Path, place: str
) -> None:
    with killer(tmp_path, len(place), every_s=(0.5, 1.2), most=4) as killed:
        result = run(load(place), tmp_path)
    assert result.failure is None
    assert result.report.state == "complete"
    assert len(killed) >= 2
    assert 2 <= sum(result.report.restarts.values()) <= len(killed)
    for name in ("collect", "other"):
        assert sorted_lines(tmp_path, name) == sorted_lines(undisturbed, name)
    assert_balanced(result)
    assert [b.frames for b in result.report.balances] == [150, 120] * 2


LIVE = """
name: live
restart: true
nodes:
  left:    {type: "toys:Count", params: {count: 300, live: true, rows: 1500}}
  right:   {type: "toys:Count", params: {count: 250, live: true, step: 2}}
  relay:   {type: "toys:Relay", inputs: {number: [left.number, right.number]}, params: {delay_ms: 4}}
  pairs:   {type: "toys:Pairwise", inputs: {number: relay.number}}
  collect: {type: "toys:Collect", inputs: {number: pairs.number}}
  other:   {type: "toys:Collect", inputs: {number: relay.number}, params: {delay_ms: 12}}
  view:    {type: "toys:Collect", join: latest, inputs: {number: [left.number, right.number], other: pairs.number}}
"""


@pytest.mark.parametrize(
    "place",
    ["place={relay: heavy}", "place={pairs: heavy}", "place={relay: heavy, pairs: heavy}",
     "place={relay: first, pairs: second}"],
)  # fmt: skip
def test_of_a_live_stream_every_key_is_answered_and_the_break_declared(
    tmp_path: Path, place: str
) -> None:
    with killer(tmp_path, len(place), every_s=(0.7, 1.0), most=2) as killed:
        result = run(load(place, text=LIVE), tmp_path)
    assert result.failure is None
    assert result.report.state == "complete"
    assert sum(result.report.restarts.values()) == len(killed) == 2
    assert_balanced(result)
    assert [b.frames for b in result.report.balances] == [300, 250] * 3
    collected = (tmp_path / "collect.txt").read_text()
    # Between the nodes behind a source all links are lossless: what is under way is sent again.
    assert ("lost: the consumer died" in collected) == ("relay" in place)
    # A memory is lost with it only where nobody can send again what built it up.
    has_reset = "break 1 reset: the consumer was started again" in collected
    if place != "place={relay: first, pairs: second}":  # they may die together
        assert has_reset == (place == "place={relay: heavy, pairs: heavy}")


def test_a_live_source_that_dies_goes_on_with_new_seqs_after_a_break(tmp_path: Path) -> None:
    place = "place={left: camera, right: camera}"
    with killer(tmp_path, 3, every_s=(1.0, 1.0), most=1) as killed:
        result = run(load(place, text=LIVE), tmp_path)
    assert result.failure is None
    assert len(killed) == 1
    assert_balanced(result)
    for stream, rows in sorted_lines(tmp_path, "other").items():
        seqs = [int(row.split()[2]) for row in rows]
        assert seqs == sorted(set(seqs)), stream
        assert sum("break 1 reset" in row for row in rows) == 1
        assert result.report.balances[0].frames > 300


def test_without_restart_a_death_ends_the_run_with_code_6_within_5_s(tmp_path: Path) -> None:
    with killer(tmp_path, 1, every_s=(1.0, 1.0), most=1) as killed:
        result = run(load("restart=false", "place={relay: heavy}"), tmp_path)
    assert killed
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text.startswith("node 'relay': its process was killed by SIGKILL")


def test_a_group_that_dies_again_and_again_without_getting_on_is_given_up(tmp_path: Path) -> None:
    graph = load("place={relay: heavy}", "relay.params.die_at=20")
    result = run(graph, tmp_path)
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text.endswith("; 5 new starts did not get it on")
    assert "its process ended with code 9" in result.failure.text


def test_what_a_node_raises_is_not_tried_again(tmp_path: Path) -> None:
    result = run(load("place={relay: heavy}", "relay.params.raise_at=3"), tmp_path)
    assert result.exit_code == 6
    assert result.report.restarts == {}
    assert result.failure is not None
    assert "ValueError: three is not a number I like" in result.failure.text


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ("place={collect: heavy}", "place.collect: Collect depends on all that came before, so that its process cannot be started again: leave it out of `place`"),
        ("place={}", "restart: starts process groups again, but `place` names none on this machine"),
    ],
)  # fmt: skip
def test_a_group_that_cannot_be_started_again_is_refused(sets: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(sets)
    assert expected in str(caught.value)


def test_a_source_that_comes_once_cannot_be_started_again() -> None:
    text = "nodes: {capture: {type: capture, params: {source: stdin}}}\nrestart: true"
    with pytest.raises(ConfigError) as caught:
        load("place={capture: heavy}", text=text)
    assert "place.capture: what capture reads comes once, so that its process" in str(caught.value)
