"""ROS 1 bags, ROS 2 bags and MCAP files as sources."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from recordings import picture
from ros_bags import (
    ROS1,
    ROS2,
    START_NS,
    TOPIC,
    Sent,
    camera_info,
    compressed,
    image,
    pictures,
    stamp_ns,
    write_mcap,
    write_ros1,
    write_ros2,
)

from nodes.sources import SOURCES
from nodes.sources.base import EndedEarlyError, FrameSource, Picture, Selection
from nodes.vision.camera import Camera
from pipeline.errors import InputError

ALL = Selection()
Writer = Callable[[Path, list[Sent]], Path]
FORMS: dict[str, tuple[str, str, Any, Writer]] = {
    "ros1": ("rosbag", "a.bag", ROS1, write_ros1),
    "ros1-bz2": ("rosbag", "a.bag", ROS1, lambda p, s: write_ros1(p, s, "BZ2")),
    "ros1-lz4": ("rosbag", "a.bag", ROS1, lambda p, s: write_ros1(p, s, "LZ4")),
    "ros2-db3": ("rosbag", "bag", ROS2, write_ros2),
    "ros2-mcap": ("rosbag", "bag", ROS2, lambda p, s: write_ros2(p, s, "MCAP")),
    "mcap-ros2": ("mcap", "a.mcap", ROS2, write_mcap),
    "mcap-ros1": ("mcap", "a.mcap", ROS1, lambda p, s: write_mcap(p, s, ROS1, compression=CompressionType.LZ4)),
    "mcap-plain": ("mcap", "a.mcap", ROS2, lambda p, s: write_mcap(p, s, use_chunking=False)),
    "mcap-bare": ("mcap", "a.mcap", ROS2, lambda p, s: write_mcap(p, s, use_statistics=False, use_summary_offsets=False, repeat_channels=False, repeat_schemas=False)),
}  # fmt: skip


def opened(name: str, path: Path, **options: Any) -> FrameSource:
    source: FrameSource = SOURCES.create(name, {"path": str(path), **options})
    source.open(lambda text: None)
    return source


def error_of(name: str, path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        opened(name, path, **options)
    return str(caught.value)


def taken(source: FrameSource) -> tuple[list[Picture], str]:
    """Return the pictures, and why they ended early."""
    found = []
    try:
        found.extend(p for p in source.frames(ALL) if p)
    except EndedEarlyError as error:
        return found, str(error)
    return found, ""


def bag(
    form: str, folder: Path, change: Callable[[list[Sent]], object] = len
) -> tuple[str, Path, Any]:
    name, file, store, write = FORMS[form]
    sent = pictures(store)
    change(sent)
    return name, write(folder / file, sent), store


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_its_pictures_with_the_times_of_their_headers(
    form: str, tmp_path: Path
) -> None:
    name, path, _ = bag(form, tmp_path)
    source = opened(name, path)
    assert (source.length(), source.size, source.camera) == (6, (64, 48), None)
    found, why = taken(source)
    assert why == "" and [p.index for p in found] == list(range(6))
    assert [p.stamp_ns for p in found] == [stamp_ns(i) for i in range(6)]
    for i, one in enumerate(found):
        np.testing.assert_array_equal(one.image, picture(i)[..., ::-1])
    assert [p.index for p in source.frames(Selection(1, 5, 3)) if p] == [1, 4]


@pytest.mark.parametrize("form", FORMS)
def test_the_calibration_is_that_of_the_same_camera(form: str, tmp_path: Path) -> None:
    def change(sent: list[Sent]) -> None:
        store = FORMS[form][2]
        for topic, K in (("/camera", 60.0), ("/other", 9.0)):
            info = camera_info(store, "plumb_bob", [], K=[K, 0, 31.5, 0, 61, 23.5, 0, 0, 1])
            sent.insert(0, (f"{topic}/camera_info", START_NS, info))

    name, path, _ = bag(form, tmp_path, change)
    assert SOURCES.create(name, {"path": str(path)}).camera == Camera(64, 48, 60, 61, 31.5, 23.5)


def test_a_bag_that_is_gone_has_no_calibration(tmp_path: Path) -> None:
    for name in ("rosbag", "mcap"):
        assert SOURCES.create(name, {"path": str(tmp_path / "gone")}).camera is None


@pytest.mark.parametrize("form", ["ros1", "ros2-db3", "mcap-ros2"])
def test_several_topics_must_be_chosen_from(form: str, tmp_path: Path) -> None:
    name, path, _ = bag(
        form, tmp_path, lambda sent: sent.extend(pictures(FORMS[form][2], 2, "/right/image_raw"))
    )
    assert error_of(name, path) == (
        f"{path} has several topics of images: {TOPIC} (6 of sensor_msgs/Image), "
        f"/right/image_raw (2 of sensor_msgs/Image); choose one: "
        f"--set capture.params.options.topic={TOPIC}"
    )
    assert opened(name, path, topic="/right/image_raw").length() == 2
    assert error_of(name, path, topic="/left") == (
        f"{path} has no images on the topic /left; its topics are: "
        f"{TOPIC} (6 of sensor_msgs/Image), /right/image_raw (2 of sensor_msgs/Image)"
    )


@pytest.mark.parametrize("form", ["ros1", "ros2-mcap", "mcap-ros1"])
def test_a_bag_without_images_says_what_it_has(form: str, tmp_path: Path) -> None:
    name, file, store, write = FORMS[form]
    path = write(tmp_path / file, [("/camera_info", 5, camera_info(store, "plumb_bob", []))])
    assert error_of(name, path) == (
        f"{path} has no images (sensor_msgs/Image or sensor_msgs/CompressedImage); its topics "
        "are: /camera_info (1 of sensor_msgs/CameraInfo)"
    )


@pytest.mark.parametrize("form", ["ros1", "ros2-db3", "mcap-ros2"])
def test_compressed_images_are_read(form: str, tmp_path: Path) -> None:
    name, file, store, write = FORMS[form]
    sent = [
        ("/camera/image_raw/compressed", i + 1, compressed(store, picture(i), "png", stamp_ns(i)))
        for i in range(3)
    ]
    info = ("/camera/camera_info", 0, camera_info(store, "plumb_bob", []))
    source = opened(name, write(tmp_path / file, [info, *sent]))
    assert source.camera is not None
    np.testing.assert_array_equal(
        [p.image for p in taken(source)[0]], [picture(i)[..., ::-1] for i in range(3)]
    )


def test_a_header_without_a_time_has_that_of_the_log(tmp_path: Path) -> None:
    sent = [(TOPIC, log, image(ROS2, picture(0), "bgr8", 0)) for log in (10, 20, 30)]
    warnings: list[str] = []
    source = SOURCES.create("mcap", {"path": str(write_mcap(tmp_path / "a.mcap", sent))})
    source.open(warnings.append)
    assert [p.stamp_ns for p in source.frames(ALL)] == [10, 20, 30] and not warnings


def test_times_that_do_not_rise_are_made_to(tmp_path: Path) -> None:
    sent = [(TOPIC, i, image(ROS1, picture(0), "bgr8", t)) for i, t in enumerate((50, 40, 60))]
    warnings: list[str] = []
    path = write_ros1(tmp_path / "a.bag", sent)
    source = SOURCES.create("rosbag", {"path": str(path)})
    source.open(warnings.append)
    assert [p.stamp_ns for p in source.frames(ALL)] == [50, 51, 60]
    assert warnings == [f"{path}: the times of {TOPIC} do not rise from image to image"]


def test_a_damaged_message_is_a_frame_with_a_reason(tmp_path: Path) -> None:
    sent = pictures(ROS1)
    sent[2][2].step = 10
    path = write_mcap(tmp_path / "a.mcap", sent, ROS1, cut=4)
    found, why = taken(opened("mcap", path))
    assert [p.reason for p in found] == [
        "",
        "",
        "message 2 is damaged: 9216 bytes in rows of 10 are not 64x48 pixels of bgr8",
        "",
        "message 4 is damaged: it ends after 5000 bytes, 9264 are claimed",
        "",
    ]
    assert found[4].image is None and found[4].stamp_ns == stamp_ns(3) + 1 and why == ""


def test_mono16_is_reduced_with_a_note_and_depth_is_refused(tmp_path: Path) -> None:
    deep = np.full((48, 64), 0x1234, np.uint16)
    warnings: list[str] = []
    path = write_ros2(tmp_path / "a", [(TOPIC, 1, image(ROS2, deep, "mono16", 1))])
    source = SOURCES.create("rosbag", {"path": str(path)})
    source.open(warnings.append)
    (found,) = source.frames(ALL)
    assert np.unique(found.image).tolist() == [0x12]
    assert set(warnings) == {f"{path}: of the 16 bits of mono16 the upper 8 are used"}
    path = write_ros2(tmp_path / "b", [(TOPIC, 1, image(ROS2, deep, "16UC1", 1))])
    assert error_of("rosbag", path).startswith(
        f"{path}: message 0 has the encoding '16UC1', which cannot be read; readable are mono8,"
    )


@pytest.mark.parametrize("form", ["ros1", "mcap-ros2", "mcap-ros1", "mcap-plain"])
def test_what_is_before_a_cut_is_given(form: str, tmp_path: Path) -> None:
    name, path, _ = bag(form, tmp_path)
    whole = path.read_bytes()
    for share, least in ((0.5, 2), (0.8, 3), (0.95, 4)):
        path.write_bytes(whole[: round(share * len(whole))])
        source = opened(name, path)
        found, why = taken(source)
        assert source.length() is None and least <= len(found) < 6
        assert why == (
            f"{path} is cut off or damaged after {len(found)} images of {TOPIC}: "
            "the file ends inside a record"
        )
        np.testing.assert_array_equal(found[1].image, picture(1)[..., ::-1])


@pytest.mark.parametrize("form", ["ros1", "ros2-db3", "ros2-mcap", "mcap-ros2", "mcap-ros1"])
def test_any_cut_and_any_flipped_byte_is_told(form: str, tmp_path: Path) -> None:
    """Never a crash, and never fewer frames without a word."""
    name, path, _ = bag(form, tmp_path)
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != ".yaml")
    whole, random = file.read_bytes(), np.random.default_rng(3)
    for trial in range(40):
        place = int(random.integers(len(whole)))
        flipped = bytes([whole[place] ^ 1 << int(random.integers(8))])
        file.write_bytes(whole[:place] + (b"" if trial % 2 else flipped + whole[place + 1 :]))
        try:
            found, why = taken(opened(name, path))
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        assert len(found) == 6 or why


@pytest.mark.parametrize("form", ["mcap-ros2", "ros2-db3"])
def test_a_bag_with_fewer_messages_than_it_claims_ends_early(form: str, tmp_path: Path) -> None:
    name, path, _ = bag(form, tmp_path)
    if form == "ros2-db3":
        metadata = path / "metadata.yaml"
        metadata.write_text(metadata.read_text().replace("message_count: 6", "message_count: 8"))
        found, why = taken(opened(name, path))
        assert len(found) == 6
        assert (
            why
            == f"{path} is cut off or damaged after 6 of 8 images of {TOPIC}: messages are missing"
        )
        return
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 255
    path.write_bytes(data)
    found, why = taken(opened(name, path))
    assert len(found) < 6 and why.startswith(
        f"{path} is cut off or damaged after {len(found)} of 6"
    )


def test_a_bag_that_was_not_closed_says_how_to_mend_it(tmp_path: Path) -> None:
    _, path, _ = bag("ros1", tmp_path)
    data = path.read_bytes()
    start = data.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(data[:start] + bytes(8) + data[start + 8 :])
    assert error_of("rosbag", path) == (
        f"{path} has no index: it was not closed when it was recorded; run 'rosbag reindex a.bag'"
    )


def test_what_is_no_bag_is_refused(tmp_path: Path) -> None:
    for name in ("a.bag", "a.mcap"):
        (tmp_path / name).write_text("a letter\n" * 20)
    (tmp_path / "empty.bag").touch()
    (tmp_path / "folder").mkdir()
    assert {
        error_of("rosbag", tmp_path / "a.bag"),
        error_of("mcap", tmp_path / "a.mcap"),
        error_of("rosbag", tmp_path / "empty.bag"),
        error_of("rosbag", tmp_path / "b"),
        error_of("rosbag", tmp_path / "folder"),
    } == {
        f"{tmp_path}/a.bag is not a ROS 1 bag of version 2.0",
        f"{tmp_path}/a.mcap is not an MCAP file",
        f"{tmp_path}/empty.bag is empty (0 bytes)",
        f"no such bag: {tmp_path}/b",
        f"{tmp_path}/folder is no ROS 2 bag: it has no metadata.yaml; run 'ros2 bag reindex'",
    }


def test_a_cut_database_is_refused_and_a_cut_mcap_shows_the_way(tmp_path: Path) -> None:
    _, path, _ = bag("ros2-db3", tmp_path)
    file = path / "bag.db3"
    file.write_bytes(file.read_bytes()[:30_000])
    assert error_of("rosbag", path) == (
        f"{path} cannot be read as a ROS bag: Cannot open database {file}: "
        "database disk image is malformed"
    )
    shutil.rmtree(path)
    _, path, _ = bag("ros2-mcap", tmp_path)
    file = path / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-20])
    assert error_of("rosbag", path) == (
        f"{path} cannot be read as a ROS bag: File end magic is invalid.; name its .mcap file "
        "itself to get what is before a cut"
    )
    assert len(taken(opened("mcap", file))[0]) == 6


def test_images_that_are_not_of_ros_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start()
        schema = writer.register_schema("foxglove.CompressedImage", "protobuf", b"")
        channel = writer.register_channel("/cam", "protobuf", schema)
        writer.add_message(channel, 1, b"", 1)
        writer.finish()
    assert error_of("mcap", path) == (
        f"{path} has images in forms that cannot be read: /cam (foxglove.CompressedImage, "
        "protobuf); readable are those of ROS 1 and ROS 2"
    )
