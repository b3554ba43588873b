"""`posestream doctor`: each fault of a machine is one line with its cure."""

import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from nodes.commands import doctor as command
from nodes.commands import doctor_libraries as libraries
from nodes.commands import doctor_machine as machine
from nodes.commands import probes
from nodes.commands.findings import Check, Finding
from nodes.networks import weights as networks

APP = typer.Typer()
APP.command()(command.doctor)


def findings(check: Check, seconds: float = 30.0) -> list[Finding]:
    return list(check(time.monotonic() + seconds))


def answering(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Let every probe answer the same, or raise it."""

    def ask(program: str, deadline: float) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(probes, "ask", ask)


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let only these distributions be installed."""

    def version(name: str) -> str:
        if name not in names:
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(metadata, "version", version)


# ---------------------------------------------------------------- the command


def test_this_machine_is_fit_and_says_so_in_time() -> None:
    started = time.monotonic()
    result = CliRunner().invoke(APP, ["--json"])
    seconds = time.monotonic() - started
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[-1]["event"] == "health"
    assert (result.exit_code, events[-1]["failed"]) == (0, 0), result.stdout
    what = [event["what"] for event in events[:-1]]
    assert {"Python", "packages", "OpenCV", "PyTorch", "ZeroMQ", "ports", "weights"} <= set(what)
    assert seconds < command.PROBES_S + command.GRACE_S + 0.5


def two(*found: Finding) -> list[Check]:
    return [lambda deadline, one=one: iter([one]) for one in found]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        (Finding("a", "ok", "fine"), 0, "posestream can work"),
        (Finding("a", "warn", "hm", "do"), 0, "posestream can work (1 warnings)"),
        (Finding("a", "FAIL", "no", "do"), 4, "1 of these must be mended before posestream can work"),
    ],
)  # fmt: skip
def test_only_what_fails_makes_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, found: Finding, code: int, last: str
) -> None:
    monkeypatch.setattr(libraries, "CHECKS", two(found))
    monkeypatch.setattr(machine, "CHECKS", ())
    result = CliRunner().invoke(APP)
    cure = "   -> do" if found.cure else ""
    assert result.stdout.splitlines() == [
        f"{found.verdict:<5} a              {found.text}{cure}",
        last,
    ]
    assert result.exit_code == code


def test_a_check_that_hangs_or_breaks_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(deadline: float) -> Iterator[Finding]:
        time.sleep(0.6)
        yield from ()

    def breaks(deadline: float) -> Iterator[Finding]:
        yield from ()
        raise OSError("no such device")

    monkeypatch.setattr(command, "PROBES_S", 0.05)
    monkeypatch.setattr(command, "GRACE_S", 0.05)
    started = time.monotonic()
    assert list(command.examine([hangs, breaks])) == [
        Finding("hangs", "warn", "does not answer in time", "posestream doctor, once more"),
        Finding("breaks", "warn", "cannot be looked at: OSError: no such device"),
    ]
    assert time.monotonic() - started < 0.5


# ---------------------------------------------------------------- probes


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import nothing_here", "ModuleNotFoundError: No module named 'nothing_here'"),
        ("import os; os.abort()", "crashes: SIGABRT"),
        ("", "it says nothing"),
    ],
)
def test_a_probe_that_fails_says_how(program: str, message: str) -> None:
    with pytest.raises(probes.ProbeError) as caught:
        probes.ask(program, time.monotonic() + 20)
    assert str(caught.value) == message


def test_a_probe_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(probes.SlowError, match=r"takes longer than 0\.\d s to start"):
        probes.ask("import time; time.sleep(60)", started + 0.3)
    assert time.monotonic() - started < 3


# ---------------------------------------------------------------- libraries


