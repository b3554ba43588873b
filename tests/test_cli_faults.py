"""Faults as a user meets them: full disks, kills, signals, closed pipes; all of them injected."""

import json
import os
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from injection import (
    children_of,
    command,
    environment,
    is_alive,
    num_lines,
    run_on_small_disk,
    started,
    wait_for,
)

NODES = ["camera", "detector", "matcher", "pose", "recorder", "visualiser"]
GRAPH = """
name: small
nodes:
  camera:     {type: capture, params: {source: synthetic, options: {frames: FRAMES, width: 160, height: 120}}}
  detector:   {type: detector, inputs: {frame: camera.frame}, params: {algorithm: orb}}
  matcher:    {type: matcher, inputs: {features: detector.features}}
  pose:       {type: pose, inputs: {matches: matcher.matches}}
  recorder:   {type: recorder, join: none, inputs: {pose: pose.pose, matches: matcher.matches}}
  visualiser: {type: visualiser, inputs: {frame: camera.frame}, params: {viewer: VIEWER}}
"""
CURE = "make room, or choose another --out; what was written before is whole"


def write_graph(folder: Path, frames: int, viewer: str = '"null"') -> str:
    text = GRAPH.replace("FRAMES", str(frames)).replace("VIEWER", viewer)
    (folder / "small.yaml").write_text(text)
    return "small.yaml"


def last_line(stderr: str) -> str:
    return stderr.strip().splitlines()[-1]


def num_rows(out: Path) -> int:
    """Return the number of rows of poses.jsonl, all of which are whole."""
    text = (out / "poses.jsonl").read_text()
    assert text == "" or text.endswith("\n")
    return len([json.loads(line) for line in text.splitlines()])


def num_pairs(out: Path) -> int:
    """Return the number of entries of matches.npz, all of which can be read."""
    with np.load(out / "matches.npz") as archive:
        return sum(archive[name].shape[1] == 4 for name in archive.files)


def num_frames(out: Path) -> int:
    return int(cv2.VideoCapture(str(out / "tracks.mp4")).get(cv2.CAP_PROP_FRAME_COUNT))


def state(out: Path) -> tuple[str, str]:
    stats = json.loads((out / "stats.json").read_text())
    return stats["state"], stats["why"]


# ------------------------------------------------------------------ disks


@pytest.mark.parametrize("size_kb", [140, pytest.param(100, marks=pytest.mark.long)])
def test_a_disk_that_fills_up_ends_the_run_with_whole_outputs(tmp_path: Path, size_kb: int) -> None:
    graph = write_graph(tmp_path, 300)
    done, out, disk = run_on_small_disk(f"{size_kb}k", tmp_path, "run", graph)
    assert done.returncode == 6
    error = last_line(done.stderr)
    assert error in [
        f"error: cannot write {disk / name}: No space left on device: {CURE}"
        for name in ("poses.jsonl", "matches.npz")
    ]
    assert "Traceback" not in done.stderr
    assert num_rows(out) > 1
    assert num_pairs(out) > 1
    assert state(out) == ("failed", error.removeprefix("error: "))


def test_a_video_ends_before_the_disk_is_full_and_can_be_played(tmp_path: Path) -> None:
    graph = write_graph(tmp_path, 400, "video")
    sets = ["--set", "camera.params.options.noise=30"]  # leaves the codec much to write
    done, out, disk = run_on_small_disk("2500k", tmp_path, "run", graph, *sets)
    assert done.returncode == 6
    assert last_line(done.stderr) == (
        f"error: cannot write {disk / 'tracks.mp4'}: No space left on device: {CURE}"
    )
    assert 10 < num_frames(out) < 400
    assert num_pairs(out) > 5
    assert state(out)[0] == "failed"


def test_a_disk_without_room_for_the_end_of_a_run_is_refused(tmp_path: Path) -> None:
    done, out, disk = run_on_small_disk("40k", tmp_path, "run", write_graph(tmp_path, 9))
    assert done.returncode == 2
    assert last_line(done.stderr) == (
        f"error: cannot write the run folder {disk}: No space left on device"
    )
    assert list(out.iterdir()) == []


# ------------------------------------------------------------------ second starts


