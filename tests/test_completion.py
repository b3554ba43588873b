"""Shell completion, asked for as bash, zsh and fish ask for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import completion

ROOT = Path(__file__).parent.parent
GRAPH = """\
nodes:
  left: {type: capture, params: {source: camera}}
  matcher: {type: matcher, inputs: {features: left.frame}}
hosts: {gpu: "tcp://127.0.0.1:5700", main: "tcp://127.0.0.1:5701"}
"""


def ask(*words: str, cwd: Path, shell: str = "bash") -> list[str]:
    """Return what completes the last word, as the shell is told it."""
    environment = {
        "_POSESTREAM_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(["posestream", *words]),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(["posestream", *words]),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    path = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "pipeline"], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["ev"], ["evaluate"]),
        (["run", "klt"], ["klt", "klt_pairs", "klt.mp4"]),
        (["run", "my_"], [""]),  # the shell goes on with files
        (["check", "two"], ["two_machines", "two_streams"]),
        (["nodes", "od"], ["odometry"]),
        (["run", "x.mp4", "--config", "pan"], ["panorama"]),
        (["run", "x.mp4", "--placement", "p"], ["processes"]),
        (["run", "x.mp4", "--set", "matcher.w"], ["matcher.workers"]),
        (["run", "x.mp4", "--config", "klt", "--set", "tracker.params.options.cl"], ["tracker.params.options.clahe"]),
        (["run", "mine.yaml", "--set", "left.params.options.dev"], ["left.params.options.device"]),
        (["run", "mine.yaml", "--set", "lim"], ["limits.hang_s"]),
        (["run", "mine.yaml", "--group", ""], ["gpu"]),
        (["run", "none.yaml", "--group", ""], [""]),
    ],
)  # fmt: skip
def test_bash_completes(words: list[str], found: list[str], tmp_path: Path) -> None:
    (tmp_path / "klt.mp4").touch()
    (tmp_path / "my_video.mp4").touch()
    (tmp_path / "mine.yaml").write_text(GRAPH)
    assert ask(*words, cwd=tmp_path) == found


def test_zsh_and_fish_show_one_line_of_help_with_each(tmp_path: Path) -> None:
    words = ["run", "x", "--set", "detector.params.options.octaves"]
    assert ask(*words, cwd=tmp_path, shell="zsh") == [
        """_arguments '*: :(("detector.params.options.octaves":"also finds keypoints at half, a quarter, an eighth of the..."))'"""
    ]
    assert ask(*words, cwd=tmp_path, shell="fish") == [
        "detector.params.options.octaves\talso finds keypoints at half, a quarter, an eighth of the..."
    ]


def test_behind_the_equals_sign_the_values_of_a_choice_are_completed(tmp_path: Path) -> None:
    words = ["run", "x", "--set", "visualiser.params.viewer="]
    found = [line.partition("\t")[0] for line in ask(*words, cwd=tmp_path, shell="fish")]
    assert found == ["visualiser.params.viewer=null", "visualiser.params.viewer=video"]


@pytest.mark.parametrize("words", ["posestream run kl", "posestream run x --set detector."])
def test_a_key_press_imports_neither_cv2_nor_torch(words: str, tmp_path: Path) -> None:
    code = (
        "import sys, pipeline.cli as cli\n"
        "sys.argv = ['posestream']\n"
        "try: cli.main()\n"
        "finally: print([m for m in ('cv2', 'torch', 'scipy', 'zmq', 'matplotlib') if m in sys.modules])"
    )
    environment = {
        "_POSESTREAM_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    first, *_, imported = done.stdout.strip().splitlines()
    assert (first != imported, imported) == (True, "[]")


def test_a_broken_graph_completes_nothing_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("nodes: [")
    (tmp_path / "odd.yaml").write_text("nodes: {left: 3, right: {type: [capture]}}")

    class Context:
        params = {"file": "bad.yaml"}
        args: list[str] = []

    assert completion.groups(Context, "") == []
    Context.params = {"file": "odd.yaml"}
    assert [name for name, _ in completion.settings(Context, "s")] == ["seed"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_script_for_bash_works_in_bash(tmp_path: Path) -> None:
    command = tmp_path / "posestream"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n')
    command.chmod(0o755)
    script = (
        'eval "$(posestream --show-completion)"\n'
        "COMP_WORDS=(posestream run kl); COMP_CWORD=2\n"
        "_posestream_completion posestream\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("klt klt_pairs\n", 0), done.stderr
