"""KLT: corners followed by pyramidal Lucas-Kanade, and compared with how they first looked."""

from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.trackers import NEW, Tracked
from nodes.vision.corners import (
    cell_side,
    corner_strength,
    find_corners,
    first_of_each_cell,
)
from nodes.vision.images import to_grey
from nodes.vision.keypoints import inside
from nodes.vision.optical_flow import Search, flow_of_neighbours, follow_predicted, is_inside
from nodes.vision.patches import Patches, Refound, cut_patches, find_patches

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

NEAR_LEVELS = 2
ENOUGH = 0.9  # of the points that there were after corners were last looked for
MAX_AGE = 3  # images; what comes into view is not told by what is lost
CLAHE_CONTRAST = 3.0
CLAHE_TILES = (8, 8)


@dataclass(frozen=True, eq=False)
class _Memory:
    """Of the N points of an image: the flow (N, 2) that took them there, and for the first K, which
    were followed, the `rows` (K,) of their patches; the others are new, and `grey` (H, W) is their
    first look. Corners were last looked for `age` images ago, and made it `num_full` points.
    """

    grey: Image
    flow: Float32
    patches: Patches
    rows: Int
    num_full: int = 0
    age: int = MAX_AGE


class Klt:
    """Follows Shi and Tomasi's corners, and finds a new one in each cell of a grid without any."""

    @dataclass(frozen=True)
    class Options:
        """How many corners, and when one is lost."""

        max_points: Annotated[int, "number of points to hold at most"] = 1000
        cell_px: Annotated[
            int, "side of the cells that get a corner each, pixels; more where max_points says so"
        ] = 20
        min_quality: Annotated[
            float, "least slope of a new corner in its flattest direction, grey levels a pixel"
        ] = 2.0
        window_px: Annotated[int, "side of the window that is followed, pixels, odd"] = 11
        levels: Annotated[int, "pictures in the pyramid, each half the size of the last"] = 5
        max_forward_backward_px: Annotated[
            float, "largest distance between a point and itself, followed there and back, pixels"
        ] = 0.5
        patch_px: Annotated[int, "side of the patch that is a point's first look, pixels, odd"] = 15
        patch_steps: Annotated[int, "steps towards the first look; 0 does not look"] = 2
        min_similarity: Annotated[
            float, "least correlation of a point with its first look, -1 to 1"
        ] = 0.7
        max_correction_px: Annotated[
            float, "furthest that a point may be from where its first look fits, pixels"
        ] = 2.0
        clahe: Annotated[bool, "raise local contrast first, as for faint texture"] = False

        def __post_init__(self) -> None:
            for key, low, high in (("max_points", 1, 100_000), ("cell_px", 4, 1000)):
                _check(self, key, low, high)
            for key, low, high in (("window_px", 5, 101), ("patch_px", 5, 101)):
                _check(self, key, low, high)
                if getattr(self, key) % 2 == 0:
                    raise ValueError(f"{key} must be odd, not {getattr(self, key)}")
            for key, low, high in (("levels", 1, 10), ("patch_steps", 0, 20)):
                _check(self, key, low, high)
            if not self.min_quality > 0:
                raise ValueError(f"min_quality must be more than 0, not {self.min_quality}")
            for key in ("max_forward_backward_px", "max_correction_px"):
                if not getattr(self, key) > 0:
                    raise ValueError(f"{key} must be more than 0, not {getattr(self, key)}")
            _check(self, "min_similarity", -1, 1)

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self._near = Search(
            self.options.window_px,
            min(NEAR_LEVELS, self.options.levels),
            self.options.max_forward_backward_px,
        )

    def start(self, image: Image, mask: Image | None = None) -> Tracked:
        """Find corners in an image (H, W[, 3]) inside the mask."""
        grey = self._grey(image)
        none = np.empty((0, 2), np.float32)
        rows = np.empty(0, np.int64)
        memory = _Memory(grey, none, cut_patches(grey, none, self.options.patch_px), rows)
        return self._topped_up(mask, Tracked(none, rows, none[:, 0], None), memory)

    def follow(self, prev: Tracked, image: Image, mask: Image | None = None) -> Tracked:
        """Follow the points of the image before, and find corners where there are none.

        Scores are the correlations with the first looks; minus the forward-backward errors in
        pixels where `patch_steps` is 0.
        """
        memory = prev.memory
        if not isinstance(memory, _Memory):
            raise ValueError("follow goes on from what this tracker returned before")
        grey = self._grey(image)
        found = follow_predicted(
            memory.grey, grey, prev.keypoints, memory.flow, self._near, self.options.levels
        )
        rows = np.flatnonzero(found.is_found)
        held = Refound(found.points[rows], self._patches(prev, memory, rows), -found.errors[rows])
        held, is_same = self._compared(grey, held)
        kept = self._kept(held.points, is_same, grey.shape, mask)
        points, origins = held.points[kept], rows[kept]
        flow = points - prev.keypoints[origins]
        now = _Memory(grey, flow, held.patches, kept, memory.num_full, memory.age + 1)
        return self._topped_up(mask, Tracked(points, origins, held.similarity[kept], None), now)

    def _patches(self, prev: Tracked, memory: _Memory, rows: Int) -> Patches:
        """Return the patches of the points at `rows`; most new corners are lost before this."""
        num_old = len(memory.rows)
        old, new = rows[rows < num_old], rows[rows >= num_old]
        cut = cut_patches(memory.grey, prev.keypoints[new], self.options.patch_px)
        return memory.patches.joined(memory.rows[old], cut)

    def _compared(self, grey: Image, held: Refound) -> tuple[Refound, Bool]:
        """Move points to where their first looks fit; say which (N,) look the same there."""
        o = self.options
        if not o.patch_steps:
            return held, np.ones(len(held.points), np.bool_)
        found = find_patches(grey, held.points, held.patches, o.patch_steps)
        correction = np.linalg.norm(found.points - held.points, axis=1)
        is_same = (found.similarity >= o.min_similarity) & found.patches.is_sane
        return found, is_same & (correction <= o.max_correction_px)

    def _kept(
        self, points: Float32, is_same: Bool, shape: tuple[int, ...], mask: Image | None
    ) -> Int:
        """Return the rows inside image and mask; of points that met, the one held longest."""
        allowed = is_same & is_inside(points, shape)
        if mask is not None:
            allowed &= inside(mask, points)
        rows = np.flatnonzero(allowed)
        return rows[first_of_each_cell(points[rows], shape[1], self.options.cell_px // 4)]

    def _topped_up(self, mask: Image | None, held: Tracked, memory: _Memory) -> Tracked:
        """Add corners to the points that are held; they should move as their neighbours.

        While few points have been lost there is no need to look for others.
        """
        num_held = len(held.keypoints)
        if memory.age < MAX_AGE and num_held > ENOUGH * memory.num_full:
            return replace(held, memory=memory)
        new = self._new_corners(memory.grey, mask, held.keypoints)
        flow = flow_of_neighbours(new, held.keypoints, memory.flow)
        return Tracked(
            keypoints=np.concatenate([held.keypoints, new]),
            origins=np.concatenate([held.origins, np.full(len(new), NEW)]),
            scores=np.concatenate([held.scores, np.zeros(len(new), np.float32)]),
            memory=replace(
                memory,
                flow=np.concatenate([memory.flow, flow]),
                num_full=num_held + len(new),
                age=0,
            ),
        )

    def _new_corners(self, grey: Image, mask: Image | None, held: Float32) -> Float32:
        o = self.options
        margin = o.patch_px // 2 + 1  # a first look must be seen whole
        allowed = np.zeros(grey.shape, np.bool_)
        allowed[margin:-margin, margin:-margin] = True
        if mask is not None:
            allowed &= mask != 0
        cell_px = cell_side(grey.shape[0], grey.shape[1], o.cell_px, o.max_points)
        corners = find_corners(corner_strength(grey), allowed, held, cell_px, o.min_quality)
        return corners[: max(0, o.max_points - len(held))]

    def _grey(self, image: Image) -> Image:
        grey = to_grey(image)
        if not self.options.clahe:
            return grey
        raised = cv2.createCLAHE(CLAHE_CONTRAST, CLAHE_TILES).apply(grey)
        return np.asarray(raised, np.uint8)


def _check(options: Klt.Options, key: str, low: float, high: float) -> None:
    if not low <= getattr(options, key) <= high:
        raise ValueError(f"{key} must be from {low} to {high}, not {getattr(options, key)}")
