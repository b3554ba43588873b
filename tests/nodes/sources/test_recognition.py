import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nodes.sources import SOURCES, recognise
from pipeline.errors import InputError

Writer = Callable[..., Path]
DataDir = Callable[[str], Path]
INTRINSICS = "width: 64\nheight: 48\nfx: 60\nfy: 60\ncx: 31.5\ncy: 23.5\ndistortion_model: none\n"


def kind_and_settings(target: object, camera: str | None = None) -> tuple[str, dict[str, object]]:
    """Return what an input is taken for, and its settings as the configuration will read them."""
    found = recognise(str(target), camera)
    assert found is not None
    pairs = (override.partition("=")[::2] for override in found.overrides)
    return found.kind, {key: yaml.safe_load(value) for key, value in pairs}


def error_of(target: object, camera: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        recognise(str(target), camera)
    return str(caught.value)


def test_a_video_is_recognised_with_what_stands_beside_it(write_video: Writer) -> None:
    path = write_video("clip.mp4", frames=12)
    settings = {"params.source": "video", "params.options": {"path": str(path)}}
    assert kind_and_settings(path) == ("video of 12 frames, 64x48, uncalibrated", settings)
    (path.parent / "camera.yaml").write_text(INTRINSICS)
    assert kind_and_settings(path) == ("video of 12 frames, 64x48 with calibration", settings)


def test_a_folder_is_recognised(write_folder: Writer) -> None:
    path = write_folder("shots", frames=7)
    settings = {"params.source": "folder", "params.options": {"path": str(path)}}
    assert kind_and_settings(path) == ("folder of 7 images, uncalibrated", settings)


def test_a_glob_is_recognised(write_folder: Writer) -> None:
    path = write_folder("shots", frames=11) / "1*.png"
    settings = {"params.source": "folder", "params.options": {"path": str(path)}}
    assert kind_and_settings(path) == ("glob of 2 images, uncalibrated", settings)


def test_a_dataset_is_recognised_with_its_parts(write_folder: Writer) -> None:
    path = write_folder("kitti/frames", frames=1).parent
    (path / "intrinsics.yaml").write_text(INTRINSICS)
    (path / "timestamps.txt").write_text("0\n")
    (path / "groundtruth.txt").write_text("0 0 0 0 0 0 0 1\n")
    kind, settings = kind_and_settings(path)
    assert kind == "dataset folder: 1 image with calibration, timestamps and ground truth"
    assert settings == {"params.source": "dataset", "params.options": {"path": str(path)}}


def test_a_dataset_with_a_video_is_recognised(write_video: Writer) -> None:
    path = write_video("video.mp4", frames=3)
    kind, settings = kind_and_settings(path.parent)
    assert kind == "dataset folder: video of 3 frames, 64x48, uncalibrated"
    assert settings["params.source"] == "dataset"


@pytest.mark.parametrize("target", ["2", "camera:2"])
def test_a_camera_is_recognised(target: str) -> None:
    settings = {"params.source": "camera", "params.options": {"device": 2}}
    assert kind_and_settings(target) == ("camera 2", settings)


def test_the_synthetic_scene_is_recognised() -> None:
    settings = {"params.source": "synthetic", "params.options": {}}
    assert kind_and_settings("synthetic") == ("synthetic scene with exact poses", settings)


def test_a_calibration_given_by_hand_is_passed_on(write_folder: Writer, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(INTRINSICS)
    kind, settings = kind_and_settings(write_folder("shots"), str(tmp_path / "my.yaml"))
    assert kind == "folder of 5 images with calibration"
    assert settings["params.camera"] == str(tmp_path / "my.yaml")


def test_any_path_survives_the_way_through_yaml(write_folder: Writer) -> None:
    path = write_folder("a: b, {c} # 'd' \"e\" = é 🎞 on")
    kind, settings = kind_and_settings(path)
    assert settings["params.options"] == {"path": str(path)}
    assert kind == "folder of 5 images, uncalibrated"


def test_a_relative_path_is_made_absolute(
    write_folder: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_folder("shots")
    monkeypatch.chdir(path.parent)
    assert kind_and_settings("shots")[1]["params.options"] == {"path": str(path)}


def test_settings_fit_the_options_of_their_source(
    write_folder: Writer, write_video: Writer
) -> None:
    for target in (write_folder("shots"), write_video("clip.avi"), "3", "synthetic"):
        settings = kind_and_settings(target)[1]
        SOURCES.create(str(settings["params.source"]), settings["params.options"])


@pytest.mark.parametrize("name", ["graph.yaml", "graph.yml"])
def test_a_configuration_is_no_input(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("name: demo")
    assert recognise(str(tmp_path / name)) is None


def test_a_missing_file_is_named_with_the_nearest(write_video: Writer) -> None:
    path = write_video("video.mp4")
    missing = path.with_name("vidoe.mp4")
    assert error_of(missing) == f"no such file: {missing}. Did you mean '{path}'?"
    far = path.parent / "no" / "where.mp4"
    assert error_of(far) == f"no such file: {far} (there is no folder {far.parent})"


def test_what_is_no_input_is_refused(tmp_path: Path, write_folder: Writer) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_text("a letter\n" * 20)
    (tmp_path / "void").mkdir()
    image = write_folder("shots") / "0.png"
    kinds = "bmp jpeg jpg pgm png pnm ppm tif tiff webp"
    assert {target: error_of(target) for target in (
        tmp_path / "empty.mp4", tmp_path / "notes.txt", tmp_path / "void", image
    )} == {
        tmp_path / "empty.mp4": f"{tmp_path}/empty.mp4 is empty (0 bytes)",
        tmp_path / "notes.txt": f"{tmp_path}/notes.txt is not a video that can be decoded",
        tmp_path / "void": f"{tmp_path}/void holds no image (0 other files; images are: {kinds})",
        image: f"{image} is a single image: give its folder, or a glob such as '*.png'",
    }  # fmt: skip


def test_a_missing_calibration_is_refused(write_folder: Writer, tmp_path: Path) -> None:
    (tmp_path / "camera.yaml").write_text(INTRINSICS)
    assert error_of(write_folder("shots"), f"{tmp_path}/camra.yaml") == (
        f"no such calibration file: {tmp_path}/camra.yaml. Did you mean '{tmp_path}/camera.yaml'?"
    )


def test_a_folder_is_recognised_without_opencv(write_folder: Writer) -> None:
    path = write_folder("data/frames").parent
    (path / "intrinsics.yaml").write_text(INTRINSICS)
    code = (
        "import sys; from nodes.sources import recognise; "
        f"recognise({json.dumps(str(path))}); assert 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kitti00", "dataset folder: 170 images with calibration, timestamps and ground truth"),
        (
            "sinus_a",
            "dataset folder: 18 images with calibration, timestamps, ground truth and mask",
        ),
        ("laparoscopy", "dataset folder: video of 250 frames, 1280x720, uncalibrated"),
        ("pano_parrington", "dataset folder: 18 images, uncalibrated"),
    ],
)
def test_real_data_is_recognised(name: str, kind: str, data_dir: DataDir) -> None:
    assert kind_and_settings(data_dir(name))[0] == kind
