from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.calibrations.reading import read_calibration
from nodes.vision.camera import Camera
from pipeline.errors import InputError

OURS = """
width: 640
height: 480
fx: 500.0
fy: 501.5
cx: 319.5
cy: 239.5
distortion_model: radtan
distortion_coeffs: [-0.3, 0.1, 1e-4, 0]
"""
CAMERA = Camera(640, 480, 500.0, 501.5, 319.5, 239.5, (-0.3, 0.1, 1e-4, 0.0))
ROS = """
image_width: 640
image_height: 480
camera_name: left
camera_matrix: {rows: 3, cols: 3, data: [500.0, 0, 319.5, 0, 501.5, 239.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 4, data: [-0.3, 0.1, 0.0001, 0]}
"""


def written(folder: Path, text: str, name: str = "intrinsics.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_our_form_is_read_with_exponents_that_yaml_takes_for_text(tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, OURS)) == CAMERA


def test_the_form_of_ros_is_read(tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, ROS)) == CAMERA


@pytest.mark.parametrize("suffix", ["yml", "yaml", "xml"])
def test_what_opencv_writes_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("calibration_time", "Fri 01 Jan 2021")
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", CAMERA.K)
    storage.write("distortion_coefficients", np.array([CAMERA.distortion]))
    storage.release()
    assert read_calibration(path) == CAMERA


def test_the_first_line_of_older_opencv_is_read(tmp_path: Path) -> None:
    matrix = "!!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
    text = (
        "%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\n"
        f"camera_matrix: {matrix}   data: [ 500., 0., 319.5, 0., 501.5, 239.5, 0., 0., 1. ]\n"
        f"distortion_coefficients: {matrix}   data: [ -3.0000000000000e-01, 0.1, 1.0e-04, 0. ]\n"
    )
    assert read_calibration(written(tmp_path, text, "camera.yml")) == CAMERA


@pytest.mark.parametrize(
    "distortion",
    ["distortion_model: none", "distortion_model: radtan\ndistortion_coeffs: [0, 0, 0, 0]"],
)
def test_no_distortion_and_zero_distortion_are_the_same(distortion: str, tmp_path: Path) -> None:
    text = OURS[: OURS.index("distortion_model")] + distortion
    assert read_calibration(written(tmp_path, text)).distortion == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fx: 500.0", "fx: wide", "fx must be a positive number, not 'wide'"),
        ("fx: 500.0", "fx: -500", "fx must be a positive number, not -500"),
        ("fx: 500.0", "f_x: 500", "the key 'fx' is missing; is it 'f_x'?"),
        ("cx: 319.5", "cx: .nan", "cx must be a number, not nan"),
        ("cx: 319.5", "cx: on", "cx must be a number, not True"),
        ("width: 640", "width: 640.5", "width must be a whole number of pixels, not 640.5"),
        ("height: 480", "fx: 1", "'fx' stands there twice"),
        (
            "radtan", "fov",
            "distortion_model must be none, radtan or equidistant, not 'fov'",
        ),
        (
            "radtan\ndistortion_coeffs: [-0.3, 0.1, 1e-4, 0]",
            "equidistant\ndistortion_coeffs: [1, 2, 3]",
            "distortion_coeffs must have 4 numbers, not 3: [1.0, 2.0, 3.0]",
        ),
        (
            "radtan", "none",
            "distortion_model is none, but distortion_coeffs is [-0.3, 0.1, 0.0001, 0.0]",
        ),
        (
            "[-0.3, 0.1, 1e-4, 0]", "[-0.3, 0.1]",
            "distortion_coeffs must have 4, 5, 8, 12 or 14 numbers, not 2: [-0.3, 0.1]",
        ),
        (
            "[-0.3, 0.1, 1e-4, 0]", "-0.3",
            "distortion_coeffs must be a list of numbers, not -0.3",
        ),
        (
            "[-0.3, 0.1, 1e-4, 0]", "[-0.3, 0.1, x, 0]",
            "distortion_coeffs must be a number, not 'x'",
        ),
        (
            "width: 640", "camera_model: omni\nwidth: 1",
            "camera_model must be pinhole, not 'omni'; a fisheye is a pinhole with the "
            "distortion_model equidistant",
        ),
        ("fx: 500.0", "fx: [1", "not valid YAML in line 5: expected ',' or ']', but got ':'"),
        (
            OURS, "just words",
            "not a calibration: expected the keys width, height, fx, fy, cx, cy, distortion_model, "
            "distortion_coeffs",
        ),
        (OURS, "name: demo\nnodes: {}", "the key 'fx' is missing"),
        (
            OURS, ROS.replace("500.0, 0,", "500.0, 3,"),
            "camera_matrix must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], not "
            "[500.0, 3.0, 319.5, 0.0, 501.5, 239.5, 0.0, 0.0, 1.0]",
        ),
        (
            OURS, ROS.replace("image_width: 640\n", ""),
            "the key 'image_width' is missing; is it 'image_height'?",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_key_and_value(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, OURS.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_fault_in_xml_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "<opencv_storage><a></opencv_storage>", "camera.xml")
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    assert str(caught.value) == f"{path}: not valid XML: mismatched tag: line 1, column 21"


def test_a_picture_is_no_calibration(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_bytes(b"\xff\xd8\xff\xe0 no text")
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    assert str(caught.value) == f"{path}: not a text file, so no calibration"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, " " * 1_000_001)
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    assert str(caught.value) == f"{path} has 1000001 bytes: not a calibration file"


def test_a_missing_file_is_named_with_its_neighbour(tmp_path: Path) -> None:
    written(tmp_path, OURS)
    with pytest.raises(InputError) as caught:
        read_calibration(tmp_path / "intrinsic.yaml")
    assert str(caught.value) == (
        f"no such calibration file: {tmp_path}/intrinsic.yaml. "
        f"Did you mean '{tmp_path}/intrinsics.yaml'?"
    )
