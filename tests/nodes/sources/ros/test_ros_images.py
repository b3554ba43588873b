"""Encodings of ROS images, and the calibration that comes with them."""

import sys
from typing import Any

import cv2
import numpy as np
import pytest
from recordings import picture
from ros_bags import ROS1, ROS2, START_NS, camera_info, compressed, image

from nodes.sources.images import UndecodableError
from nodes.sources.ros.encodings import decode_ros
from nodes.sources.ros.messages import (
    COMPRESSED,
    IMAGE,
    MalformedError,
    read_camera,
    read_image,
)
from nodes.vision.camera import Camera

COLOUR = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
GREY = np.ascontiguousarray(COLOUR[..., 0])
ALPHA = np.full((48, 64, 1), 7, np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65535, (48, 64), np.uint16)


def sent(store: Any, message: Any, kind: str = IMAGE) -> Any:
    """Send a message through the serialisation of rosbags, and read it with our own."""
    is_cdr = store is ROS2
    write = store.serialize_cdr if is_cdr else store.serialize_ros1
    return read_image(bytes(write(message, message.__msgtype__)), kind, is_cdr)


@pytest.mark.parametrize("store", [ROS1, ROS2], ids=["ros1", "ros2"])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "pixels", "expected"),
    [
        ("mono8", GREY, GREY),
        ("8UC1", GREY, GREY),
        ("rgb8", COLOUR, COLOUR),
        ("bgr8", COLOUR[..., ::-1], COLOUR),
        ("8UC3", COLOUR[..., ::-1], COLOUR),
        ("rgba8", np.dstack([COLOUR, ALPHA]), COLOUR),
        ("bgra8", np.dstack([COLOUR[..., ::-1], ALPHA]), COLOUR),
        ("mono16", DEEP, (DEEP >> 8).astype(np.uint8)),
    ],
)
def test_an_image_of_each_encoding_is_decoded(
    encoding: str, pixels: np.ndarray, expected: np.ndarray, padding: int, store: Any
) -> None:
    message = image(store, np.ascontiguousarray(pixels), encoding, START_NS, padding)
    found = sent(store, message)
    decoded = decode_ros(found, "message 0", np.empty)
    np.testing.assert_array_equal(decoded, expected)
    assert decoded.flags["C_CONTIGUOUS"] and decoded.dtype == np.uint8
    assert found.stamp_ns == START_NS


def test_sixteen_bits_are_read_in_their_own_byte_order() -> None:
    assert sys.byteorder == "little"
    found = sent(ROS2, image(ROS2, DEEP.byteswap(), "mono16", START_NS, big=True))
    np.testing.assert_array_equal(decode_ros(found, "m", np.empty), (DEEP >> 8).astype(np.uint8))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_a_bayer_pattern_gives_back_the_colour_it_was_made_of(pattern: str) -> None:
    colour = {"r": 200, "g": 120, "b": 30}
    tile = np.array([colour[c] for c in pattern], np.uint8).reshape(2, 2)
    found = sent(ROS1, image(ROS1, np.tile(tile, (24, 32)), f"bayer_{pattern}8", START_NS))
    decoded = decode_ros(found, "m", np.empty)
    np.testing.assert_array_equal(np.unique(decoded.reshape(-1, 3), axis=0), [[200, 120, 30]])


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")],
)
def test_yuv_is_converted(encoding: str, order: str) -> None:
    red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    y, u, v = cv2.cvtColor(red, cv2.COLOR_RGB2YUV)[0, 0]
    values = {"y": [y, y], "u": [u], "v": [v]}
    pair = np.array([values[c].pop() for c in order], np.uint8).reshape(1, 2, 2)
    found = sent(ROS2, image(ROS2, np.tile(pair, (48, 32, 1)), encoding, START_NS))
    decoded = decode_ros(found, "m", np.empty)
    assert decoded.shape == (48, 64, 3)
    assert decoded[0, 0, 0] > 230 and decoded[0, 0, 1:].max() < 40


