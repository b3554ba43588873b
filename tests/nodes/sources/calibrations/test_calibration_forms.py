"""Calibrations as other programs write them, and one of several cameras in a file."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.calibrations.reading import read_calibration
from nodes.vision.camera import Camera
from pipeline.errors import InputError

RADTAN = Camera(752, 480, 458.654, 457.296, 367.215, 248.375, (-0.28, 0.07, 2e-4, 1.8e-5))
FISHEYE = Camera(
    640, 480, 285.7, 286.1, 320.5, 241.25, (-0.013, 0.019, -0.015, 0.004), model="fisheye"
)

CAMCHAIN = """\
cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [-0.28, 0.07, 0.0002, 1.8e-05]
  distortion_model: radtan
  intrinsics: [458.654, 457.296, 367.215, 248.375]
  resolution: [752, 480]
  rostopic: /cam0/image_raw
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.11]
  - [0.0, 1.0, 0.0, 0.0]
  - [0.0, 0.0, 1.0, 0.0]
  - [0.0, 0.0, 0.0, 1.0]
  cam_overlaps: [0]
  camera_model: pinhole
  distortion_coeffs: [-0.013, 0.019, -0.015, 0.004]
  distortion_model: equidistant
  intrinsics: [285.7, 286.1, 320.5, 241.25]
  resolution: [640, 480]
  rostopic: /cam1/image_raw
cam2:
  camera_model: omni
  distortion_coeffs: []
  distortion_model: none
  intrinsics: [0.8, 833.0, 830.3, 373.8, 253.9]
  resolution: [640, 480]
"""

SENSOR = """\
#Default values for a sensor on a drone
sensor_type: camera
comment: VI-Sensor cam0
T_BS:
  cols: 4
  rows: 4
  data: [0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
rate_hz: 20
resolution: [752, 480]
camera_model: pinhole
intrinsics: [458.654, 457.296, 367.215, 248.375] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28, 0.07, 0.0002, 1.8e-05]
"""

CAMERA_INFO = """\
image_width: 640
image_height: 480
camera_name: front
camera_matrix:
  rows: 3
  cols: 3
  data: [285.7, 0.0, 320.5, 0.0, 286.1, 241.25, 0.0, 0.0, 1.0]
distortion_model: MODEL
distortion_coefficients:
  rows: 1
  cols: 4
  data: [-0.013, 0.019, -0.015, 0.004]
"""

ECHO = """\
header:
  seq: 12
  frame_id: "camera"
