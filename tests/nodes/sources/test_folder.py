import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import jpeg, picture

from nodes.sources.base import Selection
from nodes.sources.folder import Folder
from pipeline.errors import InputError

Writer = Callable[..., Path]
DataDir = Callable[[str], Path]
ALL = Selection()


def opened(path: object, fps: float = 30.0) -> Folder:
    folder = Folder(Folder.Options(str(path), fps))
    folder.open(lambda text: None)
    return folder


def names(folder: Folder) -> list[str]:
    return [path.name for path in folder._images]


def error_of(path: object) -> str:
    with pytest.raises(InputError) as caught:
        opened(path)
    return str(caught.value)


def test_images_come_in_natural_order_without_hidden_and_other_files(write_folder: Writer) -> None:
    path = write_folder(frames=12)
    for name in (".hidden.png", "notes.txt", "mask.png"):
        (path / name).write_bytes(b"not a frame")
    assert names(opened(path)) == [f"{i}.png" for i in range(12)]


def test_a_glob_takes_what_it_matches(write_folder: Writer) -> None:
    path = write_folder(frames=12)
    assert names(opened(path / "1*.png")) == ["1.png", "10.png", "11.png"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(write_folder: Writer) -> None:
    assert len(names(opened(write_folder("run[1]", frames=3)))) == 3


def test_times_come_from_the_rate_where_there_is_no_file(write_folder: Writer) -> None:
    stamps = [p.stamp_ns for p in opened(write_folder(frames=3), fps=30).frames(ALL)]
    assert stamps == [0, 33_333_333, 66_666_667]


def test_times_of_this_century_keep_their_nanoseconds(write_folder: Writer) -> None:
    path = write_folder("data/frames", frames=2)
    times = "# seconds\n1403715274.312143087\n1403715274.362143040  # second\n"
    (path.parent / "timestamps.txt").write_text(times)
    stamps = [p.stamp_ns for p in opened(path).frames(ALL)]
    assert stamps == [1403715274312143087, 1403715274362143040]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            "0\n1\n",
            "{file} has 2 times, but there are 3 images in {folder}: one line for each image is "
            "expected",
        ),
        ("0\n1\n1\n", "{file}:3: 1 is not later than the line before it"),
        ("0\nnoon\n2\n", "{file}:2: 'noon' is not a time in seconds"),
        ("0\n1\n1403715274312143087\n", "{file}:3: '1403715274312143087' is not a time in seconds"),
    ],
)  # fmt: skip
def test_wrong_times_are_refused(times: str, message: str, write_folder: Writer) -> None:
    folder = write_folder(frames=3)
    (folder / "timestamps.txt").write_text(times)
    expected = message.format(file=folder / "timestamps.txt", folder=folder)
    assert error_of(folder) == expected


def test_selection_takes_start_stop_step_by_index(write_folder: Writer) -> None:
    pictures = list(opened(write_folder(frames=12)).frames(Selection(1, 9, 3)))
    assert [p.index for p in pictures] == [1, 4, 7]


def test_grey_stays_grey_and_colour_becomes_rgb(tmp_path: Path) -> None:
    red = np.full((6, 8, 3), (0, 0, 255), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), red[..., 0])
    cv2.imwrite(str(tmp_path / "b.jpg"), red[..., 0])
    cv2.imwrite(str(tmp_path / "c.png"), red)
    cv2.imwrite(str(tmp_path / "d.png"), np.dstack([red, red[..., :1]]))  # with alpha
    images = [p.image for p in opened(tmp_path).frames(ALL)]
    assert [i.shape for i in images if i is not None] == [(6, 8), (6, 8), (6, 8, 3), (6, 8, 3)]
    for image in images[2:]:
        assert image is not None
        np.testing.assert_array_equal(image[0, 0], (255, 0, 0))


def test_16_bits_are_reduced_to_the_upper_8(tmp_path: Path) -> None:
    ramp = (np.arange(48, dtype=np.uint16) * 1000).reshape(6, 8)
    cv2.imwrite(str(tmp_path / "a.png"), ramp)
    (got,) = opened(tmp_path).frames(ALL)
    np.testing.assert_array_equal(got.image, ramp >> 8)


def test_rotation_of_the_camera_is_applied(tmp_path: Path) -> None:
    tag = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)  # orientation 6: turn clockwise
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + tag + b"\0\0\0\0"
    data = jpeg(picture(0, 64, 32))
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    folder = opened(tmp_path)
    (got,) = folder.frames(ALL)
    assert got.image is not None and got.image.shape == (64, 32, 3)
    assert folder.size == (32, 64)


def test_an_image_that_cannot_be_decoded_has_a_reason_in_its_place(write_folder: Writer) -> None:
    path = write_folder(frames=6)
    whole = (path / "1.png").read_bytes()
    (path / "1.png").write_bytes(whole[:-30])
    (path / "2.png").write_bytes(b"")
    (path / "3.png").write_bytes(b"a letter, not a picture")
    (path / "4.png").write_bytes(whole[:60] + bytes(40) + whole[100:])
    pictures = list(opened(path).frames(ALL))
    assert [(p.index, p.image is None) for p in pictures] == [
        (0, False), (1, True), (2, True), (3, True), (4, True), (5, False)
    ]  # fmt: skip
    assert [p.reason for p in pictures] == [
        "",
        "1.png is cut off: its end is missing",
        "2.png is empty (0 bytes)",
        "3.png is not an image of a known format",
        "4.png is damaged: it cannot be decoded",
        "",
    ]


def test_a_picture_that_claims_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    data = bytes(cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1])
    (tmp_path / "bomb.png").write_bytes(data[:16] + struct.pack(">II", 16000, 16000) + data[24:])
    (got,) = opened(tmp_path).frames(ALL)
    assert got.image is None
    assert got.reason == (
        "bomb.png claims 16000x16000 pixels, more than the limit of 150000000 pixels"
    )


def test_the_size_is_that_of_the_first_image_that_can_be_decoded(write_folder: Writer) -> None:
    path = write_folder(frames=3)
    (path / "0.png").write_bytes(b"")
    assert opened(path).size == (64, 48)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    kinds = "bmp jpeg jpg pgm png pnm ppm tif tiff webp"
    assert error_of(tmp_path) == f"{tmp_path} holds no image (1 other files; images are: {kinds})"
    glob = tmp_path / "*.png"
    assert error_of(glob) == f"{glob} matches no image (0 other files; images are: {kinds})"


def test_a_missing_folder_is_named_with_its_neighbour(write_folder: Writer) -> None:
    path = write_folder("shots")
    assert error_of(path.with_name("shosts")) == (
        f"no such folder: {path.with_name('shosts')}. Did you mean '{path}'?"
    )


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^path must name a folder of images or a glob, not ''$"):
        Folder.Options()
    with pytest.raises(ValueError, match=r"^fps must be above 0 and at most 1000000 Hz, not 0$"):
        Folder.Options("shots", fps=0)


@pytest.mark.data
def test_real_photographs_come_in_colour(data_dir: DataDir) -> None:
    shapes = [
        p.image.shape
        for p in opened(data_dir("pano_hill") / "frames").frames(ALL)
        if p.image is not None
    ]
    assert len(shapes) in (2, 3) and all(len(shape) == 3 for shape in shapes)
