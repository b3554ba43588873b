"""What is written is what is read again, to the last bit, by us and by OpenCV."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.calibrations.writing import WRITERS, write_calibration
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError

ODD = (640, 480, 500.0 / 3, 501.0 / 7, 319.1, 0.1 + 0.2)
SMALL = (-1 / 3, 1e-5, 1e-300, -2 / 7e6)
FITTING = {
    "none": Camera(*ODD),
    "radtan": Camera(*ODD, SMALL),
    "fisheye": Camera(*ODD, SMALL, model="fisheye"),
    "equidistant": Camera(*ODD, model="fisheye"),
}
LONG = {
    "k3": Camera(*ODD, (*SMALL, 0.7)),
    "rational": Camera(*ODD, (*SMALL, 0.7, 0.1, 0.2, 0.3)),
}
PRISM = Camera(*ODD, (*SMALL, 0.7, 0.1, 0.2, 0.3, 0.0, 1e-3, 0.0, 1e-4))


def read_again(camera: Camera, form: str, folder: Path) -> Camera:
    path = folder / "written.yaml"
    path.write_text(write_calibration(camera, form))
    return read_calibration(path)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", FITTING)
def test_every_form_gives_back_every_bit(form: str, name: str, tmp_path: Path) -> None:
    assert read_again(FITTING[name], form, tmp_path) == FITTING[name]


@pytest.mark.parametrize("form", ["ours", "opencv", "ros", "colmap"])
@pytest.mark.parametrize("name", LONG)
def test_more_coefficients_come_back_where_the_form_has_room(
    form: str, name: str, tmp_path: Path
) -> None:
    assert read_again(LONG[name], form, tmp_path) == LONG[name]


@pytest.mark.parametrize("form", ["ours", "opencv"])
def test_thin_prisms_come_back_from_ours_and_from_opencvs(form: str, tmp_path: Path) -> None:
    assert read_again(PRISM, form, tmp_path) == PRISM


@pytest.mark.parametrize("seed", range(20))
def test_colmaps_half_pixel_costs_no_bit(seed: int, tmp_path: Path) -> None:
    cx, cy = np.random.default_rng(seed).uniform(0, 700, 2) * 10.0 ** -(seed % 4)
    camera = Camera(640, 480, 500.0, 500.0, float(cx), float(cy))
    assert read_again(camera, "colmap", tmp_path) == camera


@pytest.mark.parametrize(
    ("form", "camera", "message"),
    [
        ("kalibr", LONG["k3"], "--to kalibr cannot hold a distortion of 5 coefficients: its radtan has 4; --to ours and --to opencv can"),
        ("ros", PRISM, "--to ros cannot hold a distortion of 12 coefficients: its rational_polynomial has 8; --to ours and --to opencv can"),
        ("colmap", PRISM, "--to colmap cannot hold a distortion of 12 coefficients: its FULL_OPENCV has 8; --to ours and --to opencv can"),
    ],
)  # fmt: skip
def test_what_a_form_cannot_hold_is_refused(form: str, camera: Camera, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        write_calibration(camera, form)
    assert str(caught.value) == message


def test_opencv_reads_what_is_written_for_it(tmp_path: Path) -> None:
    camera = FITTING["fisheye"]
    path = tmp_path / "camera.yml"
    path.write_text(write_calibration(camera, "opencv"))
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    assert np.array_equal(storage.getNode("camera_matrix").mat(), camera.K)
    assert storage.getNode("distortion_coefficients").mat().tolist() == [list(SMALL)]
    assert storage.getNode("fisheye_model").real() == 1
    storage.release()


def test_plumb_bob_has_five_coefficients_as_ros_demands() -> None:
    text = write_calibration(FITTING["radtan"], "ros")
    assert "distortion_model: plumb_bob\ndistortion_coefficients:\n  rows: 1\n  cols: 5\n" in text
    assert "projection_matrix:\n  rows: 3\n  cols: 4\n" in text
