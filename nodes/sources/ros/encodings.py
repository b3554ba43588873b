"""Turns the images of ROS into pictures: the encodings of sensor_msgs/image_encodings.h.

Grey stays grey, colour becomes RGB, 16 bits are reduced to their upper 8, alpha is dropped.
"""

import cv2
import numpy as np
import numpy.typing as npt

from nodes.sources.images import MAX_PIXELS, UndecodableError, decode_image
from nodes.sources.ros.messages import RosImage
from nodes.vision.images import Allocate, Image

GREY = {"mono8": np.uint8, "8UC1": np.uint8, "mono16": np.uint16}
CHANNELS = {
    "rgb8": (3, [0, 1, 2]), "bgr8": (3, [2, 1, 0]), "8UC3": (3, [2, 1, 0]),
    "rgba8": (4, [0, 1, 2]), "bgra8": (4, [2, 1, 0]),
}  # fmt: skip
"""Bytes of a pixel, and which of them are red, green and blue."""
BAYER = {
    "bayer_rggb8": cv2.COLOR_BayerRGGB2RGB, "bayer_bggr8": cv2.COLOR_BayerBGGR2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGBRG2RGB, "bayer_grbg8": cv2.COLOR_BayerGRBG2RGB,
}  # fmt: skip
YUV = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY, "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2, "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}  # fmt: skip
ENCODINGS = (*GREY, *CHANNELS, *BAYER, *YUV)


def decode_ros(image: RosImage, name: str, empty: Allocate) -> Image:
    """Return (H, W) or, in an array made by `empty`, (H, W, 3) uint8; `name` is for messages.

    Raises:
        UndecodableError: the encoding is not known, or the data do not fit it.
    """
    if image.step == 0 and image.width == 0:
        return decode_image(name, bytes(image.data), empty)
    if image.encoding in GREY:
        return _grey(image, name)
    if image.encoding in CHANNELS:
        count, order = CHANNELS[image.encoding]
        pixels = _rows(image, name, count).reshape(image.height, image.width, count)
        picture: Image = empty((image.height, image.width, 3), np.uint8)
        for channel, source in enumerate(order):
            picture[..., channel] = pixels[..., source]
        return picture
    if image.encoding in BAYER:
        return _convert(_rows(image, name, 1), BAYER[image.encoding], empty)
    if image.encoding in YUV:
        pixels = _rows(image, name, 2).reshape(image.height, image.width, 2)
        return _convert(pixels, YUV[image.encoding], empty)
    raise UndecodableError(
        f"{name} has the encoding {image.encoding!r}, which cannot be read; "
        f"readable are {', '.join(ENCODINGS)}"
    )


def _grey(image: RosImage, name: str) -> Image:
    dtype = np.dtype(GREY[image.encoding])
    rows = _rows(image, name, dtype.itemsize)
    if dtype == np.uint8:
        return rows.copy()
    upper = 0 if image.is_bigendian else 1
    return rows.reshape(image.height, image.width, 2)[..., upper].copy()


def _rows(image: RosImage, name: str, num_bytes: int) -> Image:
    """Return the rows (H, W * num_bytes) without their padding."""
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise UndecodableError(
            f"{name} claims {image.width}x{image.height} pixels, not 1 to {MAX_PIXELS} pixels"
        )
    needed = image.width * num_bytes
    if image.step < needed or len(image.data) < image.step * image.height:
        raise UndecodableError(
            f"{name} is damaged: {len(image.data)} bytes in rows of {image.step} are not "
            f"{image.width}x{image.height} pixels of {image.encoding}"
        )
    data: npt.NDArray[np.uint8] = np.frombuffer(image.data, np.uint8, image.step * image.height)
    return np.ascontiguousarray(data.reshape(image.height, image.step)[:, :needed])


def _convert(pixels: Image, code: int, empty: Allocate) -> Image:
    picture = empty((*pixels.shape[:2], 3), np.uint8)
    try:
        return np.asarray(cv2.cvtColor(pixels, code, dst=picture), np.uint8)
    except cv2.error as error:  # such as 4:2:2 of an odd width
        raise UndecodableError(
            f"a picture of {pixels.shape[1]}x{pixels.shape[0]} pixels cannot be converted to colour"
        ) from error
