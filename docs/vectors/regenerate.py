"""Test vectors of the wire format: `python docs/vectors/regenerate.py` writes them anew.

NAME.bin is one published message: of each of its parts the length, uint32 little endian, and the
bytes. index.json says what it decodes to. docs/protocol.md explains both.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nodes.messages import Features, Frame, RelativePose
from nodes.vision.camera import Camera
from pipeline.messages import Item, Kind
from pipeline.wire import encode

HERE = Path(__file__).parent
SENT_NS = 1_000_000_500
BORN_NS = 1_000_000_000
CAMERA = Camera(640, 480, 525.0, 525.5, 319.5, 239.5, distortion=(0.1, -0.2, 0.0, 0.0))


def pose(**changes: Any) -> Item:
    values: dict[str, Any] = {
        "stream": "cam", "seq": 7, "stamp_ns": 233_333_333, "seq_prev": 6,
        "stamp_ns_prev": 200_000_000, "num_matches": 4, "num_inliers": 3, "camera": CAMERA,
    }  # fmt: skip
    return Item.data(RelativePose(**values | changes), BORN_NS)


def turned() -> np.ndarray:
    """Return T_cur_prev (4, 4): a turn about z, and a step of 1 along x."""
    T = np.eye(4)
    T[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    T[0, 3] = 1.0
    return T


def vectors() -> dict[str, tuple[str, int, Item]]:
    """Return the vectors: name -> (topic, number, item)."""
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    frame = Frame(
        stream="cam", seq=0, stamp_ns=0, image=picture, camera=Camera(3, 2, 2.0, 2.0, 1.0, 0.5),
        mask=np.array([[255, 255, 0], [255, 0, 0]], np.uint8),
    )  # fmt: skip
    features = Features(
        stream="cam", seq=3, stamp_ns=100_000_000, camera=CAMERA,
        keypoints=np.array([[10.25, 20.5], [639.0, 0.0]], np.float32),
        scores=np.array([0.75, 0.5], np.float32), sizes=np.array([3.0, 4.5], np.float32),
        angles=np.array([1.5, np.nan], np.float32),
        descriptors=np.array([[0, 1, 2, 255], [4, 5, 6, 7]], np.uint8),
    )  # fmt: skip
    covariance = np.diag([1e-6, 2e-6, 3e-6, 4e-4, 5e-4])
    return {
        "pose": ("pose.pose/cam", 7, pose(
            label="general", T_cur_prev=turned(), covariance=covariance,
            inliers=np.array([True, False, True, True]),
        )),
        "pose_lost": ("pose.pose/cam", 8, pose(
            seq=8, stamp_ns=266_666_666, seq_prev=7, stamp_ns_prev=233_333_333, num_inliers=0,
            label="lost", reason="too_few_matches: 4 < 8",
        )),
        "features": ("detector.features/cam", 3, Item.data(features, BORN_NS)),
        "frame": ("capture.frame/cam", 0, Item.data(frame, BORN_NS)),
        "skip": ("pose.pose/cam", 0, Item(Kind.SKIP, "cam", 0, 0, BORN_NS, reason="first_frame")),
        "error": ("capture.frame/cam", 4, Item(
            Kind.ERROR, "cam", 4, 133_333_333, BORN_NS, reason="0004.png cannot be decoded"
        )),
        "break": ("matcher.matches/cam", 5, Item(
            Kind.BREAK, "cam", 5, 166_666_666, BORN_NS, reason="size changed"
        )),
        "gap": ("pose.pose/cam", 6, Item(
            Kind.GAP, "cam", 10, 333_333_333, BORN_NS, reason="dropped: matcher was busy",
            count=3, last=12,
        )),
        "eos": ("pose.pose/cam", 9, Item(Kind.EOS, "cam", 0, 0, reason="interrupted", count=12)),
    }  # fmt: skip


def parts_of(name: str) -> list[bytes]:
    """Return the parts of a vector: topic, header, one buffer for each array."""
    topic, number, item = vectors()[name]
    return [topic.encode(), *(bytes(part) for part in encode(item, number, SENT_NS))]


def join(parts: list[bytes]) -> bytes:
    """Return the content of the file of a message."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def split(content: bytes) -> list[bytes]:
    """Return the parts that a file holds."""
    parts = []
    while content:
        (length,) = struct.unpack_from("<I", content)
        parts.append(content[4 : 4 + length])
        content = content[4 + length :]
    return parts


def entry(name: str) -> dict[str, Any]:
    """Say what a vector decodes to; NaN stands as a string, as JSON has none."""
    topic, _, item = vectors()[name]
    header = msgspec.msgpack.decode(parts_of(name)[1])
    message = item.message
    arrays = {
        part: {"dtype": dtype, "shape": shape, "values": plain(getattr(message, part).tolist())}
        for part, dtype, shape in header.pop("parts")
    }
    return {"topic": topic, "header": header, "arrays": arrays}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def index() -> str:
    """Return the content of index.json."""
    entries = [f"{json.dumps(name)}: {json.dumps(entry(name))}" for name in vectors()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def main() -> None:
    """Write all files."""
    for name in vectors():
        (HERE / f"{name}.bin").write_bytes(join(parts_of(name)))
    (HERE / "index.json").write_text(index())


if __name__ == "__main__":
    main()