def test_a_folder_has_one_run_at_a_time_and_a_killed_one_does_not_keep_it(tmp_path: Path) -> None:
    graph = write_graph(tmp_path, 100_000)
    arguments = ("run", graph, "--out", "out", "--set", "place={detector: one, recorder: two}")
    with started(tmp_path, *arguments) as first:
        wait_for(lambda: num_lines(tmp_path / "out" / "poses.jsonl") > 3)
        second = subprocess.run(
            command(*arguments), cwd=tmp_path, env=environment(tmp_path),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert last_line(second.stderr) == (
            f"error: another run writes into out (process {first.pid}): choose another --out"
        )
        assert num_rows(tmp_path / "out") > 3
        groups = children_of(first.pid)
        assert len(groups) == 2
        first.kill()
        killed_at = time.monotonic()
        wait_for(lambda: not any(map(is_alive, groups)), 5)
        assert time.monotonic() - killed_at < 5
    assert list((tmp_path / "tmp").glob("posestream-*/*"))
    write_graph(tmp_path, 9)
    third = subprocess.run(
        command(*arguments),
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        check=False,
    )
    assert third.returncode == 0
    assert state(tmp_path / "out") == ("complete", "")
    assert num_rows(tmp_path / "out") == 8
    assert not list((tmp_path / "tmp").glob("posestream-*/*"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.yaml", "matches.npz", "poses.jsonl", "stats.json",
    ]  # fmt: skip


# ------------------------------------------------------------------ kills and signals


@pytest.mark.parametrize(
    "victim",
    ["detector", *(pytest.param(n, marks=pytest.mark.long) for n in NODES if n != "detector")],
)
def test_a_killed_node_is_named_within_5_s_and_the_others_finish_their_outputs(
    tmp_path: Path, victim: str
) -> None:
    graph, out = write_graph(tmp_path, 100_000, "video"), tmp_path / "out"
    with started(tmp_path, "run", graph, "--out", "out", "--placement", "processes") as run:
        wait_for(lambda: num_lines(out / "poses.jsonl") > 20)
        groups = children_of(run.pid)
        os.kill(groups[NODES.index(victim)], signal.SIGKILL)
        killed_at = time.monotonic()
        _, stderr = run.communicate(timeout=30)
    assert time.monotonic() - killed_at < 5
    assert run.returncode == 6
    error = last_line(stderr).removeprefix("error: ")
    assert error.startswith(f"node '{victim}': its process was killed by SIGKILL: out of memory?")
    assert state(out) == ("failed", error)
    assert not any(map(is_alive, groups))
    assert not list((tmp_path / "tmp").glob("posestream-*/*"))
    assert num_rows(out) > 19
    if victim != "recorder":  # its archive has no table of contents: docs/faults.md
        assert num_pairs(out) > 19
    else:
        assert not zipfile.is_zipfile(out / "matches.npz")
    assert (num_frames(out) > 19) == (victim != "visualiser")


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(n, marks=pytest.mark.long) for n in ("SIGHUP", "SIGINT"))],
)
def test_a_signal_to_the_runner_finishes_all_outputs(tmp_path: Path, name: str) -> None:
    graph, out = write_graph(tmp_path, 100_000, "video"), tmp_path / "out"
    with started(tmp_path, "run", graph, "--out", "out", "--placement", "processes") as run:
        wait_for(lambda: num_lines(out / "poses.jsonl") > 9)
        run.send_signal(signal.Signals[name])
        run.communicate(timeout=30)
    assert run.returncode == 130
    assert state(out) == ("interrupted", "stopped by the user")
    assert num_rows(out) == num_pairs(out) == num_frames(out) - 1


def test_a_run_whose_lines_nobody_reads_goes_on_to_its_end(tmp_path: Path) -> None:
    graph = write_graph(tmp_path, 60)
    with started(tmp_path, "run", graph, "--out", "out", "--json") as run:
        assert run.stdout is not None
        assert '"event": "started"' in run.stdout.readline()
        run.stdout.close()  # as `| head -1` does
        assert run.wait(60) == 0
    assert state(tmp_path / "out") == ("complete", "")
    assert num_rows(tmp_path / "out") == 59
