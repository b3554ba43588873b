"""Data sets, bags, pipes and addresses, as `posestream run` names them."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from layouts import write_euroc, write_kitti, write_pictures, write_tum
from ros_bags import (
    ROS1,
    ROS2,
    START_NS,
    camera_info,
    pictures,
    write_mcap,
    write_ros1,
    write_ros2,
)

from nodes.sources import recognise
from pipeline.errors import InputError, MissingDependencyError


def recognised(target: object, camera: str | None = None) -> tuple[str, str, Any]:
    """Return kind, source and options."""
    found = recognise(str(target), camera)
    assert found is not None
    settings = dict(override.split("=", 1) for override in found.overrides)
    return found.kind, settings["params.source"], yaml.safe_load(settings["params.options"])


def error_of(target: object) -> str:
    with pytest.raises(InputError) as caught:
        recognise(str(target))
    return str(caught.value)


def test_a_tum_sequence_is_recognised(tmp_path: Path) -> None:
    folder = write_tum(tmp_path / "s")
    text = (
        "TUM RGB-D sequence of 5 colour images (depth is not used) with ground truth, uncalibrated"
    )
    assert recognised(folder) == (text, "tum", {"path": str(folder)})


def test_a_kitti_sequence_is_recognised_and_chosen(tmp_path: Path) -> None:
    folder = write_kitti(tmp_path)
    text = "KITTI odometry sequence of 5 images in image_0 with calibration and ground truth"
    assert recognised(folder) == (text, "kitti", {"path": str(folder)})
    assert recognised(tmp_path) == (text, "kitti", {"path": str(folder)})
    write_kitti(tmp_path, number="11")
    assert error_of(tmp_path) == (f"{tmp_path} holds 2 KITTI sequences: name one, such as {folder}")


def test_a_euroc_sequence_is_recognised(tmp_path: Path) -> None:
    root = write_euroc(tmp_path)
    text = "EuRoC sequence of 5 images of cam0 with calibration and ground truth"
    for path in (root, root / "mav0"):
        assert recognised(path) == (text, "euroc", {"path": str(path)})


def test_bags_are_recognised_by_content_and_name(tmp_path: Path) -> None:
    def sent(store: Any) -> list[Any]:
        info = camera_info(store, "plumb_bob", [])
        return [("/camera/camera_info", START_NS, info), *pictures(store)]

    ros1 = write_ros1(tmp_path / "a.bag", pictures(ROS1))
    ros2 = write_ros2(tmp_path / "b", sent(ROS2))
    mcap = write_mcap(tmp_path / "c.mcap", sent(ROS2))
    of = "6 images of /camera/image_raw"
    assert recognised(ros1) == (f"ROS 1 bag: {of}, uncalibrated", "rosbag", {"path": str(ros1)})
    assert recognised(ros2) == (f"ROS 2 bag: {of} with calibration", "rosbag", {"path": str(ros2)})
    assert recognised(mcap) == (f"MCAP file: {of} with calibration", "mcap", {"path": str(mcap)})
    renamed = mcap.rename(tmp_path / "recording")
    assert recognised(renamed)[1] == "mcap"
    (tmp_path / "d.bag").write_text("a letter")
    assert error_of(tmp_path / "d.bag") == f"{tmp_path}/d.bag is not a ROS 1 bag of version 2.0"


def test_photos_beside_some_metadata_are_no_bag(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png", "b.png"])
    (tmp_path / "metadata.yaml").write_text("owner: me\n")
    assert recognised(tmp_path)[1] == "folder"


@pytest.mark.parametrize(("package", "file"), [("rosbags", "a.bag"), ("mcap", "a.mcap")])
def test_a_missing_package_gives_the_command_that_installs_it(
    package: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / file).write_bytes(b"x")
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    source = "rosbag" if package == "rosbags" else "mcap"
    module = "rosbag" if package == "rosbags" else "mcap_file"
    monkeypatch.delitem(sys.modules, f"nodes.sources.ros.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError) as caught:
        recognise(str(tmp_path / file))
    # Python names the part that was asked for where a package is hidden, and not missing.
    message = re.sub(r"(rosbags|mcap)\.\w+:", r"\1:", str(caught.value))
    assert message == (
        f"source {source!r} needs the package {package}: pip install 'posestream[{package}]'"
    )


def test_standard_input_and_a_named_pipe_are_recognised(tmp_path: Path) -> None:
    text = "images from standard input, uncalibrated"
    assert recognised("-") == (text, "stdin", {"path": "-"})
    os.mkfifo(tmp_path / "p")
    assert recognised(tmp_path / "p") == (
        "images from a pipe, uncalibrated", "stdin", {"path": f"{tmp_path}/p"},
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["rtsp", "http", "https", "RTSP"])
def test_an_address_is_recognised_and_its_password_not_shown(scheme: str) -> None:
    url = f"{scheme}://user:secret@10.0.0.1:554/stream"
    kind, source, options = recognised(url)
    assert kind == f"stream from {scheme}://***@10.0.0.1:554/stream, uncalibrated"
    assert (source, options) == ("url", {"url": url})


def test_an_address_of_another_kind_says_what_can_be_read() -> None:
    assert error_of("ftp://user:secret@host/a.mp4") == (
        "ftp://***@host/a.mp4 cannot be read: an address must begin with rtsp://, http://, https://"
    )


def test_a_bag_with_several_topics_is_left_to_the_settings_that_name_one(tmp_path: Path) -> None:
    sent = [*pictures(ROS1), *pictures(ROS1, topic="/right/image_raw")]
    path = write_ros1(tmp_path / "two.bag", sent)
    kind, source, options = recognised(path)
    assert (kind, source, options) == (
        "bag with several topics of images", "rosbag", {"path": str(path)}
    )  # fmt: skip
