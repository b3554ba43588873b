"""`panorama.png` is pasted from tiles in the right place and colour."""

from pathlib import Path

import cv2
import numpy as np

from nodes.writers import StreamFiles, Tile
from nodes.writers.panorama import Panorama

RED, BLUE = (255, 0, 0), (0, 0, 255)  # RGB


def _tile(colour: tuple[int, int, int], x: int, y: int, canvas: tuple[int, int]) -> Tile:
    image = np.full((4, 6, 3), colour, np.uint8)
    return Tile(image=image, mask=np.full((4, 6), 255, np.uint8), origin=(x, y), canvas_size=canvas)


def _write(folder: Path, tiles: list[Tile]) -> np.ndarray | None:
    writer = Panorama()
    writer.open(StreamFiles(folder, "cam"))
    for tile in tiles:
        writer.write(tile)
    writer.close()
    path = folder / "panorama.png"
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if path.exists() else None


def test_tiles_lie_where_they_belong_and_keep_their_colour(tmp_path: Path) -> None:
    picture = _write(tmp_path, [_tile(RED, 10, 20, (100, 50)), _tile(BLUE, 20, 22, (100, 50))])
    assert picture is not None
    assert picture.shape == (6, 16, 4)  # cropped to x 10..25, y 20..25
    assert picture[0, 0].tolist() == [0, 0, 255, 255]  # BGRA: red
    assert picture[5, 15].tolist() == [255, 0, 0, 255]  # blue
    assert picture[0, 15].tolist() == [0, 0, 0, 0]  # transparent


def test_a_tile_changes_only_what_its_mask_covers(tmp_path: Path) -> None:
    over = _tile(BLUE, 0, 0, (7, 4))
    over.mask[:, 3:] = 0
    picture = _write(tmp_path, [_tile(RED, 0, 0, (7, 4)), over])
    assert picture is not None
    assert picture[0, 2].tolist() == [255, 0, 0, 255]
    assert picture[0, 3].tolist() == [0, 0, 255, 255]


def test_a_canvas_that_grows_keeps_what_it_holds(tmp_path: Path) -> None:
    picture = _write(tmp_path, [_tile(RED, 0, 0, (6, 4)), _tile(BLUE, 6, 4, (12, 8))])
    assert picture is not None
    assert picture.shape == (8, 12, 4)
    assert picture[0, 0].tolist() == [0, 0, 255, 255]
    assert picture[7, 11].tolist() == [255, 0, 0, 255]


def test_a_tile_as_large_as_the_canvas_replaces_it(tmp_path: Path) -> None:
    whole = _tile(BLUE, 0, 0, (6, 4))
    whole.mask[:2] = 0
    picture = _write(tmp_path, [_tile(RED, 0, 0, (60, 40)), whole])
    assert picture is not None
    assert picture.shape == (2, 6, 4)
    assert (picture == [255, 0, 0, 255]).all()


def test_without_a_tile_there_is_no_picture(tmp_path: Path) -> None:
    assert _write(tmp_path, []) is None
