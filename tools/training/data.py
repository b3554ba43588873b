"""What the stages learn from: drawings, photographs, and pairs of views, each from its own numbers.

A sample depends on the seed and its indices alone, never on what was drawn before it: a training
that was interrupted goes on with the very samples that it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from nodes.networks.superpoint import CELL
from pipeline.errors import InputError
from training.homographies import fitting, is_inside, sample, warp_image, warp_points
from training.photometric import augment
from training.recipe import PairsStage, ShapesStage
from training.shapes import draw

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Item = TypeVar("Item")

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp"}
EVERY_VALIDATION = 20
"""One photograph in so many is never learnt from."""
KEPT = 4096
"""Photographs that stay in memory."""
AHEAD = 4
"""Batches that are prepared before they are asked for."""
BEHIND = -1e4
"""Where a place is put that lies at or behind the horizon: beyond every view."""
MARGIN_PX = 4
"""Keypoints nearer to the border of a view or of its photograph are not used."""


class Photographs:
    """The photographs of a folder, in the order of their names; grey."""

    def __init__(self, folder: Path, short_side: int) -> None:
        """Find them.

        Raises:
            InputError: there are too few.
        """
        self.folder, self._short_side = folder, short_side
        files = folder.rglob("*") if folder.is_dir() else ()
        self.names = sorted(
            str(path.relative_to(folder)) for path in files if path.suffix.lower() in SUFFIXES
        )
        if len(self.names) < EVERY_VALIDATION:
            raise InputError(
                f"{folder}: {len(self.names)} photographs, at least {EVERY_VALIDATION} are needed: "
                f"give --images a folder of {', '.join(sorted(SUFFIXES))}"
            )
        indices = np.arange(len(self.names))
        is_validation = indices % EVERY_VALIDATION == EVERY_VALIDATION - 1
        self.training, self.validation = indices[~is_validation], indices[is_validation]
        self.read = lru_cache(KEPT)(self._read)

    def __len__(self) -> int:
        return len(self.names)

    def _read(self, index: int) -> Image:
        """Return the photograph (H, W) of an index, its short side reduced to what was asked.

        Raises:
            InputError: it cannot be decoded.
        """
        path = self.folder / self.names[index]
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise InputError(f"{path}: cannot be decoded as a picture: delete it")
        scale = self._short_side / min(image.shape)
        if scale < 1:
            size = tuple(max(CELL, round(length * scale)) for length in reversed(image.shape))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)


@dataclass(frozen=True)
class ShapesBatch:
    """Drawings (B, 1, H, W) uint8 and their corners (M, 3): index in the batch, x, y."""

    images: Image
    corners: Float32


@dataclass(frozen=True)
class PairsBatch:
    """Two views of each of B photographs; h w = H/8 W/8."""

    images: Image
    """(2 B, 1, H, W), the first views, then the second ones."""
    keypoints: Float32
    """(M, 3): index in the 2 B, x, y."""
    valid_cells: Bool
    """(2 B, h, w): where a view shows its photograph."""
    points: Float32
    """(2, B, N, 2): corresponding points, in the first and in the second views."""
    valid: Bool
    """(B, N): whether there is such a pair of points."""
    is_keypoint: Bool
    """(B, N): whether it is a keypoint; the others are random."""
    places: Float32
    """(B, h, w, 2): where the centres of the first views' cells lie in the second ones."""
    H_1_0: npt.NDArray[np.float64]
    """(B, 3, 3): from the first views to the second ones."""


def shapes_batch(stage: ShapesStage, key: Sequence[int]) -> ShapesBatch:
    """Return the batch of a key."""
    images, corners = [], []
    for i in range(stage.batch):
        rng = np.random.default_rng([*key, i])
        drawing = draw(rng, stage.size)
        images.append(augment(drawing.image, rng, stage.photometric))
        points = inside(drawing.corners, stage.size)
        corners.append(np.column_stack([np.full(len(points), i), points]))
    return ShapesBatch(np.stack(images)[:, None], np.concatenate(corners).astype(np.float32))


