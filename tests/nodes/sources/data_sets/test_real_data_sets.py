"""The shared sequences in the layouts in which they were published."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import SENSOR

from nodes.sources import SOURCES
from nodes.sources.base import FrameSource, Selection
from nodes.sources.data_sets.dataset import Dataset
from nodes.sources.text_files import read_tum

DataDir = Callable[[str], Path]


def opened(name: str, path: Path, **options: Any) -> FrameSource:
    source: FrameSource = SOURCES.create(name, {"path": str(path), **options})
    source.open(lambda text: None)
    return source


@pytest.mark.data
def test_real_kitti_in_its_published_layout_is_the_same(data_dir: DataDir, tmp_path: Path) -> None:
    data = data_dir("kitti00")
    folder = tmp_path / "sequences" / "00"
    folder.mkdir(parents=True)
    (folder / "image_0").symlink_to(data / "frames")
    shutil.copy(data / "timestamps.txt", folder / "times.txt")
    P = "718.856 0 607.1928 {} 0 718.856 185.2157 0 0 0 1 0"
    (folder / "calib.txt").write_text(f"P0: {P.format(0)}\nP1: {P.format(-386.1448)}\n")
    (tmp_path / "poses").mkdir()
    poses = read_tum(data / "groundtruth.txt")[1]
    np.savetxt(tmp_path / "poses" / "00.txt", poses[:, :3].reshape(-1, 12))
    assert_same(opened("kitti", folder), data)


@pytest.mark.data
def test_real_tum_in_its_published_layout_is_the_same(data_dir: DataDir, tmp_path: Path) -> None:
    data = data_dir("tum_fr3_office")
    folder = tmp_path / "rgbd"
    (folder / "rgb").mkdir(parents=True)
    shutil.copy(data / "groundtruth.txt", folder)
    lines = (data / "timestamps.txt").read_text().splitlines()
    stamps = [line.split()[-1] for line in lines if not line.startswith("#")]
    names = [f"rgb/{stamp}.png" for stamp in stamps]
    for name, image in zip(names, sorted((data / "frames").iterdir()), strict=True):
        (folder / name).symlink_to(image)
    rows = (f"{stamp} {name}\n" for stamp, name in zip(stamps, names, strict=True))
    (folder / "rgb.txt").write_text("".join(rows))
    assert_same(opened("tum", folder, camera="freiburg3"), data)


@pytest.mark.data
def test_real_euroc_in_its_published_layout_is_the_same(data_dir: DataDir, tmp_path: Path) -> None:
    data = data_dir("euroc_static_stereo")
    dataset = Dataset(Dataset.Options(str(data)))
    stamps, camera = dataset.read_stamps(), dataset.camera
    assert stamps is not None and camera is not None
    folder = tmp_path / "mav0" / "cam0"
    (folder / "data").mkdir(parents=True)
    for stamp, image in zip(stamps, sorted((data / "frames").iterdir()), strict=True):
        (folder / "data" / f"{stamp}.png").symlink_to(image)
    (folder / "data.csv").write_text("".join(f"{s},{s}.png\n" for s in stamps))
    text = SENSOR.replace("[64, 48]", "[752, 480]")
    text = text.replace(
        "[60.5, 61.5, 31.5, 23.5]", str([camera.fx, camera.fy, camera.cx, camera.cy])
    )
    text = text.replace("[-0.28, 0.07, 0.0002, 1.8e-05]", str(list(camera.distortion)))
    (folder / "sensor.yaml").write_text(text)
    source = opened("euroc", tmp_path)
    assert source.camera == camera and source.groundtruth() is None
    assert [p.stamp_ns for p in source.frames(Selection()) if p] == stamps


def assert_same(source: FrameSource, data: Path) -> None:
    """Check that a source gives what the `dataset` source gives."""
    dataset = Dataset(Dataset.Options(str(data)))
    dataset.open(lambda text: None)
    assert (source.length(), source.size) == (dataset.length(), dataset.size)
    assert source.camera == dataset.camera
    truth, expected = source.groundtruth(), dataset.groundtruth()
    assert truth is not None and expected is not None
    np.testing.assert_array_equal(truth[0], expected[0])
    np.testing.assert_allclose(truth[1], expected[1], atol=1e-9)
    some = Selection(step=16)
    for found, wanted in zip(source.frames(some), dataset.frames(some), strict=True):
        assert found and wanted and found.stamp_ns == wanted.stamp_ns
        np.testing.assert_array_equal(found.image, wanted.image)
