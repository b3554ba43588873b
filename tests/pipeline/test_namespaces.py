"""Two machines of which each has a network of its own: two namespaces with a cable between them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.keys import make_keys

ADDRESSES = ("10.77.0.1", "10.77.0.2")
GRAPH = """
name: two
nodes:
  capture:    {{type: capture, params: {{source: folder, options: {{path: {frames}}}}}}}
  detector:   {{type: detector, inputs: {{frame: capture.frame}}}}
  matcher:    {{type: matcher, inputs: {{features: detector.features}}}}
  calibrator: {{type: calibrator, inputs: {{matches: matcher.matches}}}}
  pose:       {{type: pose, inputs: {{matches: calibrator.matches}}}}
  recorder:   {{type: recorder, join: none, inputs: {{pose: pose.pose, matches: matcher.matches}}}}
"""
PLACED = """
place: {capture: camera, detector: camera}
hosts: {camera: "tcp://10.77.0.2:5700"}
keys: keys
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    """Make two namespaces with a cable between them; yield their names."""
    names = (f"posestream-{os.getpid()}-a", f"posestream-{os.getpid()}-b")
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip: apt-get install iproute2")
    try:
        for name in names:
            ip("netns", "add", name)
        ends = [f"ps{os.getpid() % 100000}{side}" for side in "ab"]
        ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", "name", ends[1],
           "netns", names[1])  # fmt: skip
        for name, end, address in zip(names, ends, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs the right to make network namespaces: {error.stderr.decode().strip()}")
    else:
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def start(namespace: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = ["ip", "netns", "exec", namespace] if namespace else []
    return subprocess.Popen(
        [*command, sys.executable, "-m", "pipeline", "run", "graph.yaml", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def folders(tmp_path: Path, data_dir: Callable[[str], Path]) -> tuple[Path, Path]:
    """Return the working folders of the two machines, each with the graph and its keys."""
    text = GRAPH.format(frames=data_dir("box") / "frames")
    for name in ("main", "camera"):
        make_keys(tmp_path / "keys", name)
    for name, other in (("main", "camera"), ("camera", "main")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.yaml").write_text(text + PLACED)
        shutil.copytree(tmp_path / "keys", tmp_path / name / "keys")
        (tmp_path / name / "keys" / f"{other}.secret").unlink()
    (tmp_path / "graph.yaml").write_text(text)
    return tmp_path / "main", tmp_path / "camera"


@pytest.mark.long
def test_a_recording_gives_the_same_over_a_cable_with_keys(
    cable: tuple[str, str], folders: tuple[Path, Path]
) -> None:
    main, camera = folders
    alone = start("", main.parent, "--out", "alone")
    group = start(cable[1], camera, "--group", "camera")
    runner = start(cable[0], main, "--out", "run")
    said = {name: p.communicate()[0] for name, p in
            (("alone", alone), ("group", group), ("runner", runner))}  # fmt: skip
    assert (alone.returncode, group.returncode, runner.returncode) == (0, 0, 0), said
    for name in ("poses.jsonl", "matches.npz"):
        assert (main / "run" / name).read_bytes() == (main.parent / "alone" / name).read_bytes()


@pytest.mark.long
def test_a_cable_that_is_pulled_ends_both_machines(
    cable: tuple[str, str], folders: tuple[Path, Path]
) -> None:
    main, camera = folders
    group = start(cable[1], camera, "--group", "camera")
    runner = start(cable[0], main, "--out", "run")
    deadline = time.monotonic() + 60
    poses = main / "run" / "poses.jsonl"
    while not (poses.exists() and poses.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    ip("-n", cable[1], "link", "set", f"ps{os.getpid() % 100000}b", "down")
    pulled = time.monotonic()
    try:
        assert group.wait(10) == 6
        assert runner.wait(10) == 6
        assert time.monotonic() - pulled < 6  # noticed within 3 s, and 2 s to finish the outputs
    finally:
        for process in (group, runner):
            process.send_signal(signal.SIGKILL)
    assert (
        runner.communicate()[0]
        .splitlines()[-1]
        .startswith(
            "error: group 'camera' at tcp://10.77.0.2:5700: no answer: it was killed, or is out of reach"
        )
    )
    assert group.communicate()[0].splitlines()[-1] == (
        "error: group 'camera' at tcp://10.77.0.2:5700: the runner was killed, or is out of reach"
    )