def pairs_batch(
    stage: PairsStage,
    photographs: Photographs,
    labels: Sequence[Float32],
    indices: npt.NDArray[np.int64],
    key: Sequence[int],
) -> PairsBatch:
    """Return the batch of a key; labels: the keypoints (N, 2) of every photograph.

    indices: of the photographs to choose from.
    """
    views = []
    for i in range(stage.batch):
        rng = np.random.default_rng([*key, i])
        index = int(rng.choice(indices))
        views.append(_two_views(stage, photographs.read(index), labels[index], rng))
    images, keypoints, cells, points, valid, is_keypoint, places, H_1_0 = zip(*views, strict=True)
    listed = [
        np.column_stack([np.full(len(found), second * stage.batch + i), found])
        for second in (0, 1)
        for i, found in enumerate(pair[second] for pair in keypoints)
    ]
    return PairsBatch(
        np.concatenate([np.stack([pair[k] for pair in images]) for k in (0, 1)])[:, None],
        np.concatenate(listed).astype(np.float32),
        np.concatenate([np.stack([pair[k] for pair in cells]) for k in (0, 1)]),
        np.stack([np.stack([pair[k] for pair in points]) for k in (0, 1)]).astype(np.float32),
        np.stack(valid),
        np.stack(is_keypoint),
        np.stack(places).astype(np.float32),
        np.stack(H_1_0),
    )


def _two_views(
    stage: PairsStage, photograph: Image, labels: Float32, rng: np.random.Generator
) -> tuple[object, ...]:
    """Return what `PairsBatch` holds of one pair."""
    size, photograph_size = stage.size, (photograph.shape[0], photograph.shape[1])
    H_0_p = sample(rng, size, stage.first) @ fitting(photograph_size, size)
    H_1_0 = sample(rng, size, stage.second)
    transforms = (H_0_p, H_1_0 @ H_0_p)
    images = [augment(warp_image(photograph, H, size), rng, stage.photometric) for H in transforms]
    keypoints = [inside(warp_points(H, labels), size) for H in transforms]
    grid = cell_centres(size)
    cells = [is_inside(warp_points(np.linalg.inv(H), grid), photograph_size) for H in transforms]
    random = rng.uniform(0, 1, (4 * stage.points, 2)) * (np.array(size[::-1]) - 1)
    candidates = np.concatenate([rng.permutation(warp_points(H_0_p, labels)), random])
    is_keypoint = np.arange(len(candidates)) < len(labels)
    in_photograph = warp_points(np.linalg.inv(H_0_p), candidates)
    moved = warp_points(H_1_0, candidates)
    seen = is_inside(in_photograph, photograph_size, MARGIN_PX)
    seen &= is_inside(candidates, size, MARGIN_PX) & is_inside(moved, size, MARGIN_PX)
    chosen = np.flatnonzero(seen)[: stage.points]
    points = np.zeros((2, stage.points, 2))
    points[:, : len(chosen)] = candidates[chosen], moved[chosen]
    told = np.zeros(stage.points, bool)
    told[: len(chosen)] = is_keypoint[chosen]
    return (
        images, keypoints, cells, points, np.arange(stage.points) < len(chosen), told,
        np.nan_to_num(warp_points(H_1_0, grid), nan=BEHIND), H_1_0,
    )  # fmt: skip


def inside(points: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return those points (N, 2) whose nearest pixel is one of an image's."""
    return points[is_inside(points, size, -0.49)]


def cell_centres(size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the centres (h, w, 2) of the cells of an image (height, width)."""
    y, x = np.mgrid[: size[0] : CELL, : size[1] : CELL]
    return np.stack([x, y], axis=-1) + (CELL - 1) / 2


def prefetched(make: Callable[[int], Item], steps: range, workers: int) -> Iterator[Item]:
    """Yield what `make` returns for each step, in order, some of them prepared by threads."""
    with ThreadPoolExecutor(workers, "data") as pool:
        numbers = iter(steps)
        waiting = [pool.submit(make, step) for step in islice(numbers, AHEAD * workers)]
        try:
            while waiting:
                item = waiting.pop(0).result()
                waiting.extend(pool.submit(make, step) for step in islice(numbers, 1))
                yield item
        finally:
            for future in waiting:
                future.cancel()
