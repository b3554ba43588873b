"""What the stages learn from: drawings, photographs, and pairs of views, each from its own numbers.

A sample depends on the seed and its indices alone, never on what was drawn before it: a training
that was interrupted goes on with the very samples that it would have seen.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nodes.networks.superpoint import CELL
from nodes.vision.feature_evaluation import transform
from training.homographies import (
    cell_centres,
    fitting,
    inverse,
    is_inside,
    sample,
    warp_image,
)
from training.photographs import Photographs
from training.photometric import augment
from training.recipe import PairsStage, ShapesStage
from training.shapes import draw

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]
Item = TypeVar("Item")

AHEAD = 4
"""Batches that are prepared before they are asked for."""
BEYOND = 1e4
"""Where a place is put that lies at or behind the horizon, pixels: outside every view."""
MARGIN_PX = 4
"""Points nearer to the border of a view or of its photograph are not compared."""


@dataclass(frozen=True)
class ShapesBatch:
    """B drawings; h w = H/8 W/8."""

    images: Image
    """(B, 1, H, W)."""
    corners: Float32
    """(M, 3): index in the batch, x, y."""
    valid_cells: Bool
    """(B, h, w): where there is light."""


@dataclass(frozen=True)
class PairsBatch:
    """Two views of each of B photographs; h w = H/8 W/8."""

    images: Image
    """(2 B, 1, H, W), the first views, then the second ones."""
    keypoints: Float32
    """(M, 3): index in the 2 B, x, y."""
    valid_cells: Bool
    """(2 B, h, w): where a view shows its photograph, with light."""
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
    return ShapesBatch(
        np.stack(images)[:, None],
        np.concatenate(corners).astype(np.float32),
        np.stack([lit_cells(image) for image in images]),
    )


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
    listed = [
        np.column_stack([np.full(len(view.keypoints[k]), k * stage.batch + i), view.keypoints[k]])
        for k in (0, 1)
        for i, view in enumerate(views)
    ]
    return PairsBatch(
        images=np.concatenate([[view.images[k] for view in views] for k in (0, 1)])[:, None],
        keypoints=np.concatenate(listed).astype(np.float32),
        valid_cells=np.concatenate([[view.cells[k] for view in views] for k in (0, 1)]),
        points=np.stack([view.points for view in views], axis=1).astype(np.float32),
        valid=np.stack([view.valid for view in views]),
        is_keypoint=np.stack([view.is_keypoint for view in views]),
        places=np.stack([view.places for view in views]).astype(np.float32),
        H_1_0=np.stack([view.H_1_0 for view in views]),
    )


class _TwoViews(NamedTuple):
    """What `PairsBatch` holds of one pair; the first axis or list is over the two views."""

    images: list[Image]
    keypoints: list[npt.NDArray[np.float64]]
    cells: list[Bool]
    points: npt.NDArray[np.float64]
    valid: Bool
    is_keypoint: Bool
    places: npt.NDArray[np.float64]
    H_1_0: npt.NDArray[np.float64]


def _two_views(
    stage: PairsStage, photograph: Image, labels: Float32, rng: np.random.Generator
) -> _TwoViews:
    """Return two views of a photograph; labels: its keypoints (N, 2)."""
    size, photograph_size = stage.size, (photograph.shape[0], photograph.shape[1])
    H_0_p = sample(rng, size, stage.first) @ fitting(photograph_size, size)
    H_1_0 = sample(rng, size, stage.second)
    transforms = (H_0_p, H_1_0 @ H_0_p)
    images = [augment(warp_image(photograph, H, size), rng, stage.photometric) for H in transforms]
    grid = cell_centres(size)
    cells = [
        is_inside(transform(inverse(H), grid), photograph_size) & lit_cells(image)
        for H, image in zip(transforms, images, strict=True)
    ]
    random = rng.uniform(0, 1, (4 * stage.points, 2)) * (np.array(size[::-1]) - 1)
    visible = transform(H_0_p, labels)
    visible = visible[np.isfinite(visible).all(axis=1)]
    candidates = np.concatenate([rng.permutation(visible), random])
    moved = transform(H_1_0, candidates)
    seen = is_inside(transform(inverse(H_0_p), candidates), photograph_size, MARGIN_PX)
    for image, points in zip(images, (candidates, moved), strict=True):
        seen &= is_inside(points, size, MARGIN_PX)
        seen[seen] = _are_in(lit_cells(image), points[seen])
    chosen = np.flatnonzero(seen)[: stage.points]
    points = np.zeros((2, stage.points, 2))
    points[:, : len(chosen)] = candidates[chosen], moved[chosen]
    is_keypoint = np.zeros(stage.points, bool)
    is_keypoint[: len(chosen)] = chosen < len(visible)
    return _TwoViews(
        images,
        [inside(transform(H, labels), size) for H in transforms],
        cells,
        points,
        np.arange(stage.points) < len(chosen),
        is_keypoint,
        np.nan_to_num(transform(H_1_0, grid), posinf=BEYOND),
        H_1_0,
    )


def lit_cells(image: Image) -> Bool:
    """Return which cells (h, w) of an image (H, W) are not all black, as beyond an endoscope's."""
    rows, columns = image.shape[0] // CELL, image.shape[1] // CELL
    return np.asarray(image.reshape(rows, CELL, columns, CELL).max(axis=(1, 3)) > 0)


def _are_in(cells: Bool, points: npt.NDArray[np.float64]) -> Bool:
    """Return whether the cells of points (N, 2), which lie in the image, are marked."""
    x, y = (points.round().astype(int) // CELL).T
    return np.asarray(cells[y, x])


def inside(points: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return those points (N, 2) whose nearest pixel is one of an image's."""
    return points[is_inside(points, size, -0.49)]


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
