"""Writes small bags of numbered pictures with the packages that others use: rosbags and mcap."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from recordings import picture
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)
Sent = tuple[str, int, Any]
"""Topic, time of the log in nanoseconds, message."""
START_NS = 1_700_000_000_123_456_789
LATE_NS = 5_000_000
"""How much later than the picture a message is logged."""
K = [60.0, 0, 31.5, 0, 61.0, 23.5, 0, 0, 1]
TOPIC = "/camera/image_raw"


def stamp_ns(index: int) -> int:
    return START_NS + 40_000_000 * index


def header(store: Any, stamp: int) -> Any:
    time = store.types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    seq = {"seq": 7} if store is ROS1 else {}
    return store.types["std_msgs/msg/Header"](**seq, stamp=time, frame_id="optical")


def image(
    store: Any, pixels: np.ndarray, encoding: str, stamp: int, padding: int = 0, big: bool = False
) -> Any:
    """Build an Image from an array (H, W[, C]) as it lies in memory."""
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return store.types["sensor_msgs/msg/Image"](
        header=header(store, stamp),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=rows.ravel(),
    )


def compressed(store: Any, pixels: np.ndarray, form: str, stamp: int) -> Any:
    data = np.frombuffer(cv2.imencode(f".{form}", pixels)[1].tobytes(), np.uint8)
    return store.types["sensor_msgs/msg/CompressedImage"](
        header=header(store, stamp), format=form, data=data
    )


def camera_info(store: Any, model: str, D: Sequence[float], **changes: Any) -> Any:
    """Build a CameraInfo of 64x48 pixels."""
    roi = store.types["sensor_msgs/msg/RegionOfInterest"]
    names = ("D", "K", "R", "P") if store is ROS1 else ("d", "k", "r", "p")
    P = [50.0, 0, 30.0, 0, 0, 51.0, 20.0, 0, 0, 0, 1, 0]
    arrays = [np.array(a, np.float64) for a in (D, changes.pop("K", K), np.eye(3).ravel(), P)]
    return store.types["sensor_msgs/msg/CameraInfo"](**{
        "header": header(store, START_NS), "height": 48, "width": 64, "distortion_model": model,
        **dict(zip(names, arrays, strict=True)), "binning_x": 0, "binning_y": 0,
        "roi": roi(*changes.pop("roi", (0, 0, 0, 0)), False), **changes,
    })  # fmt: skip


def pictures(store: Any, count: int = 6, topic: str = TOPIC) -> list[Sent]:
    """Return numbered pictures (BGR), logged a little later than they were taken."""
    stamps = [stamp_ns(i) for i in range(count)]
    return [
        (topic, stamp + LATE_NS, image(store, picture(i), "bgr8", stamp))
        for i, stamp in enumerate(stamps)
    ]


def write_ros1(path: Path, sent: Iterable[Sent], compression: str = "") -> Path:
    writer = Writer1(path)
    if compression:
        writer.set_compression(Writer1.CompressionFormat[compression])
    with writer:
        connections: dict[str, Any] = {}
        for topic, log_ns, message in sent:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS1)
            writer.write(connections[topic], log_ns, ROS1.serialize_ros1(message, kind))
    return path


def write_ros2(path: Path, sent: Iterable[Sent], storage: str = "SQLITE3") -> Path:
    with Writer2(path, version=8, storage_plugin=StoragePlugin[storage]) as writer:
        connections: dict[str, Any] = {}
        for topic, log_ns, message in sent:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS2)
            writer.write(connections[topic], log_ns, ROS2.serialize_cdr(message, kind))
    return path


def write_mcap(
    path: Path, sent: Iterable[Sent], store: Any = ROS2, cut: int | None = None, **settings: Any
) -> Path:
    """Write an MCAP file of one chunk for each picture, unless the settings say otherwise.

    Of message number `cut` only the first 5000 bytes are written.
    """
    settings = {"chunk_size": 5000, "compression": CompressionType.ZSTD, **settings}
    is_ros1 = store is ROS1
    with path.open("wb") as file:
        writer = McapWriter(file, **settings)
        writer.start("ros1" if is_ros1 else "ros2")
        channels: dict[str, int] = {}
        for i, (topic, log_ns, message) in enumerate(sent):
            kind = message.__msgtype__
            if topic not in channels:
                name = kind.replace("/msg/", "/") if is_ros1 else kind
                schema = writer.register_schema(name, "ros1msg" if is_ros1 else "ros2msg", b"")
                channels[topic] = writer.register_channel(
                    topic, "ros1" if is_ros1 else "cdr", schema
                )
            data = (store.serialize_ros1 if is_ros1 else store.serialize_cdr)(message, kind)
            data = bytes(data)[: 5000 if i == cut else None]
            writer.add_message(channels[topic], log_ns, data, log_ns)
        writer.finish()
    return path
