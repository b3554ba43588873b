"""Square patches, found again as their points first looked, however the view has changed since.

A patch has P pixels at the offsets o (2, P) from its point. Another picture shows that pixel of the
patch of a point p at p + A o; A (2, 2) is its view. Pictures are grey, (H, W) uint8; points are
(N, 2) float32, pixels.
"""

import math
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

FLAT = 1e-3  # standard deviation, grey levels, below which a patch shows nothing
MOVE_DAMPING = 1e-4
VIEW_DAMPING = 0.02  # a straight corner does not tell how far its edges are stretched
MAX_VIEW_STEP = 0.3
NOTHING: Float32 = np.empty((0, 0), np.float32)  # to be added to a product
MAX_ZOOM = 2.0  # beyond, a patch shows other detail


@dataclass(frozen=True, eq=False)
class Patches:
    """How N points first looked, and how that is seen now.

    looks: (N, P) float32, grey levels with mean 0 and length 1. steps: (N, 6, P) float32, what a
    difference in looks says of the motion (two rows) and of the view (four). views: (N, 2, 2).
    """

    looks: Float32
    steps: Float32
    views: Float32

    def take(self, rows: Int) -> "Patches":
        """Return the patches at some indices."""
        return Patches(*(getattr(self, f.name)[rows] for f in fields(self)))

    def joined(self, rows: Int, other: "Patches") -> "Patches":
        """Return the patches at some indices, and then the others."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Patches(*(_joined(ours, rows, theirs) for ours, theirs in pairs))

    @property
    def is_sane(self) -> Bool:
        """Which views (N,) neither mirror nor zoom by more than `MAX_ZOOM`."""
        (a, b), (c, d) = self.views.transpose(1, 2, 0)
        area = a * d - b * c
        return np.asarray((area > MAX_ZOOM**-2) & (area < MAX_ZOOM**2), np.bool_)


@dataclass(frozen=True, eq=False)
class Refound:
    """Where patches fit best: points (N, 2), and their correlations (N,) there, -1 to 1."""

    points: Float32
    patches: Patches
    similarity: Float32


def cut_patches(grey: Image, points: Float32, side_px: int) -> Patches:
    """Cut the patches of points out of a picture; P is side_px squared, side_px odd."""
    num, wide_px = len(points), side_px + 2
    views = np.tile(np.eye(2, dtype=np.float32), (num, 1, 1))
    wide = _sample(_as_float(grey), points, views, _offsets(wide_px)).reshape(num, wide_px, wide_px)
    looks, lengths = _normalised(wide[:, 1:-1, 1:-1].reshape(num, side_px**2))
    dx, dy = wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2], wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]
    slopes = np.stack([dx, dy], axis=1).reshape(num, 2, side_px**2) / (2 * lengths[:, None])
    tilts = (slopes[:, :, None] * _offsets(side_px)).reshape(num, 4, side_px**2)
    return Patches(looks, _steps(np.concatenate([slopes, tilts], axis=1), looks), views)


def find_patches(grey: Image, points: Float32, patches: Patches, num_steps: int) -> Refound:
    """Move points to where their patches fit best, allowing for an affine change of view.

    Translations from picture to picture add up to a drift, because a patch that is zoomed or turned
    pulls its point towards its strongest edges; the first look does not. So compare Shi & Tomasi,
    "Good features to track", CVPR 1994, section 5. It is solved by the inverse compositional
    algorithm of Baker & Matthews, "Lucas-Kanade 20 years on: a unifying framework", IJCV 2004,
    section 3.2, with brightness and contrast projected out.

    Args:
        grey: (H, W).
        points: (N, 2), where the patches are expected within a few pixels.
        patches: N of them.
        num_steps: of Gauss-Newton.
    """
    image, views = _as_float(grey), patches.views
    offsets = _offsets(math.isqrt(patches.looks.shape[1]))
    for _ in range(num_steps):
        seen = _sample(image, points, views, offsets)
        # Neither the mean nor the look itself makes a step: they need not be taken off first.
        step = (patches.steps @ seen[:, :, None])[:, :, 0] / _contrast(seen)
        views = _undone(views, step[:, 2:].reshape(-1, 2, 2))
        points = points - (views @ step[:, :2, None])[:, :, 0]
    seen = _sample(image, points, views, offsets)
    similarity = np.einsum("np,np->n", seen, patches.looks) / _contrast(seen)[:, 0]
    return Refound(points, replace(patches, views=views), similarity)


def _as_float(grey: Image) -> Float32:
    return grey.astype(np.float32)  # OpenCV interpolates bytes to a 32nd of a pixel only


def _offsets(side_px: int) -> Float32:
    """Return the offsets (2, P) of the pixels of a patch, row by row of them."""
    along = np.arange(side_px, dtype=np.float32) - np.float32((side_px - 1) / 2)
    return np.stack(np.meshgrid(along, along)).reshape(2, -1)


def _sample(image: Float32, points: Float32, views: Float32, offsets: Float32) -> Float32:
    """Return the image at p + A o, (N, P)."""
    if not len(points):
        return np.empty((0, offsets.shape[1]), np.float32)
    moved = np.concatenate([views, points[:, :, None]], axis=2)
    steps = np.vstack([offsets, np.ones_like(offsets[:1])])
    # OpenCV's product, as that of numpy may round by the number of threads.
    x, y = (cv2.gemm(moved[:, row], steps, 1, NOTHING, 0) for row in (0, 1))
    sampled = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32)


def _contrast(values: Float32) -> Float32:
    """Return the lengths (N, 1) of rows (N, P) without their means."""
    num_px = values.shape[1]
    mean = values.mean(axis=1)
    squared = np.einsum("np,np->n", values, values) - num_px * mean**2
    lengths = np.sqrt(np.maximum(squared, np.float32(FLAT**2 * num_px)))
    return np.asarray(lengths[:, None], np.float32)


def _normalised(values: Float32) -> tuple[Float32, Float32]:
    """Return rows (N, P) with mean 0 and length 1, and the lengths (N, 1) that they had."""
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    lengths = np.maximum(lengths, np.float32(FLAT * math.sqrt(values.shape[1])))
    return np.asarray(centred / lengths, np.float32), np.asarray(lengths, np.float32)


def _steps(slopes: Float32, looks: Float32) -> Float32:
    """Return (N, 6, P) that turns a difference in looks into the step that explains it.

    What only changes brightness (a constant) and contrast (the look itself) is projected out.
    """
    slopes = slopes - slopes.mean(axis=2, keepdims=True)
    slopes = slopes - (slopes @ looks[:, :, None]) * looks[:, None]
    curvature = (slopes @ slopes.transpose(0, 2, 1)).astype(np.float64)
    diagonal = np.diagonal(curvature, axis1=1, axis2=2)
    move, view = diagonal[:, :2].mean(axis=1), diagonal[:, 2:].mean(axis=1)
    damping = np.repeat(np.column_stack([MOVE_DAMPING * move, VIEW_DAMPING * view]), (2, 4), axis=1)
    curvature += (damping + np.finfo(np.float32).tiny)[:, :, None] * np.eye(6)
    return np.asarray(np.linalg.inv(curvature).astype(np.float32) @ slopes, np.float32)


def _undone(views: Float32, step: Float32) -> Float32:
    """Return A (I + D)^-1 for each of the views A and the steps D (N, 2, 2), cut to a safe size."""
    safe = np.clip(step, -MAX_VIEW_STEP, MAX_VIEW_STEP)
    a, b, c, d = 1 + safe[:, 0, 0], safe[:, 0, 1], safe[:, 1, 0], 1 + safe[:, 1, 1]
    inverse = np.stack([d, -b, -c, a], axis=1) / (a * d - b * c)[:, None]
    return np.asarray(views @ inverse.reshape(-1, 2, 2), np.float32)


def _joined(ours: Float32, rows: Int, theirs: Float32) -> Float32:
    """Return `theirs` below `ours[rows]`, copied once."""
    both = np.empty((len(rows) + len(theirs), *ours.shape[1:]), np.float32)
    np.take(ours, rows, axis=0, out=both[: len(rows)], mode="clip")  # with "raise" it would buffer
    both[len(rows) :] = theirs
    return both
