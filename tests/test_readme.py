"""The README keeps its word: its commands run, in order, in a fresh copy with a fresh environment."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
(TEST_COMMAND,) = re.findall(r"^```sh test\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.splitlines()) <= 150


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text()


def test_every_relative_link_of_the_readme_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.fixture
def fresh_copy(tmp_path: Path) -> Path:
    """Return a copy of the project with the inputs that the README speaks of."""
    copy = tmp_path / "posestream"
    names = "*.egg-info", ".venv", "__pycache__", ".git", ".*_cache", "runs", ".hypothesis"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*names))
    frames = make_video(copy / "my_video.mp4")
    (copy / "my_photos").mkdir()
    for index in range(0, 30, 10):
        cv2.imwrite(str(copy / "my_photos" / f"{index}.jpg"), frames[index])
    return copy


def make_video(path: Path) -> list:
    """Write a video of 30 frames that pans over a picture, and return its frames."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (60, 160, 3), np.uint8)
    picture = cv2.resize(small, (1280, 480), interpolation=cv2.INTER_CUBIC)
    frames = [np.ascontiguousarray(picture[60:420, 10 * i : 10 * i + 480]) for i in range(30)]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (480, 360))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return frames


@pytest.mark.timeout(1200)
def test_the_commands_of_the_readme_run_in_order(fresh_copy: Path) -> None:
    script = "\n".join(BLOCKS).replace("posestream demo", "posestream demo --out runs/demo")
    done = subprocess.run(
        ["bash", "-exo", "pipefail", "-c", script], cwd=fresh_copy, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("mine/poses.jsonl", "seen/tracks.mp4", "panorama/panorama.png", "two/stats.json"):
        assert (fresh_copy / "runs" / name).stat().st_size > 100, name
    streams = json.loads((fresh_copy / "runs/demo/evaluation.json").read_text())["streams"]
    assert streams["move"]["rotation_median_deg"] < 0.02
    assert streams["move"]["direction_median_deg"] < 1
    assert streams["pan"]["rotation_median_deg"] < 0.02
