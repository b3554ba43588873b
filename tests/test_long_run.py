"""A run of 20,000 frames: the memory is that of the first thousands, and every frame is answered."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.base import Selection
from nodes.sources.synthetic import Synthetic

NUM_FRAMES = 20_000
LAP = 80
"""Frames of the recording, which is played to and fro: the camera never jumps."""


def write_recording(folder: Path) -> None:
    """Write a lap, there and back, of small grey frames of the synthetic scene."""
    folder.mkdir()
    options = Synthetic.Options(frames=LAP // 2 + 1, width=320, height=240, speed=0.7)
    source = Synthetic(options)
    source.open(lambda text: None)
    there = [picture.image for picture in source.frames(Selection())]
    for i, image in enumerate([*there, *there[-2:0:-1]]):
        cv2.imwrite(str(folder / f"{i:04d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    camera = source.camera
    intrinsics = {key: getattr(camera, key) for key in ("width", "height", "fx", "fy", "cx", "cy")}
    lines = [f"{key}: {value}" for key, value in intrinsics.items()]
    lines += ["distortion_model: none", "distortion_coeffs: []"]
    (folder / "intrinsics.yaml").write_text("\n".join(lines) + "\n")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("config", ["klt", "video"])
def test_memory_stays_flat_over_20_000_frames(config: str, tmp_path: Path) -> None:
    write_recording(tmp_path / "frames")
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "pipeline", "run", str(tmp_path / "frames"), "--config", config,
        "--out", str(out), "--set", f"capture.params.loop={NUM_FRAMES // LAP}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ)) as process:
        samples = []
        while process.poll() is None:
            samples.append(resident_mb(process.pid))
            time.sleep(0.5)
    assert process.returncode == 0
    (figures,) = json.loads((out / "stats.json").read_text())["streams"].values()
    assert figures["frames_captured"] == NUM_FRAMES
    used = np.array([mb for mb in samples if mb > 0])
    early, late = used[len(used) // 10 : len(used) // 3], used[-len(used) // 3 : -1]
    told = f"{config}: {np.median(early):.0f} MB early, {np.median(late):.0f} MB late"
    print(told)  # noqa: T201 a figure for the benchmark record, shown by `pytest -s`
    assert np.median(late) < np.median(early) * 1.05 + 10
    assert late.max() < used[: len(used) // 3].max() * 1.1 + 20
