"""What goes wrong is named, quickly, and leaves neither process nor socket behind."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_run import CHAIN, DIAMOND, PLACEMENTS, lines, run_text

from pipeline import config
from pipeline.children import Child, socket_folder
from pipeline.errors import ConfigError
from pipeline.runner import run

FOLDER = Path(tempfile.gettempdir()) / f"posestream-{os.getuid()}"


def own_sockets() -> list[Path]:
    return list(FOLDER.glob(f"{os.getpid()}-*"))


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@PLACEMENTS
def test_a_node_that_raises_is_named_with_stream_and_frame(tmp_path: Path, placement: str) -> None:
    started = time.monotonic()
    result = run_text(CHAIN, tmp_path, "relay.params.raise_at=3", placement=placement)
    assert time.monotonic() - started < 5
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text == (
        "node 'relay' failed at stream 'count', frame 3: ValueError: three is not a number I like"
    )
    assert "in process" in result.failure.trace
    assert lines(tmp_path)[:1] in ([], ["0 0"])
    assert not own_sockets()
    assert not children_of(os.getpid())


def test_what_was_done_before_a_failure_stays_valid(tmp_path: Path) -> None:
    run_text(CHAIN, tmp_path, "relay.params.raise_at=40", "relay.params.delay_ms=2")
    assert lines(tmp_path)[:30] == [f"{i} {i}" for i in range(30)]


@PLACEMENTS
def test_a_node_that_hangs_ends_the_run_within_its_limit(tmp_path: Path, placement: str) -> None:
    started = time.monotonic()
    sets = ["relay.params.hang_at=3", "limits.hang_s=1"]
    result = run_text(DIAMOND, tmp_path, *sets, placement=placement)
    assert time.monotonic() - started < 1 + 5
    assert result.exit_code == 6
    assert result.failure is not None
    assert result.failure.text == "node 'relay' hangs: stream 'count', frame 3, for more than 1 s"
    assert not children_of(os.getpid())


@PLACEMENTS
def test_a_source_that_blocks_ends_the_run_within_its_limit(tmp_path: Path, placement: str) -> None:
    started = time.monotonic()
    result = run_text(
        CHAIN, tmp_path, "count.params.hang_at=3", "limits.hang_s=1", placement=placement
    )
    assert time.monotonic() - started < 1 + 5
    assert result.failure is not None
    assert result.failure.text == "node 'count' hangs: stream 'count', frame 3, for more than 1 s"
    assert not (tmp_path / "count.txt").exists()  # it is not closed while it reads


def test_a_source_is_closed_only_when_it_has_read(tmp_path: Path) -> None:
    run_text(CHAIN, tmp_path, "count.params.slow_at=5", "relay.params.raise_at=2")
    assert (tmp_path / "count.txt").read_text() == "closed"


def test_a_source_that_waits_for_its_next_frame_does_not_delay_the_end(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run_text(CHAIN, tmp_path, "count.pace=0.1", "relay.params.raise_at=0")
    assert time.monotonic() - started < 1.5
    assert result.exit_code == 6


def test_a_slow_stream_that_is_read_to_its_end_is_no_hang(tmp_path: Path) -> None:
    sets = ["count.params.count=9", "relay.params.delay_ms=350", "limits.hang_s=0.5"]
    assert run_text(CHAIN, tmp_path, *sets).report.state == "complete"


def test_a_process_that_waits_for_slower_ones_to_start_is_no_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_ready = Child.wait_ready

    def wait_longer(child: Child, on_wait: Callable[[], None]) -> dict[str, str]:
        endpoints = wait_ready(child, on_wait)
        time.sleep(0.7)
        return endpoints

    monkeypatch.setattr(Child, "wait_ready", wait_longer)
    result = run_text(CHAIN, tmp_path, "limits.hang_s=0.4", placement="processes")
    assert result.report.state == "complete"


def test_a_failure_lets_slow_nodes_finish_their_outputs(tmp_path: Path) -> None:
    run_text(CHAIN, tmp_path, "collect.params.delay_ms=700", "relay.params.raise_at=5")
    assert lines(tmp_path)[0] == "0 0"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_node_that_leaves_the_interpreter_is_named(tmp_path: Path, workers: int) -> None:
    result = run_text(CHAIN, tmp_path, "relay.params.exit_at=3", f"relay.workers={workers}")
    assert result.failure is not None
    assert result.failure.text == "node 'relay' failed at stream 'count', frame 3: SystemExit: 4"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ("stream", "produce gave other:1 after seq 0"),
        ("seq", "produce gave count:0 after seq 0"),
        ("type", "produce gave Total, which is not its output"),
    ],
)
def test_a_source_that_breaks_its_contract_is_named(
    tmp_path: Path, wrong: str, expected: str
) -> None:
    result = run_text(CHAIN, tmp_path, f"count.params.wrong={wrong}")
    assert result.failure is not None
    assert result.failure.text == (
        f"node 'count' failed at stream 'count', frame 1: ContractError: {expected}"
    )


@PLACEMENTS
def test_a_node_that_cannot_open_is_named(tmp_path: Path, placement: str) -> None:
    text = CHAIN.replace("toys:Collect", "toys:Unopenable")
    result = run_text(text, tmp_path, placement=placement)
    assert result.failure is not None
    assert result.failure.text == "node 'collect' failed at opening: RuntimeError: no model"


@pytest.mark.parametrize(
    ("contract", "expected"),
    [
        ("twice", "process gave two Number for one input"),
        ("type", "process gave Total, which is none of its outputs"),
        ("key", "process gave Number count:99 for input count:0"),
        ("nothing", "process gave nothing for number"),
    ],
)
def test_a_broken_contract_is_named(tmp_path: Path, contract: str, expected: str) -> None:
    result = run_text(CHAIN, tmp_path, f"relay.params.contract={contract}")
    assert result.failure is not None
    assert result.failure.text == (
        f"node 'relay' failed at stream 'count', frame 0: ContractError: {expected}"
    )


def test_a_batch_with_a_wrong_number_of_results_is_named(tmp_path: Path) -> None:
    result = run_text(CHAIN, tmp_path, "relay.params.contract=batch", "relay.batch.size=3")
    assert result.failure is not None
    assert result.failure.text.endswith("ContractError: process_batch gave 4 results for 3")


def test_an_unwritable_run_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"cannot write the run folder .*file/out: Not a directory"
    ):
        run_text(CHAIN, tmp_path / "file" / "out")


def test_a_killed_process_is_named_within_5_s(tmp_path: Path) -> None:
    victims: list[float] = []

    def kill_one() -> None:
        while not (tmp_path / "collect.txt").exists():
            time.sleep(0.05)
        time.sleep(0.3)
        for pid in children_of(os.getpid()):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            if "pipeline.child" in command:
                os.kill(pid, signal.SIGKILL)
                victims.append(time.monotonic())
                return

    threading.Thread(target=kill_one).start()
    sets = ["relay.params.delay_ms=20", "count.params.count=2000"]
    result = run_text(CHAIN, tmp_path, *sets, placement="processes")
    assert time.monotonic() - victims[0] < 5
    assert result.exit_code == 6
    assert result.failure is not None
    assert "its process was killed by SIGKILL" in result.failure.text
    assert not own_sockets()


SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
from pathlib import Path
from pipeline import config
from pipeline.runner import run
graph = config.load(Path(sys.argv[1]), sys.argv[3:], placement="processes")
sys.exit(run(graph, Path(sys.argv[2])).exit_code)
"""


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run of a minute in processes; yield its runner."""
    (tmp_path / "chain.yaml").write_text(CHAIN)
    sets = ["relay.params.delay_ms=20", "count.params.count=3000"]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "chain.yaml"), str(tmp_path / "out"), *sets],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / "collect.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    yield process
    process.kill()
    process.wait()


def test_an_interrupted_run_finishes_its_outputs(
    tmp_path: Path, long_run: subprocess.Popen[bytes]
) -> None:
    long_run.send_signal(signal.SIGINT)
    assert long_run.wait(15) == 130
    done = lines(tmp_path / "out")
    assert done
    assert done == [f"{i} {i}" for i in range(len(done))]
    assert '"state": "interrupted"' in (tmp_path / "out" / "stats.json").read_text()


def test_children_of_a_killed_runner_end_and_the_next_start_cleans_up(
    long_run: subprocess.Popen[bytes],
) -> None:
    children = children_of(long_run.pid)
    assert len(children) == 3
    long_run.kill()
    long_run.wait()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert list(FOLDER.glob(f"{long_run.pid}-*"))
    with socket_folder():
        assert not list(FOLDER.glob(f"{long_run.pid}-*"))


def test_a_status_display_that_fails_stops_the_nodes(tmp_path: Path) -> None:
    def show(nodes: object, seconds: float) -> None:
        raise BrokenPipeError("nobody reads")

    graph = config.load_text(CHAIN, "test.yaml", ["relay.params.delay_ms=20"])
    before = threading.active_count()
    with pytest.raises(BrokenPipeError):
        run(graph, tmp_path, show)
    assert threading.active_count() == before
    assert (tmp_path / "collect.txt").read_text()[:8] in ("", "number c")
