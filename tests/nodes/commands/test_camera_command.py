"""`posestream camera` on calibrations that are right, and on some that are not."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from nodes.commands.camera import Form, app
from nodes.commands.camera_check import findings, input_size
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.calibrations.writing import WRITERS, write_calibration
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError, InputError, PosestreamError

BARREL = Camera(752, 480, 420.5, 420.6, 355.2, 250.3, (-0.2966, 0.0808, 0.0, 0.0))
FISHEYE = Camera(640, 480, 150.0, 150.0, 319.5, 239.5, model="fisheye")


@pytest.fixture
def barrel(tmp_path: Path) -> Path:
    return saved(BARREL, tmp_path)


def saved(camera: Camera, folder: Path) -> Path:
    path = folder / "camera.yaml"
    path.write_text(write_calibration(camera, "ours"))
    return path


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(done.exception, PosestreamError):
        raise done.exception
    return done.exit_code, done.stdout


# ---------------------------------------------------------------- show


def test_show_prints_what_the_camera_sees(barrel: Path) -> None:
    assert call("show", barrel) == (
        0,
        "model       pinhole, 752x480 pixels\n"
        "K           fx 420.50, fy 420.60, cx 355.20, cy 250.30\n"
        "distortion  radial-tangential: -0.2966, 0.0808, 0, 0\n"
        "sees        100.5 deg horizontally, 65.2 vertically, 110.7 diagonally\n"
        "corners     moved by up to 163.0 px by the lens\n"
        "undistorts  up to 90.0 deg from the axis; the picture reaches 56.3\n",
    )


def test_show_says_of_a_fisheye_where_numbers_end(tmp_path: Path) -> None:
    _, text = call("show", saved(FISHEYE, tmp_path))
    assert "model       fisheye, 640x480 pixels\n" in text
    assert "distortion  no coefficients\n" in text
    assert "sees        244.5 deg horizontally, 183.3 vertically, 305.6 diagonally\n" in text
    assert "corners     moved by up to ? px by the lens\n" in text


def test_show_prints_json_with_null_where_there_is_no_number(tmp_path: Path) -> None:
    found = json.loads(call("show", saved(FISHEYE, tmp_path), "--json")[1])
    assert found["model"] == "fisheye"
    assert found["corner_shift_px"] is None
    assert found["horizontal_deg"] == pytest.approx(np.degrees(640 / 150))
    assert (found["width"], found["fx"], found["distortion"]) == (640, 150.0, [])


# ---------------------------------------------------------------- convert


def test_the_forms_are_those_that_can_be_written() -> None:
    assert [form.value for form in Form] == list(WRITERS)


@pytest.mark.parametrize("form", WRITERS)
def test_convert_writes_what_is_read_back(form: str, barrel: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    assert call("convert", barrel, "--to", form, "--out", out) == (0, "")
    assert read_calibration(out) == BARREL
    assert call("convert", barrel, "--to", form) == (0, out.read_text())


def test_convert_crops_first_and_then_resizes(barrel: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    call(
        "convert",
        barrel,
        "--to",
        "ours",
        "--out",
        out,
        "--resize",
        "300x200",
        "--crop",
        "10,20,600,400",
    )
    assert read_calibration(out) == BARREL.cropped(10, 20, 600, 400).resized(300, 200)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--crop", "1,2,3"], "--crop must be X,Y,W,H such as 0,60,640,360, not '1,2,3'"),
        (["--crop", "700,0,60,20"], "--crop 700,0,60,20 does not lie within the 752x480 picture"),
        (["--resize", "0x5"], "--resize must be WxH such as 640x480, not '0x5'"),
        (["--resize", "half"], "--resize must be WxH such as 640x480, not 'half'"),
    ],
)  # fmt: skip
def test_a_size_that_is_none_is_refused(arguments: list[str], message: str, barrel: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        call("convert", barrel, "--to", "ours", *arguments)
    assert str(caught.value) == message


def test_nothing_is_overwritten_and_a_folder_that_is_missing_is_named(
    barrel: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        call("convert", barrel, "--to", "ours", "--out", barrel)
    assert str(caught.value) == f"--out {barrel} exists: remove it, or name a new file"
    nowhere = tmp_path / "no" / "x.yaml"
    with pytest.raises(ConfigError) as caught:
        call("convert", barrel, "--to", "ours", "--out", nowhere)
    assert str(caught.value) == f"cannot write --out {nowhere}: No such file or directory"


# ---------------------------------------------------------------- check


def kinds(camera: Camera, size: tuple[int, int] | None = None) -> list[tuple[str, str]]:
    return [(f.kind, f.name) for f in findings(camera, Path("c.yaml"), size)]


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        (BARREL, []),
        (BARREL.cropped(0, 0, 400, 480), [("problem", "principal_point")]),
        (BARREL.resized(752, 240), [("problem", "aspect")]),
        (Camera(640, 480, 9e4, 9e4, 320.0, 240.0), [("problem", "field_of_view")]),
        (Camera(640, 480, 20.0, 20.0, 320.0, 240.0), [("problem", "field_of_view")]),
        (Camera(640, 480, 300.0, 300.0, 320.0, 240.0, (-0.5, 0, 0, 0)), [("problem", "folds")]),
        (FISHEYE, [("note", "beside")]),
    ],
)
def test_each_fault_is_found_and_no_other(camera: Camera, expected: list[tuple[str, str]]) -> None:
    assert kinds(camera) == expected


@pytest.mark.parametrize(
    ("size", "cure"),
    [
        ((376, 240), ", or, if they were resized: posestream camera convert c.yaml --to ours --out NEW.yaml --resize 376x240"),
        ((600, 480), ", or, if they were cropped: posestream camera convert c.yaml --to ours --out NEW.yaml --crop X,Y,600,480"),
        ((1920, 1080), ""),
    ],
)  # fmt: skip
def test_another_size_is_a_problem_with_the_command_that_mends_it(
    size: tuple[int, int], cure: str
) -> None:
    (found,) = findings(BARREL, Path("c.yaml"), size)
    assert found.kind == "problem"
    assert found.text == (
        f"it is for 752x480 pixels, but the pictures have {size[0]}x{size[1]}; "
        f"calibrate at this size{cure}"
    )


def test_check_of_a_good_calibration_ends_with_0(barrel: Path) -> None:
    assert call("check", barrel) == (0, f"{barrel}: nothing wrong was found\n")


def test_check_beside_pictures_of_another_size_ends_with_2(barrel: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), np.zeros((48, 64), np.uint8))
    code, text = call("check", barrel, tmp_path / "photos")
    assert code == 2
    assert text.startswith("problem: it is for 752x480 pixels, but the pictures have 64x48; ")


def test_check_prints_json(tmp_path: Path) -> None:
    folds = Camera(640, 480, 300.0, 300.0, 320.0, 240.0, (-0.5, 0, 0, 0))
    code, text = call("check", saved(folds, tmp_path), "--json")
    assert code == 2
    assert json.loads(text) == [
        {
            "kind": "problem",
            "name": "folds",
            "text": "the lens model has no ray for 73 % of the picture, from 163 px off the "
            "principal point outwards: it can be undistorted up to 39 deg; calibrate with the "
            "target in the corners too",
        }
    ]


def test_a_note_is_no_fault(tmp_path: Path) -> None:
    path = saved(FISHEYE, tmp_path)
    code, text = call("check", path)
    assert code == 0
    assert text == (
        "note: 44 % of the picture looks 90 deg or more from the axis; keypoints there are not "
        f"used for poses\n{path}: nothing wrong was found\n"
    )


def test_a_missing_calibration_and_an_input_that_is_none_are_named(
    barrel: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        call("check", tmp_path / "nothing.yaml")
    assert str(caught.value) == f"no such calibration file: {tmp_path}/nothing.yaml"
    with pytest.raises(ConfigError) as refused:
        call("check", barrel, barrel)
    assert str(refused.value) == f"{barrel} is no input: give a video, a folder, a glob or a camera"


@pytest.mark.data
@pytest.mark.parametrize("name", ["board_a", "kitti00", "redkitchen", "sinus_a", "tum_fr3_office"])
def test_real_calibrations_fit_their_pictures(name: str, data_dir: Callable[[str], Path]) -> None:
    folder = data_dir(name)
    camera = read_calibration(folder / "intrinsics.yaml")
    assert kinds(camera, input_size(str(folder))) == []
