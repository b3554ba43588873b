"""The subscribers of docs/examples hear the poses of a live run: Python, and C++ built with g++."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pipeline

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
ROOT = Path(pipeline.__file__).parent.parent
GRAPH = """
name: published
nodes:
  capture:  {{type: capture, pace: 10, params: {{source: {source}, options: {options}, {more}}}}}
  tracker:  {{type: tracker, inputs: {{frame: {{from: capture.frame, policy: lossless}}}}}}
  pose:     {{type: pose, inputs: {{matches: {{from: tracker.matches, policy: lossless}}}}}}
  recorder: {{type: recorder, join: none, inputs: {{pose: {{from: pose.pose, policy: lossless}}}}}}
publish: {{pose.pose: "{endpoint}"}}
"""
Heard = list[tuple[str, int, str, list[float]]]


def poses_of_a_run(
    subscriber: list[str], folder: Path, source: str, options: dict, more: str
) -> tuple[Heard, Heard]:
    """Run a graph beside a subscriber that is there first; return what it printed, and poses.jsonl."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    graph = folder / "graph.yaml"
    graph.write_text(
        GRAPH.format(source=source, options=json.dumps(options), more=more, endpoint=endpoint)
    )
    path = os.pathsep.join([str(ROOT), *sys.path])
    command = [sys.executable, "-m", "pipeline", "run", str(graph), "--out", str(folder / "out")]
    with subprocess.Popen([*subscriber, endpoint], stdout=subprocess.PIPE, text=True) as listener:
        try:
            done = subprocess.run(
                command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            printed, _ = listener.communicate(timeout=20)
        finally:
            listener.kill()
    rows = [json.loads(line) for line in (folder / "out" / "poses.jsonl").read_text().splitlines()]
    return [heard(line) for line in printed.splitlines()], [
        (
            row["stream"],
            row["seq_cur"],
            row["label"],
            [n for line in row["T_cur_prev"] or [] for n in line],
        )
        for row in rows
    ]


def heard(line: str) -> tuple[str, int, str, list[float]]:
    stream, seq, label, *numbers = line.translate(str.maketrans("(),", "   ")).split()
    return stream, int(seq), label, [float(n) for n in numbers if n != "None"]


def check(subscriber: list[str], folder: Path, *source: object) -> None:
    printed, recorded = poses_of_a_run(subscriber, folder, *source)  # type: ignore[arg-type]
    assert len(recorded) >= 10
    assert any(numbers for *_, numbers in recorded)
    assert printed == recorded


SYNTHETIC = ("synthetic", {"frames": 12}, "")


def test_the_python_subscriber_is_15_lines_and_hears_every_pose_of_a_run(tmp_path: Path) -> None:
    script = EXAMPLES / "subscriber.py"
    code = [line for line in script.read_text().splitlines() if line and not line.startswith('"')]
    assert len(code) <= 15
    check([sys.executable, str(script)], tmp_path, *SYNTHETIC)


@pytest.fixture
def built(tmp_path: Path) -> list[str]:
    """Return the command of the C++ subscriber, built as its first lines say."""
    if not shutil.which("g++"):
        pytest.skip("needs g++: apt-get install g++")
    for header, package in (("zmq.h", "libzmq3-dev"), ("msgpack.hpp", "libmsgpack-cxx-dev")):
        probe = ["g++", "-std=c++17", "-DMSGPACK_NO_BOOST", "-E", "-x", "c++", "-"]
        text = f"#include <{header}>\n"
        if subprocess.run(probe, input=text, capture_output=True, text=True).returncode:
            pytest.skip(f"needs {header}: apt-get install {package}")
    lines = (EXAMPLES / "subscriber.cpp").read_text().splitlines()
    (command,) = [
        line.removeprefix("//   ").split() for line in lines if line.startswith("//   g++")
    ]
    command[command.index("subscriber.cpp")] = str(EXAMPLES / "subscriber.cpp")
    command[command.index("-o") + 1] = str(tmp_path / "subscriber")
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror"], check=True)
    return [str(tmp_path / "subscriber")]


@pytest.mark.long
def test_the_cpp_subscriber_hears_every_pose_of_a_run(built: list[str], tmp_path: Path) -> None:
    check(built, tmp_path, *SYNTHETIC)


@pytest.mark.long
def test_both_subscribers_hear_every_pose_of_a_real_recording(
    built: list[str], tmp_path: Path, data_dir: Callable[[str], Path]
) -> None:
    source = ("folder", {"path": str(data_dir("kitti00") / "frames")}, "stop: 40")
    for name, command in (
        ("cpp", built),
        ("python", [sys.executable, str(EXAMPLES / "subscriber.py")]),
    ):
        (tmp_path / name).mkdir()
        check(command, tmp_path / name, *source)
