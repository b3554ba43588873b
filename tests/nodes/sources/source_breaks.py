"""Breaks inputs of every source, and tells with which message and exit code that ends.

The inputs are those of `write_inputs`, in the current folder.
"""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import ros_bags
from layouts import write_euroc, write_kitti, write_pictures, write_tum
from recordings import jpeg, picture
from servers import Mjpeg

from nodes.capture import Capture
from nodes.sources import SOURCES, recognise
from nodes.sources.ffmpeg import prepare_environment
from pipeline.errors import PosestreamError
from pipeline.launch import graph_for
from pipeline.node import Resources, TruncatedError, Unreadable

Fault = tuple[str, str]
"""A message and the exit code that belongs to it."""


def write_inputs() -> None:
    """Write a small input of each recorded source."""
    prepare_environment()
    for name, codec in (("talk.mp4", "mp4v"), ("talk.avi", "MJPG")):
        fourcc = cv2.VideoWriter.fourcc(*codec)
        writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, fourcc, 25, (64, 48))
        for i in range(20):
            writer.write(picture(i))
        writer.release()
    write_pictures(Path("photos"), [f"{i}.png" for i in range(5)])
    write_pictures(Path("walk/frames"), [f"{i}.png" for i in range(5)])
    write_tum(Path("desk"))
    write_kitti(Path("odometry"))
    Path("flight").mkdir()
    write_euroc(Path("flight"))
    ros_bags.write_ros1(Path("room.bag"), ros_bags.pictures(ros_bags.ROS1))
    ros_bags.write_ros2(Path("room_ros2"), ros_bags.pictures(ros_bags.ROS2))
    ros_bags.write_mcap(Path("room.mcap"), ros_bags.pictures(ros_bags.ROS2))
    Path("pipe").write_bytes(b"".join(jpeg(picture(i)) for i in range(3)))


def run(source: str, **options: Any) -> Fault:
    """Capture all frames of a source; return the first fault that is met."""
    try:
        capture = Capture(Capture.Params(source, options))
        capture.open(Resources(node="capture"))
        try:
            for item in capture.produce():
                if isinstance(item, Unreadable):
                    return item.reason, "0 (3)"
        finally:
            capture.close()
    except TruncatedError as error:
        return str(error), "3"
    except PosestreamError as error:
        return str(error), str(error.exit_code)
    return "", "0"


def told(target: str) -> Fault:
    """Return the fault that is met when an input is recognised."""
    with pytest.raises(PosestreamError) as caught:
        recognise(target)
    return str(caught.value), str(caught.value.exit_code)


def refused(target: str, setting: str) -> Fault:
    """Return the fault of a setting."""
    with pytest.raises(PosestreamError) as caught:
        graph_for(target, "pairs", [setting], None, None, say=lambda text: None)
    return str(caught.value), str(caught.value.exit_code)


def written(path: str, text: str | bytes) -> str:
    Path(path).write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def cut(path: str, share: float = 0.6) -> str:
    data = Path(path).read_bytes()
    return written(path, data[: round(len(data) * share)])


def changed(path: str, line: int, text: str) -> None:
    lines = Path(path).read_text().splitlines()
    lines[line - 1] = text
    written(path, "\n".join(lines) + "\n")


def two_topics() -> str:
    Path("room.bag").unlink()
    sides = [
        ros_bags.pictures(ros_bags.ROS1, 6, f"/{side}/image_raw") for side in ("left", "right")
    ]
    return str(ros_bags.write_ros1(Path("room.bag"), sides[0] + sides[1]))


def never_closed() -> Fault:
    data = Path("room.bag").read_bytes()
    at = data.index(b"index_pos=") + len(b"index_pos=")
    return told(written("room.bag", data[:at] + bytes(8) + data[at + 8 :]))


def gone_server() -> Fault:
    with Mjpeg() as server:
        options = {"url": server.url, "timeout_s": 0.5, "give_up_s": 0.3}
        capture = Capture(Capture.Params("url", options))
        capture.open(Resources(node="capture"))
        with pytest.raises(TruncatedError) as caught:
            for item in capture.produce():
                if item is not None and item.seq == 3:
                    server.die()
        capture.close()
    return str(caught.value), "3"


def no_server() -> Fault:
    with Mjpeg() as server:
        address = server.url
    url = address.replace("//", "//alice:secret@").replace("stream", "1?token=secret")
    return run("url", url=url)


def wrong_calibration() -> Fault:
    text = "width: 640\nheight: 480\nfx: 500\nfy: 500\ncx: 320\ncy: 240\ndistortion_model: none\n"
    written("walk/camera.yaml", text)
    return run("dataset", path="walk")


def no_images() -> None:
    shutil.rmtree("photos")
    Path("photos").mkdir()
    written("photos/notes.txt", "nothing here")


def wrong_truth() -> Fault:
    written("walk/groundtruth.txt", "0 0 0 0 0 0 0 1\n0.1 1 2\n")
    try:
        SOURCES.create("dataset", {"path": "walk"}).groundtruth()
    except PosestreamError as error:
        return str(error), str(error.exit_code)
    return "", "0"