def test_two_builds_of_opencv_are_told_to_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "opencv-python", "opencv-contrib-python-headless")
    answering(
        monkeypatch, {"version": "5.0", "ffmpeg": True, "written": ["mp4v"], "read": ["mp4v"]}
    )
    twice, version, codecs = findings(libraries.opencv)
    assert twice == Finding(
        "OpenCV", "FAIL", "opencv-python and opencv-contrib-python-headless overwrite one another's files",
        "pip uninstall -y opencv-python opencv-contrib-python-headless && "
        "pip install --force-reinstall opencv-python",
    )  # fmt: skip
    assert version == Finding("OpenCV", "ok", "5.0 with FFmpeg")
    assert codecs == Finding("codecs", "ok", "written and read: mp4v")


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (
            probes.ProbeError("ImportError: libGL.so.1: cannot open shared object file"),
            Finding("OpenCV", "FAIL", "ImportError: libGL.so.1: cannot open shared object file", "apt-get install libgl1 libglib2.0-0"),
        ),
        (
            probes.ProbeError("ImportError: cv2 is an empty folder"),
            Finding("OpenCV", "FAIL", "ImportError: cv2 is an empty folder", "pip install --force-reinstall opencv-python"),
        ),
        (
            probes.SlowError("takes longer than 2.2 s to start"),
            Finding("OpenCV", "warn", "cv2 takes longer than 2.2 s to start", "posestream doctor, once more"),
        ),
        (
            {"version": "5.0", "ffmpeg": False, "written": [], "read": []},
            Finding("OpenCV", "FAIL", "5.0 was built without FFmpeg: no video can be read", "pip install --force-reinstall opencv-python"),
        ),
        (
            {"version": "5.0", "ffmpeg": True, "written": ["MJPG"], "read": ["MJPG"]},
            Finding("codecs", "warn", "mp4v cannot be written: there will be no tracks.mp4", "pip install --force-reinstall opencv-python"),
        ),
        (
            {"version": "5.0", "ffmpeg": True, "written": ["mp4v", "avc1"], "read": ["mp4v"]},
            Finding("codecs", "FAIL", "avc1 can be written, but not read", "pip install --force-reinstall opencv-python"),
        ),
    ],
)  # fmt: skip
def test_a_broken_opencv_is_told_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, answer: Any, finding: Finding
) -> None:
    answering(monkeypatch, answer)
    assert findings(libraries.opencv)[-1] == finding


def test_an_opencv_without_its_library_is_really_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "raise ImportError('libGL.so.1: cannot open shared object file: No such file')\n"
    (tmp_path / "cv2.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = findings(libraries.opencv)
    assert (found.verdict, found.cure) == ("FAIL", "apt-get install libgl1 libglib2.0-0")


TORCH = {"version": "2.9", "built_for": "12.8", "gpus": ["H100"], "bfloat16": True}


@pytest.mark.parametrize(
    ("has_driver", "changes", "verdict", "text"),
    [
        (True, {}, "ok", "2.9: H100; the CPU computes in bfloat16"),
        (False, {"gpus": [], "bfloat16": False}, "ok", "2.9: no GPU; the CPU does not compute in bfloat16"),
        (True, {"gpus": []}, "warn", "2.9: a GPU's driver; the CPU computes in bfloat16, but PyTorch cannot use it"),
        (True, {"gpus": [], "built_for": None}, "warn", "2.9: a GPU's driver; the CPU computes in bfloat16; this build of PyTorch is without CUDA"),
    ],
)  # fmt: skip
def test_a_gpu_that_pytorch_cannot_use_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_driver: bool, changes: Any, verdict: str,
    text: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(libraries, "DRIVER", tmp_path if has_driver else tmp_path / "none")
    answering(monkeypatch, TORCH | changes)
    (found,) = findings(libraries.torch)
    assert (found.verdict, found.text) == (verdict, text)


def test_a_slow_pytorch_is_known_by_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(libraries, "DRIVER", tmp_path / "none")
    answering(monkeypatch, probes.SlowError("takes long"))
    (found,) = findings(libraries.torch)
    assert found.verdict == "ok"
    assert found.text.startswith(f"{metadata.version('torch')}: no GPU; the CPU ")


def test_missing_packages_and_extras_are_told_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needs = ["numpy>=2", "opencv-python>=4", "pyzmq", 'kornia>=0.9; extra == "kornia"']
    monkeypatch.setattr(metadata, "requires", lambda name: [*needs, "pytest; extra == 'dev'"])
    installed(monkeypatch, "posestream", "numpy")
    assert findings(libraries.packages) == [
        Finding("packages", "FAIL", "missing: opencv-python, pyzmq", "pip install opencv-python pyzmq"),
        Finding("extra kornia", "ok", "not installed, which is no fault", "pip install 'posestream[kornia]'"),
    ]  # fmt: skip
    installed(monkeypatch, "posestream", "numpy", "opencv-python-headless", "pyzmq", "kornia")
    assert findings(libraries.packages) == [
        Finding("packages", "ok", "posestream 1.0 and the 3 that it needs"),
        Finding("extra kornia", "ok", "kornia 1.0"),
    ]


@pytest.mark.parametrize(
    ("version", "finding"),
    [
        (("3", "10", "1"), Finding("Python", "FAIL", "3.10.1; posestream needs 3.11 to 3.13", "python3.13 -m venv .venv")),
        (("3", "14", "0"), Finding("Python", "warn", "3.14.0; posestream needs 3.11 to 3.13", "python3.13 -m venv .venv")),
        (("3", "13", "2"), Finding("Python", "ok", "3.13.2")),
    ],
)  # fmt: skip
def test_a_python_that_is_too_old_or_too_new_is_told(
    monkeypatch: pytest.MonkeyPatch, version: Sequence[str], finding: Finding
) -> None:
    monkeypatch.setattr(libraries.platform, "python_version_tuple", lambda: version)
    monkeypatch.setattr(libraries.platform, "python_version", lambda: ".".join(version))
    assert findings(libraries.python) == [finding]


@pytest.mark.parametrize(
    ("changes", "verdict", "text"),
    [
        ({}, "ok", "libzmq 4.3, pyzmq 27, CURVE, loopback"),
        ({"curve": False}, "warn", "libzmq 4.3, pyzmq 27 without CURVE: links cannot be encrypted"),
        ({"loopback": False}, "FAIL", "libzmq 4.3, pyzmq 27: no message comes through on 127.0.0.1"),
    ],
)  # fmt: skip
def test_what_zeromq_lacks_is_told(
    monkeypatch: pytest.MonkeyPatch, changes: Any, verdict: str, text: str
) -> None:
    answer = {"version": "4.3", "pyzmq": "27", "curve": True, "loopback": True}
    answering(monkeypatch, answer | changes)
    (found,) = findings(libraries.sockets)
    assert (found.verdict, found.text) == (verdict, text)


def test_weights_that_are_damaged_or_missing_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "xfeat.onnx").write_bytes(b"nothing")
    damaged, here = findings(libraries.weights)
    assert damaged == Finding(
        "weights", "warn", f"{tmp_path}/xfeat.onnx is not what was published",
        f"rm {tmp_path}/xfeat.onnx && posestream weights fetch xfeat",
    )  # fmt: skip
    assert (
        here.text == "here: superpoint-small, xfeat; not here: superpoint, aliked-t16, aliked-n16"
    )
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr(networks, "SHIPPED_FOLDER", tmp_path)
    vain, missing, _ = findings(libraries.weights)
    assert vain.text == f"POSESTREAM_WEIGHTS names {tmp_path}/none, which is no folder"
    assert (missing.verdict, missing.cure) == ("FAIL", "pip install --force-reinstall posestream")


