"""One run at a time in a folder, and nothing of dead ones: injected, see docs/faults.md."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from injection import environment, wait_for
from test_run import CHAIN, run_text

from pipeline import config
from pipeline.children import socket_folder
from pipeline.errors import ConfigError
from pipeline.report import write_stats
from pipeline.run_folder import LOCK_FILE, claimed
from pipeline.runner import run


def test_a_second_run_in_the_folder_of_a_running_one_is_refused(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(ConfigError) as caught:
        run_text(CHAIN, tmp_path)
    assert str(caught.value) == (
        f"another run writes into {tmp_path} (process {os.getpid()}): choose another --out"
    )
    assert run_text(CHAIN, tmp_path).report.state == "complete"
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_run_that_was_killed_does_not_keep_its_folder(tmp_path: Path) -> None:
    hold = "import sys, time; from pathlib import Path; from pipeline.run_folder import claimed\n"
    hold += "with claimed(Path(sys.argv[1])): time.sleep(60)"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "out")], env=environment(tmp_path)
    )
    lock = tmp_path / "out" / LOCK_FILE
    wait_for(lambda: lock.exists() and lock.stat().st_size)
    with pytest.raises(ConfigError, match=rf"another run .* \(process {holder.pid}\)"):
        run_text(CHAIN, tmp_path / "out")
    holder.kill()
    holder.wait()
    assert lock.exists()
    assert run_text(CHAIN, tmp_path / "out").report.state == "complete"


def test_sockets_of_a_dead_run_are_removed_though_its_process_id_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    base = tmp_path / f"posestream-{os.getuid()}"
    stale = base / f"{os.getppid()}-stale"  # a program that lives, and holds nothing here
    stale.mkdir(parents=True)
    (stale / "relay-0").touch()
    with socket_folder() as first:
        assert not stale.exists()
        with socket_folder() as second:
            assert first.exists()
            assert first != second
        assert first.exists()
    assert list(base.iterdir()) == []


def test_a_run_that_cannot_write_its_last_file_says_so(tmp_path: Path) -> None:
    graph = config.load_text(CHAIN, "test.yaml", [])
    report = run(graph, tmp_path / "out").report
    (tmp_path / "stats.json").mkdir()
    unwritten = write_stats(report, tmp_path)
    assert unwritten is not None
    assert unwritten.exit_code == 6
    assert unwritten.text == f"cannot write {tmp_path / 'stats.json'}: Is a directory"