def without(package: str, path: str) -> Fault:
    """Recognise a bag while a package is hidden."""
    module = "rosbag" if package == "rosbags" else "mcap_file"
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, f"nodes.sources.ros.{module}", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        message, code = told(path)
    # Python names the part that was asked for where a package is hidden, and not missing.
    return re.sub(r"(rosbags|mcap)\.\w+:", r"\1:", message), code


def after(breaking: Callable[[], object], fault: Callable[[], Fault]) -> Fault:
    """Break something, then return the fault."""
    breaking()
    return fault()


BREAKS: dict[tuple[str, str], Callable[[], Fault]] = {
    ("video", "an MP4 without its end"): lambda: told(cut("talk.mp4")),
    ("video", "another name"): lambda: told("tolk.mp4"),
    ("video", "empty"): lambda: told(written("talk.mp4", "")),
    ("video", "something else"): lambda: told(written("talk.mp4", "a letter")),
    ("video", "an AVI without its end"): lambda: run("video", path=cut("talk.avi")),
    ("folder", "a wrong name"): lambda: told("photoes"),
    ("folder", "without images"): lambda: after(no_images, lambda: told("photos")),
    ("folder", "one image"): lambda: told("photos/0.png"),
    ("folder", "too few times"): lambda: after(
        lambda: written("photos/timestamps.txt", "0\n1\n"), lambda: run("folder", path="photos")
    ),
    ("folder", "an image cut off"): lambda: after(
        lambda: cut("photos/3.png"), lambda: run("folder", path="photos")
    ),
    ("dataset", "a line of its truth"): wrong_truth,
    ("dataset", "without a recording"): lambda: after(
        lambda: shutil.rmtree("walk/frames"), lambda: run("dataset", path="walk")
    ),
    ("dataset", "a calibration of another size"): wrong_calibration,
    ("tum", "a line of its list"): lambda: after(
        lambda: changed("desk/rgb.txt", 4, "rgb/2.png"), lambda: run("tum", path="desk")
    ),
    ("tum", "no image there"): lambda: after(
        lambda: shutil.rmtree("desk/rgb"), lambda: run("tum", path="desk")
    ),
    ("tum", "one image missing"): lambda: after(
        Path("desk/rgb/1305031102.208304.png").unlink, lambda: run("tum", path="desk")
    ),
    ("tum", "an unknown camera"): lambda: refused("desk", "capture.params.options.camera=kinect"),
    ("kitti", "too few times"): lambda: after(
        lambda: written("odometry/sequences/00/times.txt", "0\n1\n2\n"),
        lambda: run("kitti", path="odometry/sequences/00"),
    ),
    ("kitti", "several sequences"): lambda: after(
        lambda: write_kitti(Path("odometry"), number="01"), lambda: told("odometry")
    ),
    ("kitti", "no such camera"): lambda: run(
        "kitti", path="odometry/sequences/00", camera_folder="image_2"
    ),
    ("euroc", "a line of its list"): lambda: after(
        lambda: changed("flight/mav0/cam0/data.csv", 3, "12.5,a.png"),
        lambda: run("euroc", path="flight"),
    ),
    ("euroc", "no such camera"): lambda: run("euroc", path="flight", camera="cam1"),
    ("rosbag", "cut off"): lambda: run("rosbag", path=cut("room.bag")),
    ("rosbag", "something else"): lambda: told(written("room.bag", "a letter")),
    ("rosbag", "never closed"): never_closed,
    ("rosbag", "ROS 2 without metadata"): lambda: after(
        Path("room_ros2/metadata.yaml").unlink, lambda: told("room_ros2")
    ),
    ("rosbag", "several cameras"): lambda: run("rosbag", path=two_topics()),
    ("rosbag", "another topic"): lambda: run("rosbag", path="room.bag", topic="/left"),
    ("rosbag", "the package is missing"): lambda: without("rosbags", "room.bag"),
    ("mcap", "cut off"): lambda: run("mcap", path=cut("room.mcap")),
    ("mcap", "something else"): lambda: told(written("room.mcap", "a letter")),
    ("mcap", "the package is missing"): lambda: without("mcap", "room.mcap"),
    ("stdin", "cut off"): lambda: run("stdin", path=cut("pipe", 0.9)),
    ("stdin", "nothing in it"): lambda: run("stdin", path=written("pipe", "")),
    ("stdin", "no image"): lambda: run("stdin", path=written("pipe", "hello\n")),
    ("camera", "absent"): lambda: run("camera", device=3),
    ("camera", "unplugged for too long"): lambda: run("camera", give_up_s=0.2),
    ("url", "nobody there"): no_server,
    ("url", "gone for too long"): gone_server,
    ("url", "another kind of address"): lambda: told("ftp://10.0.0.7/talk.mp4"),
    ("synthetic", "a motion that is none"): lambda: refused(
        "synthetic", "capture.params.options.motion=walk"
    ),
    ("synthetic", "too fast"): lambda: refused("synthetic", "capture.params.options.speed=21"),
}
