"""`panorama.png`: the panorama pasted from its tiles; where no frame reached it is transparent."""

import cv2
import numpy as np
import numpy.typing as npt

from nodes.writers import StreamFiles, Tile, Writer
from nodes.writers.output import write_whole

Image = npt.NDArray[np.uint8]


class Panorama(Writer[Tile]):
    """Writes `panorama.png`, cropped to what is covered; no file where nothing is."""

    port = "mosaic"
    _files: StreamFiles

    def open(self, files: StreamFiles) -> None:
        """Begin with a canvas without size."""
        self._files = files
        self._canvas: Image = np.zeros((0, 0, 4), np.uint8)

    def write(self, record: Tile) -> None:
        """Paste a tile; one that is as large as the canvas begins it anew.

        A canvas that has grown has done so to the right and downwards.
        """
        x, y = record.origin
        height, width = record.mask.shape
        is_all = (width, height) == record.canvas_size
        self._canvas = _grow(self._canvas[:0, :0] if is_all else self._canvas, *record.canvas_size)
        covered = record.mask > 0
        region = self._canvas[y : y + height, x : x + width]
        region[covered, :3] = record.image[covered][:, ::-1]  # RGB -> BGR
        region[covered, 3] = 255

    def close(self) -> None:
        """Write the picture."""
        picture = crop_to_covered(self._canvas)
        if picture.size:
            _, encoded = cv2.imencode(".png", picture)
            write_whole(self._files.path("panorama", ".png"), encoded.tobytes())


def crop_to_covered(picture: Image) -> Image:
    """Return the smallest rectangle of a picture (H, W, 4) with all that is not transparent."""
    rows = np.flatnonzero(picture[:, :, 3].any(axis=1))
    columns = np.flatnonzero(picture[:, :, 3].any(axis=0))
    if not len(rows):
        return picture[:0, :0]
    return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _grow(canvas: Image, width: int, height: int) -> Image:
    rows, columns = canvas.shape[:2]
    if rows >= height and columns >= width:
        return canvas
    grown = np.zeros((max(rows, height), max(columns, width), 4), np.uint8)
    grown[:rows, :columns] = canvas
    return grown
