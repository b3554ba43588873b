"""COLMAP's cameras.txt, whose pixels are half a pixel off ours."""

from pathlib import Path

import numpy as np
import pytest

from nodes.sources.calibrations.colmap import FORMS
from nodes.sources.calibrations.reading import read_calibration
from nodes.vision.camera import Camera
from pipeline.errors import InputError

HEAD = """\
# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 1
"""


def read(folder: Path, lines: str, choice: str = "") -> Camera:
    path = folder / "cameras.txt"
    path.write_text(HEAD + lines + "\n")
    return read_calibration(path.with_name(f"cameras.txt{choice}"))


LINES = [
    ("SIMPLE_PINHOLE 640 480 500 320 240", Camera(640, 480, 500, 500, 319.5, 239.5)),
    ("PINHOLE 640 480 500 501 320.1 240", Camera(640, 480, 500, 501, 319.6, 239.5)),
    ("SIMPLE_RADIAL 640 480 500 320 240 -0.1", Camera(640, 480, 500, 500, 319.5, 239.5, (-0.1, 0, 0, 0))),
    ("RADIAL 640 480 500 320 240 -0.1 0.02", Camera(640, 480, 500, 500, 319.5, 239.5, (-0.1, 0.02, 0, 0))),
    ("OPENCV 640 480 500 501 320 240 -0.1 0.02 1e-3 2e-3", Camera(640, 480, 500, 501, 319.5, 239.5, (-0.1, 0.02, 1e-3, 2e-3))),
    ("FULL_OPENCV 640 480 500 501 320 240 1 2 3 4 5 6 7 8", Camera(640, 480, 500, 501, 319.5, 239.5, (1, 2, 3, 4, 5, 6, 7, 8))),
    ("OPENCV_FISHEYE 640 480 500 501 320 240 1 2 3 4", Camera(640, 480, 500, 501, 319.5, 239.5, (1, 2, 3, 4), "fisheye")),
    ("SIMPLE_RADIAL_FISHEYE 640 480 500 320 240 0.1", Camera(640, 480, 500, 500, 319.5, 239.5, (0.1, 0, 0, 0), "fisheye")),
    ("RADIAL_FISHEYE 640 480 500 320 240 0.1 0.2", Camera(640, 480, 500, 500, 319.5, 239.5, (0.1, 0.2, 0, 0), "fisheye")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "camera"), LINES)
def test_every_model_is_read_with_its_centre_moved_by_half_a_pixel(
    line: str, camera: Camera, tmp_path: Path
) -> None:
    assert read(tmp_path, f"1 {line}") == camera


def test_the_table_above_names_every_model() -> None:
    assert {line.split()[0] for line, _ in LINES} == set(FORMS)


def test_a_point_straight_ahead_is_where_colmap_sees_it(tmp_path: Path) -> None:
    camera = read(tmp_path, "1 PINHOLE 640 480 500 500 320 240")
    in_colmap = camera.project([[0.0, 0.0, 1.0]]) + 0.5
    assert np.array_equal(in_colmap, [[320.0, 240.0]])


def test_one_of_several_cameras_is_chosen_by_its_number(tmp_path: Path) -> None:
    lines = "1 PINHOLE 640 480 500 500 320 240\n7 SIMPLE_PINHOLE 100 80 90 50 40"
    assert read(tmp_path, lines, "#7").width == 100
    with pytest.raises(InputError) as caught:
        read(tmp_path, lines)
    path = tmp_path / "cameras.txt"
    assert str(caught.value) == (
        f"{path}: it holds 2 cameras (1, 7): name one, such as --camera {path}#7"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("PINHOLE 640 480 500 500 320", "camera 1: PINHOLE has 4 parameters, not 3"),
        ("PINHOLE 640 480 500 500 320 x", "camera 1: 'x' is not a number"),
        ("PINHOLE 640 480 500 500 320 inf", "camera 1: 'inf' is not a number"),
        ("PINHOLE 640 480 -5 500 320 240", "camera 1: the focal length must be a positive number, not -5"),
        ("PINHOLE 640.5 480 5 500 320 240", "camera 1: WIDTH must be a whole number of pixels, not 640.5"),
        (
            "FOV 640 480 500 500 320 240 0.9",
            "camera 1: the model must be one of SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, "
            "OPENCV, FULL_OPENCV, OPENCV_FISHEYE, SIMPLE_RADIAL_FISHEYE, RADIAL_FISHEYE, not 'FOV'",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_camera_and_value(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"1 {line}")
    assert str(caught.value) == f"{tmp_path / 'cameras.txt'}: {message}"