height: 480
width: 640
distortion_model: "equidistant"
D: [-0.013, 0.019, -0.015, 0.004]
K: [285.7, 0.0, 320.5, 0.0, 286.1, 241.25, 0.0, 0.0, 1.0]
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
binning_x: 0
binning_y: 0
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: False
---
"""


def written(folder: Path, text: str, name: str = "camchain.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def fault(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_calibration(path)
    return str(caught.value)


@pytest.mark.parametrize(("name", "camera"), [("cam0", RADTAN), ("cam1", FISHEYE)])
def test_a_camera_of_a_kalibr_chain_is_read_by_its_name(
    name: str, camera: Camera, tmp_path: Path
) -> None:
    path = written(tmp_path, CAMCHAIN)
    assert read_calibration(path.with_name(f"camchain.yaml#{name}")) == camera


def test_a_chain_of_one_camera_needs_no_name(tmp_path: Path) -> None:
    path = written(tmp_path, CAMCHAIN[: CAMCHAIN.index("cam1:")])
    assert read_calibration(path) == RADTAN
    assert read_calibration(path.with_name("camchain.yaml#cam0")) == RADTAN


def test_of_several_cameras_none_is_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, CAMCHAIN)
    assert fault(path) == (
        f"{path}: it holds 3 cameras (cam0, cam1, cam2): name one, such as --camera {path}#cam2"
    )
    assert fault(path.with_name("camchain.yaml#cam7")) == (
        f"{path}: there is no camera 'cam7': it holds cam0, cam1, cam2"
    )
    assert fault(path.with_name("camchain.yaml#cam2")) == (
        f"{path}: cam2: camera_model must be pinhole, not 'omni'; a fisheye is a pinhole with the "
        "distortion_model equidistant"
    )


def test_a_name_behind_a_file_of_one_camera_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, SENSOR, "sensor.yaml")
    assert fault(path.with_name("sensor.yaml#cam0")) == (
        f"{path}: it holds one camera without a name: leave out '#cam0'"
    )


def test_a_file_whose_own_name_has_a_number_sign_is_read(tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, SENSOR, "sensor#1.yaml")) == RADTAN


def test_a_missing_file_of_several_cameras_is_named_without_the_camera(tmp_path: Path) -> None:
    assert fault(tmp_path / "chain.yaml#cam0") == f"no such calibration file: {tmp_path}/chain.yaml"


def test_the_sensor_file_of_euroc_is_read(tmp_path: Path) -> None:
    assert read_calibration(written(tmp_path, SENSOR, "sensor.yaml")) == RADTAN


@pytest.mark.parametrize("model", ["equidistant", "fisheye"])
def test_a_fisheye_in_ros_camera_info_is_read(model: str, tmp_path: Path) -> None:
    path = written(tmp_path, CAMERA_INFO.replace("MODEL", model), "camera_info.yaml")
    assert read_calibration(path) == FISHEYE


@pytest.mark.parametrize("rename", [{}, {"K:": "k:", "D:": "d:", "R:": "r:"}], ids=["ros1", "ros2"])
def test_a_camera_info_message_as_ros_prints_it_is_read(
    rename: dict[str, str], tmp_path: Path
) -> None:
    text = ECHO
    for old, new in rename.items():
        text = text.replace(old, new)
    assert read_calibration(written(tmp_path, text, "camera.yaml")) == FISHEYE


def test_region_and_binning_of_a_camera_info_message_are_applied(tmp_path: Path) -> None:
    text = ECHO.replace("x_offset: 0", "x_offset: 40").replace("y_offset: 0", "y_offset: 20")
    text = text.replace("  height: 0", "  height: 400").replace("  width: 0", "  width: 500")
    cropped = FISHEYE.cropped(40, 20, 500, 400)
    assert read_calibration(written(tmp_path, text, "camera.yaml")) == cropped
    text = text.replace("binning_x: 0", "binning_x: 2").replace("binning_y: 0", "binning_y: 4")
    # Two and four pixels become one: the first of them has its centre at (0.5, 1.5) of the crop.
    assert read_calibration(written(tmp_path, text, "camera.yaml")) == Camera(
        250, 100, 285.7 / 2, 286.1 / 4, (280.5 - 0.5) / 2, (221.25 - 1.5) / 4,
        FISHEYE.distortion, model="fisheye",
    )  # fmt: skip
    odd = text.replace("  height: 400", "  height: 403").replace("  width: 500", "  width: 501")
    assert read_calibration(written(tmp_path, odd, "camera.yaml")) == read_calibration(
        written(tmp_path, text, "camera.yml")
    )


def test_a_camera_info_message_of_a_camera_that_nobody_calibrated_is_refused(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, ECHO.replace("K: [285.7,", "K: [0.0,"), "camera.yaml")
    assert fault(path) == (
        f"{path}: K must be [fx, 0, cx, 0, fy, cy, 0, 0, 1], not "
        "[0.0, 0.0, 320.5, 0.0, 286.1, 241.25, 0.0, 0.0, 1.0]"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[458.654, ", "[", "cam0: intrinsics must be [fx, fy, cx, cy], not [457.296, 367.215, 248.375]"),
        ("[752, 480]", "[752]", "cam0: resolution must be [width, height], not [752.0]"),
        ("[752, 480]", "[752, 480.5]", "cam0: resolution must be a whole number of pixels, not 480.5"),
        ("  intrinsics: [458", "  intrinsic: [458", "cam0: the key 'intrinsics' is missing; is it 'intrinsic'?"),
    ],
)  # fmt: skip
def test_a_fault_in_a_chain_is_named_with_camera_key_and_value(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, CAMCHAIN.replace(old, new))
    assert fault(path.with_name("camchain.yaml#cam0")) == f"{path}: {message}"


@pytest.mark.parametrize("suffix", ["yml", "xml"])
@pytest.mark.parametrize(("flag", "model"), [(1, "fisheye"), (0, "pinhole")])
def test_what_opencv_calibrated_as_a_fisheye_is_one(
    flag: int, model: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"camera.{suffix}"
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("fisheye_model", flag)
    storage.write("camera_matrix", FISHEYE.K)
    storage.write("distortion_coefficients", np.array([FISHEYE.distortion]).T)
    storage.release()
    camera = read_calibration(path)
    assert (camera.model, camera.distortion) == (model, FISHEYE.distortion)


def test_coefficients_that_are_zero_at_the_end_are_left_out(tmp_path: Path) -> None:
    text = SENSOR.replace("1.8e-05]", "1.8e-05, 0, 0, 0, 0]")
    assert read_calibration(written(tmp_path, text, "sensor.yaml")) == RADTAN
