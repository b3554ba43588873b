"""Builds small pictures and recordings."""

import struct
from collections.abc import Sequence

import cv2
import numpy as np


def picture(index: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Return a grey-looking BGR picture: the brightness above tells its index, below is noise."""
    image = np.full((height, width, 3), 20 + 5 * index, np.uint8)
    noise = np.random.default_rng(index).integers(0, 255, (height // 2, width, 1), np.uint8)
    image[height // 2 :] = noise
    return image


def matroska(stamps_ms: Sequence[int], pictures: Sequence[np.ndarray] | None = None) -> bytes:
    """Build a Matroska file (RFC 9559): one cluster for each picture, times in milliseconds."""
    pictures = pictures or [picture(i) for i in range(len(stamps_ms))]
    header = [element("4282", b"matroska"), element("4287", number(4)), element("4285", number(2))]
    duration = struct.pack(">d", float(stamps_ms[-1] + 40))
    info = [element("2AD7B1", number(10**6)), element("4489", duration)]
    size = element("B0", number(64)) + element("BA", number(48))
    entry = [element("D7", number(1)), element("73C5", number(1)), element("83", number(1))]
    track = element("AE", b"".join([*entry, element("86", b"V_MJPEG"), element("E0", size)]))
    clusters = [
        element("1F43B675", element("E7", number(stamp)) + element("A3", b"\x81\0\0\x80" + jpeg(p)))
        for p, stamp in zip(pictures, stamps_ms, strict=True)
    ]
    body = element("1549A966", b"".join(info)) + element("1654AE6B", track) + b"".join(clusters)
    return element("1A45DFA3", b"".join(header)) + element("18538067", body)


def element(identity: str, content: bytes) -> bytes:
    return bytes.fromhex(identity) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def jpeg(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image)[1])
