"""EXIF focal lengths: of bytes, of folders, and of the cameras that come out of a capture."""

import struct
from collections.abc import Callable
from math import hypot
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.capture import Capture
from nodes.sources.data_sets.dataset import Dataset
from nodes.sources.exif import common_focal, exif_focal, read_exif_focal
from nodes.sources.folder import Folder
from nodes.sources.recognition import recognise
from pipeline.node import Resources

Value = int | tuple[int, int]
FILM = {0xA405: 28}
"""28 mm on 35 mm film."""
SENSOR: dict[int, Value] = {
    0x920A: (50, 10), 0xA002: 4000, 0xA003: 3000, 0xA20E: (16000, 1), 0xA210: 2,
}  # fmt: skip
"""5 mm, and 16000 pixels an inch."""
INTRINSICS = """width: 64
height: 48
fx: 60
fy: 60
cx: 31.5
cy: 23.5
distortion_model: none
distortion_coeffs: [0, 0, 0, 0]
"""


def directory(tags: dict[int, Value], start: int, order: str) -> bytes:
    """Return a TIFF directory that stands at `start`, with its rationals behind it."""
    entries, behind = b"", b""
    where = start + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        if isinstance(value, tuple):
            entries += struct.pack(order + "HHII", tag, 5, 1, where + len(behind))
            behind += struct.pack(order + "II", *value)
        elif value < 65536:
            entries += struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
        else:
            entries += struct.pack(order + "HHII", tag, 4, 1, value)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + behind


