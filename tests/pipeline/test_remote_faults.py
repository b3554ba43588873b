"""Two machines, here two processes: when one of them is gone, the other one ends and says so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from test_run import CHAIN, lines
from two_machines import endpoint_of

SLOW = ["relay.params.delay_ms=20", "count.params.count=3000"]
SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from pipeline import config
from pipeline.errors import PosestreamError
from pipeline.remote import serve
from pipeline.runner import run
role, file, out, *sets = sys.argv[1:]
graph = config.load(Path(file), sets)
try:
    if role == "serve":
        code = serve(graph, "gpu", Path(out), lambda text: print(text, flush=True))
    else:
        code = run(graph, Path(out)).exit_code
except PosestreamError as error:
    print(error, flush=True)
    code = error.exit_code
sys.exit(code)
"""


def start(role: str, file: Path, out: Path, *sets: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SERVE, role, str(file), str(out), *sets],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def pair(tmp_path: Path, hosts: str) -> Iterator[tuple[subprocess.Popen[str], ...]]:
    """Start a run of a minute on two "machines"; yield runner and group once they work."""
    (tmp_path / "chain.yaml").write_text(CHAIN + hosts)
    group = start("serve", tmp_path / "chain.yaml", tmp_path / "gpu", *SLOW)
    runner = start("run", tmp_path / "chain.yaml", tmp_path / "main", *SLOW)
    deadline = time.monotonic() + 30
    while not (tmp_path / "main" / "collect.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    yield runner, group
    for process in (runner, group):
        process.kill()
        process.communicate()


def test_a_group_that_is_killed_elsewhere_is_named_within_3_s(
    tmp_path: Path, hosts: str, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    group.kill()
    assert runner.wait(3) == 6
    stats = msgspec.json.decode((tmp_path / "main" / "stats.json").read_bytes())
    what = f"group 'gpu' at {endpoint_of(hosts)}: no answer: it was killed, or is out of reach"
    assert stats["state"] == "failed"
    assert stats["why"].startswith(what)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_group_whose_runner_is_gone_ends_within_5_s(
    hosts: str, pair: tuple[subprocess.Popen[str], ...], how: signal.Signals
) -> None:
    runner, group = pair
    runner.send_signal(how)
    assert group.wait(5) == 6
    assert group.stdout is not None
    assert group.stdout.read().splitlines()[-1] == (
        f"group 'gpu' at {endpoint_of(hosts)}: the runner was killed, or is out of reach"
    )


def test_an_interrupted_runner_ends_both_with_finished_outputs(
    tmp_path: Path, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    runner.send_signal(signal.SIGINT)
    assert (runner.wait(10), group.wait(5)) == (130, 130)
    done = lines(tmp_path / "main")
    assert done == [f"{i} {i}" for i in range(len(done))] != []


def test_a_group_that_is_interrupted_ends_the_run(
    tmp_path: Path, pair: tuple[subprocess.Popen[str], ...]
) -> None:
    runner, group = pair
    group.send_signal(signal.SIGINT)
    assert (runner.wait(5), group.wait(5)) == (130, 130)
    stats = msgspec.json.decode((tmp_path / "main" / "stats.json").read_bytes())
    assert stats["why"] == "group 'gpu' was interrupted on its machine"