# ---------------------------------------------------------------- the machine


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(machine, "PORTS", {port: "publish"})
        (found,) = findings(machine.ports)
    assert found == Finding(
        "ports", "warn", f"{port} is in use: `publish` needs another one", f"ss -ltnp 'sport = :{port}'"
    )  # fmt: skip
    assert findings(machine.ports)[0].verdict == "ok"


def test_a_camera_without_permission_is_told_with_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine.Path, "glob", lambda self, pattern: [Path("/dev/video0")])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (found,) = findings(machine.cameras)
    assert found == Finding(
        "cameras", "warn", "/dev/video0: no permission to open",
        "sudo usermod -aG video $USER, then log in again",
    )  # fmt: skip


def test_a_full_disk_and_a_closed_folder_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "LEAST_FREE_GB", 1e9)
    runs, temporary = findings(machine.disk)
    assert (runs.what, runs.verdict, runs.cure) == ("run folder", "warn", "--out DIR")
    assert runs.text.startswith(f"{tmp_path} has ")
    assert temporary.verdict == "ok"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    runs, _ = findings(machine.disk)
    assert (runs.verdict, runs.text) == ("FAIL", f"{tmp_path} cannot be written")


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.resource, "getrlimit", lambda what: (256, 2048))
    (found,) = findings(machine.limits)
    assert found == Finding(
        "open files", "warn", "256 at once: many cameras or processes need more", "ulimit -n 2048"
    )


def test_what_dead_runs_left_is_counted_and_what_runs_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine.tempfile, "gettempdir", lambda: str(tmp_path))
    assert findings(machine.dead_runs)[0].text == "nothing left of any"
    base = tmp_path / f"posestream-{os.getuid()}"
    (base / f"{os.getpid()}-running").mkdir(parents=True)
    (base / "999999999-killed").mkdir()
    (found,) = findings(machine.dead_runs)
    assert (found.verdict, found.text) == ("ok", "1 socket folders, which the next run removes")


def test_without_shared_memory_a_warning_says_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    (found,) = findings(machine.shared_memory)
    assert found.verdict == "warn"
    assert found.text.endswith("processes copy frames through sockets")


def test_the_help_of_the_command_imports_nothing_heavy() -> None:
    heavy = "('cv2', 'torch', 'numpy', 'zmq', 'rich')"
    program = (
        "import sys, json, nodes.commands.doctor\n"
        f"print(json.dumps({{'found': [m for m in {heavy} if m in sys.modules]}}))"
    )
    assert probes.ask(program, time.monotonic() + 20) == {"found": []}
