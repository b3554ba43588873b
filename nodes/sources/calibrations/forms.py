"""The forms that calibrations have in YAML and XML: ours, OpenCV's, ROS's and Kalibr's.

| form | told by | its keys |
|---|---|---|
| ours | fx | width, height, fx, fy, cx, cy, distortion_model, distortion_coeffs |
| OpenCV, FileStorage | camera_matrix | image_width, image_height, camera_matrix, fisheye_model, \
distortion_coefficients |
| ROS, camera_info YAML | camera_matrix | those of OpenCV, distortion_model |
| ROS, sensor_msgs/CameraInfo | K or k | width, height, K, D, distortion_model, binning_x, roi |
| Kalibr, EuRoC's sensor.yaml | intrinsics | resolution, intrinsics, camera_model, \
distortion_model, distortion_coeffs or distortion_coefficients |

All count pixels as we do: (0, 0) is the centre of the top-left one.
"""

import re
from collections.abc import Mapping
from typing import Any

from nodes.sources.calibrations.fields import (
    Entries,
    coefficients,
    get,
    matrix,
    number,
    numbers,
    size,
)
from nodes.vision.camera import Camera

OUR_KEYS = ("width", "height", "fx", "fy", "cx", "cy", "distortion_model", "distortion_coeffs")
RADTAN = ("radtan", "plumb_bob", "rational_polynomial", "radial-tangential")
"""Ours and Kalibr's name of the radial-tangential model, two of ROS, and EuRoC's."""
FISHEYE = ("equidistant", "fisheye")
"""Ours, Kalibr's and ROS's name of the fisheye model, and another one of ROS."""


def chain(entries: Entries) -> dict[str, Any]:
    """Return the cameras of a Kalibr camchain by name; empty where it is none."""
    return {
        str(key): value
        for key, value in entries.items()
        if re.fullmatch(r"cam\d+", str(key)) and isinstance(value, Mapping)
    }


def camera_of(entries: Entries) -> Camera:
    """Read one camera of whichever form.

    Raises:
        ValueError: it is none, or a value is wrong.
    """
    if "camera_matrix" in entries:
        return _opencv_camera(entries)
    if "K" in entries or "k" in entries:
        return _ros_message(entries)
    return kalibr_camera(entries) if "intrinsics" in entries else _our_camera(entries)


def _our_camera(entries: Entries) -> Camera:
    _check_projection(entries)
    fx, fy = (number(entries, key, positive=True) for key in ("fx", "fy"))
    cx, cy = (number(entries, key) for key in ("cx", "cy"))
    frame = size(entries, "width"), size(entries, "height"), fx, fy, cx, cy
    return _camera(frame, entries, "distortion_coeffs")


def _opencv_camera(entries: Entries) -> Camera:
    # The calibration samples of OpenCV mark a fisheye by a key of its own, and name no model.
    is_fisheye = bool(number({"fisheye_model": 0, **entries}, "fisheye_model"))
    optional = {"distortion_model": FISHEYE[0] if is_fisheye else RADTAN[0]}
    frame = size(entries, "image_width"), size(entries, "image_height")
    k = matrix(entries, "camera_matrix")
    return _camera((*frame, *k), {**optional, **entries}, "distortion_coefficients")


def _ros_message(entries: Entries) -> Camera:
    """Read what `rostopic echo` or `ros2 topic echo` prints of a sensor_msgs/CameraInfo.

    Its numbers are those of the full sensor: region of interest and binning are applied.
    """
    letter_k, letter_d = ("K", "D") if "K" in entries else ("k", "d")
    frame = size(entries, "width"), size(entries, "height")
    if entries.get("distortion_model") == "" and not any(numbers(entries, letter_d)):
        entries = {**entries, "distortion_model": "none"}
    camera = _camera((*frame, *matrix(entries, letter_k)), entries, letter_d)
    roi = entries.get("roi")
    if isinstance(roi, Mapping):
        keys = ("x_offset", "y_offset", "width", "height")
        x, y, width, height = (int(number(roi, key)) for key in keys)
        camera = camera.cropped(x, y, width, height) if width and height else camera
    bins = [max(1, int(number({key: 0, **entries}, key))) for key in ("binning_x", "binning_y")]
    width, height = camera.width // bins[0], camera.height // bins[1]
    # What does not fill a bin is left out.
    return camera.cropped(0, 0, width * bins[0], height * bins[1]).resized(width, height)


def kalibr_camera(entries: Entries) -> Camera:
    """Read one camera of a camchain, or a sensor.yaml.

    Raises:
        ValueError: a value is missing or wrong.
    """
    _check_projection(entries)
    k, resolution = numbers(entries, "intrinsics"), numbers(entries, "resolution")
    if len(k) != 4 or min(k[:2]) <= 0:
        raise ValueError(f"intrinsics must be [fx, fy, cx, cy], not {k}")
    if len(resolution) != 2:
        raise ValueError(f"resolution must be [width, height], not {resolution}")
    width, height = (size({"resolution": value}, "resolution") for value in resolution)
    euroc = "distortion_coefficients"
    key = euroc if euroc in entries else "distortion_coeffs"
    return _camera((width, height, *k), entries, key)


def _check_projection(entries: Entries) -> None:
    model = entries.get("camera_model", "pinhole")
    if model != "pinhole":
        raise ValueError(
            f"camera_model must be pinhole, not {model!r}; a fisheye is a pinhole with the "
            "distortion_model equidistant"
        )


def _camera(frame: tuple[float, ...], entries: Entries, key: str) -> Camera:
    """Build a camera of (width, height, fx, fy, cx, cy) and the distortion under `key`."""
    model = get(entries, "distortion_model")
    is_fisheye = model in FISHEYE
    if model != "none" and model not in (*RADTAN, *FISHEYE):
        raise ValueError(f"distortion_model must be none, radtan or equidistant, not {model!r}")
    coeffs = [] if model == "none" and key not in entries else numbers(entries, key)
    if model == "none" and any(coeffs):
        raise ValueError(f"distortion_model is none, but {key} is {coeffs}")
    width, height, fx, fy, cx, cy = frame
    return Camera(
        int(width), int(height), fx, fy, cx, cy, coefficients(coeffs, key, is_fisheye),
        model="fisheye" if is_fisheye else "pinhole",
    )  # fmt: skip