def jpeg(tags: dict[int, Value], order: str = "<", width: int = 64, height: int = 48) -> bytes:
    """Return a JPEG picture with these EXIF tags."""
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    tiff = magic + directory({0x8769: 70000}, 8, order)
    start = len(tiff)
    tiff = tiff.replace(struct.pack(order + "I", 70000), struct.pack(order + "I", start))
    tiff += directory(tags, start, order)
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    ok, data = cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))
    assert ok
    return bytes(data[:2]) + segment + bytes(data[2:])


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a folder of photos, one for each set of tags."""

    def write(*tags: dict[int, Value], size: tuple[int, int] = (64, 48)) -> Path:
        folder = tmp_path / "photos"
        folder.mkdir()
        for i, each in enumerate(tags):
            (folder / f"{i}.jpg").write_bytes(jpeg(each, width=size[0], height=size[1]))
        return folder

    return write


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_film_focal_length_goes_by_the_diagonal(order: str) -> None:
    found = exif_focal(jpeg(FILM, order))
    assert found is not None
    assert found.focal_px(4000, 3000) == pytest.approx(28 / hypot(36, 24) * 5000)
    assert found.focal_px(3600, 2400) == pytest.approx(2800)
    assert found.focal_px(3000, 4000) == found.focal_px(4000, 3000)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("unit", "per_unit"), [(2, 16000), (3, 6299)])
def test_the_sensor_tells_it_where_the_film_does_not(order: str, unit: int, per_unit: int) -> None:
    tags = SENSOR | {0xA210: unit, 0xA20E: (per_unit, 1)}
    found = exif_focal(jpeg(tags, order))
    assert found is not None
    assert found.focal_px(4000, 3000) == pytest.approx(5 / 25.4 * 16000, rel=1e-3)
    assert found.focal_px(1000, 750) == pytest.approx(5 / 25.4 * 4000, rel=1e-3)


def test_the_film_focal_length_comes_before_the_sensor() -> None:
    assert exif_focal(jpeg(SENSOR | FILM)) == exif_focal(jpeg(FILM))


def test_a_long_pixel_count_is_read() -> None:
    found = exif_focal(jpeg(SENSOR | {0xA002: 80000, 0x920A: (500, 10)}))
    assert found is not None
    assert found.focal_px(80000, 60000) == pytest.approx(50 / 25.4 * 16000)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {0xA405: 0},
        {0xA405: 60000},
        {0x920A: (50, 10)},
        SENSOR | {0xA20E: (16000, 0)},
        SENSOR | {0x920A: (0, 0)},
        SENSOR | {0xA210: 1},
        SENSOR | {0xA002: 0, 0xA003: 0},
        SENSOR | {0x920A: (1, 1000)},
    ],
)
def test_what_is_missing_or_makes_no_sense_is_no_focal_length(tags: dict[int, Value]) -> None:
    assert exif_focal(jpeg(tags)) is None


def test_no_damaged_file_does_harm() -> None:
    good = jpeg(SENSOR)
    end = good.index(b"\xff\xdb")
    for length in range(end):
        exif_focal(good[:length])
    rng = np.random.default_rng(0)
    for _ in range(2000):
        bad = bytearray(good)
        for position in rng.integers(2, end, 4):
            bad[position] = rng.integers(256)
        exif_focal(bytes(bad))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n" + bytes(50), b"II*\0"])
def test_other_files_have_no_focal_length(data: bytes) -> None:
    assert exif_focal(data) is None


def test_a_file_that_cannot_be_read_has_no_focal_length(tmp_path: Path) -> None:
    assert read_exif_focal(tmp_path / "missing.jpg") is None


def test_photos_agree_or_not(photos: Callable[..., Path]) -> None:
    folder = photos(FILM, FILM, {0xA405: 50}, {})
    paths = sorted(folder.iterdir())
    assert common_focal(paths[:2]) == (exif_focal(jpeg(FILM)), True)
    assert common_focal(paths[:3]) == (None, False)
    assert common_focal(paths[2:]) == (None, True)
    assert common_focal([]) == (None, True)


def opened(source: Folder | Dataset) -> list[str]:
    warnings: list[str] = []
    source.open(warnings.append)
    return warnings


def test_the_camera_of_a_folder_has_the_focal_length_of_its_photos(photos) -> None:
    folder = Folder(Folder.Options(str(photos(FILM, FILM))))
    assert opened(folder) == []
    camera = folder.camera
    assert camera is not None
    assert camera.fx == camera.fy == pytest.approx(28 / hypot(36, 24) * 80)
    assert (camera.width, camera.height, camera.cx, camera.cy) == (64, 48, 31.5, 23.5)
    assert (camera.calibrated, camera.focal_source) == (False, "exif")


def test_photos_that_were_zoomed_have_no_camera(photos) -> None:
    path = photos(FILM, {0xA405: 50})
    folder = Folder(Folder.Options(str(path)))
    assert opened(folder) == [
        f"{path}: the photos were zoomed; their EXIF focal lengths are not used"
    ]
    assert folder.camera is None


def test_a_calibration_beside_the_photos_comes_before_exif(photos) -> None:
    path = photos(FILM, {0xA405: 50})
    (path / "intrinsics.yaml").write_text(INTRINSICS)
    folder = Folder(Folder.Options(str(path)))
    assert opened(folder) == []
    assert folder.camera is not None
    assert (folder.camera.fx, folder.camera.calibrated) == (60, True)


def test_a_dataset_of_photos_has_their_focal_length(photos) -> None:
    path = photos(FILM)
    path.rename(path.parent / "frames")
    dataset = Dataset(Dataset.Options(str(path.parent)))
    assert opened(dataset) == []
    assert dataset.camera is not None
    assert dataset.camera.focal_source == "exif"


def test_what_the_user_is_told_of_the_input_names_exif(photos) -> None:
    path = photos(FILM, FILM)
    for target in (str(path), str(path / "*.jpg")):
        found = recognise(target)
        assert found is not None
        assert found.kind.endswith("of 2 images, uncalibrated, focal length from EXIF")
    path.rename(path.parent / "frames")
    found = recognise(str(path.parent))
    assert found is not None
    assert found.kind == "dataset folder: 2 images, uncalibrated, focal length from EXIF"


def test_a_calibrated_input_does_not_name_exif(photos) -> None:
    path = photos(FILM)
    (path / "intrinsics.yaml").write_text(INTRINSICS)
    found = recognise(str(path))
    assert found is not None
    assert found.kind == "folder of 1 image with calibration"


def test_frames_of_any_size_have_the_focal_length_of_the_photos(photos) -> None:
    path = photos(FILM, FILM)
    (path / "2.jpg").write_bytes(jpeg(FILM, width=96, height=128))
    warnings: list[str] = []
    capture = Capture(Capture.Params(source="folder", options={"path": str(path)}))
    capture.open(Resources(warn=warnings.append))
    first, _, last = [frame.camera for frame in capture.produce()]
    assert first.fx == pytest.approx(28 / hypot(36, 24) * 80)
    assert (last.width, last.height) == (96, 128)
    assert last.fx == pytest.approx(2 * first.fx)
    assert first.focal_source == last.focal_source == "exif"
    assert warnings[0] == (
        f"{path} is uncalibrated: the focal length is 52 px by EXIF; give --camera FILE"
    )


def test_a_real_photo_tells_its_focal_length(data_dir) -> None:
    folder = Folder(Folder.Options(str(data_dir("pano_room") / "frames")))
    opened(folder)
    assert folder.camera is not None
    assert folder.camera.fx == pytest.approx(33 / hypot(36, 24) * 800)