@pytest.mark.parametrize("form", ["jpeg", "png"])
@pytest.mark.parametrize("store", [ROS1, ROS2], ids=["ros1", "ros2"])
def test_a_compressed_image_is_decoded(form: str, store: Any) -> None:
    found = sent(store, compressed(store, picture(3), form, START_NS), COMPRESSED)
    decoded = decode_ros(found, "m", np.empty)
    assert np.abs(decoded.astype(int) - picture(3)[..., ::-1]).mean() < (1 if form == "png" else 25)
    assert (found.stamp_ns, found.encoding) == (START_NS, form)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"encoding": "32FC1"},
            "m has the encoding '32FC1', which cannot be read; readable are mono8, 8UC1, mono16, rgb8, bgr8, 8UC3, rgba8, bgra8, bayer_rggb8, bayer_bggr8, bayer_gbrg8, bayer_grbg8, yuv422, uyvy, yuv422_yuy2, yuyv",
        ),
        ({"height": 49}, "m is damaged: 9216 bytes in rows of 192 are not 64x49 pixels of rgb8"),
        ({"step": 20}, "m is damaged: 9216 bytes in rows of 20 are not 64x48 pixels of rgb8"),
        (
            {"width": 2**31, "height": 2**31},
            "m claims 2147483648x2147483648 pixels, not 1 to 150000000 pixels",
        ),
        ({"width": 0}, "m claims 0x48 pixels, not 1 to 150000000 pixels"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], reason: str) -> None:
    message = image(ROS2, COLOUR, "rgb8", START_NS)
    for key, value in changes.items():
        object.__setattr__(message, key, value)
    with pytest.raises(UndecodableError) as caught:
        decode_ros(sent(ROS2, message), "m", np.empty)
    assert str(caught.value) == reason


@pytest.mark.parametrize("store", [ROS1, ROS2], ids=["ros1", "ros2"])
def test_a_message_cut_at_any_byte_is_malformed(store: Any) -> None:
    message = image(store, COLOUR[:2, :2], "rgb8", START_NS)
    write = store.serialize_cdr if store is ROS2 else store.serialize_ros1
    data = bytes(write(message, message.__msgtype__))
    for length in range(len(data) - 3):  # CDR may end in padding
        with pytest.raises(MalformedError):
            read_image(data[:length], IMAGE, store is ROS2)


def test_big_endian_cdr_is_read() -> None:
    message = image(ROS2, COLOUR, "rgb8", START_NS)
    data = bytes(ROS2.serialize_cdr(message, message.__msgtype__, little_endian=False))
    assert data[1] == 0
    found = read_image(data, IMAGE, is_cdr=True)
    assert (found.stamp_ns, found.width, found.height) == (START_NS, 64, 48)
    with pytest.raises(MalformedError, match=r"^it is not in plain CDR \(00 07 00 00\)$"):
        read_image(b"\0\7\0\0" + data[4:], IMAGE, is_cdr=True)


def calibration(store: Any, message: Any, is_rectified: bool = False) -> Camera | None:
    is_cdr = store is ROS2
    write = store.serialize_cdr if is_cdr else store.serialize_ros1
    return read_camera(bytes(write(message, message.__msgtype__)), is_cdr, is_rectified)


@pytest.mark.parametrize("store", [ROS1, ROS2], ids=["ros1", "ros2"])
@pytest.mark.parametrize(
    ("model", "D", "expected"),
    [
        (
            "plumb_bob",
            (-0.3, 0.1, 0.001, 0.002, 0),
            Camera(64, 48, 60, 61, 31.5, 23.5, (-0.3, 0.1, 0.001, 0.002)),
        ),
        ("plumb_bob", (0, 0, 0, 0, 0), Camera(64, 48, 60, 61, 31.5, 23.5)),
        ("", (), Camera(64, 48, 60, 61, 31.5, 23.5)),
        (
            "rational_polynomial",
            tuple(range(8)),
            Camera(64, 48, 60, 61, 31.5, 23.5, tuple(range(8))),
        ),
        (
            "equidistant",
            (0.1, 0, 0, 0),
            Camera(64, 48, 60, 61, 31.5, 23.5, (0.1, 0, 0, 0), "fisheye"),
        ),
    ],
)
def test_camera_info_becomes_a_camera(
    model: str, D: tuple[float, ...], expected: Camera, store: Any
) -> None:
    assert calibration(store, camera_info(store, model, D)) == expected


def test_rectified_images_have_the_projection_and_no_distortion() -> None:
    info = camera_info(ROS1, "plumb_bob", (-0.3, 0.1, 0, 0, 0))
    assert calibration(ROS1, info, is_rectified=True) == Camera(64, 48, 50, 51, 30, 20)


def test_region_and_binning_are_applied() -> None:
    info = camera_info(ROS2, "plumb_bob", (), roi=(10, 4, 40, 50), binning_x=2, binning_y=2)
    assert calibration(ROS2, info) == Camera(25, 20, 30, 30.5, (21.5 - 0.5) / 2, (19.5 - 0.5) / 2)


def test_an_uncalibrated_camera_info_is_none_and_an_unknown_lens_is_refused() -> None:
    assert calibration(ROS1, camera_info(ROS1, "plumb_bob", (), K=[0.0] * 9)) is None
    with pytest.raises(MalformedError) as caught:
        calibration(ROS1, camera_info(ROS1, "fov", (0.9,)))
    assert str(caught.value) == ("distortion_model must be none, radtan or equidistant, not 'fov'")
