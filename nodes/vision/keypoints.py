"""Keypoints with their descriptors, and the one order in which the project keeps them."""

from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Descriptors = npt.NDArray[np.float32] | npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]


class Described(Protocol):
    """Anything with the arrays of `Keypoints`, such as the message `Features`."""

    @property
    def keypoints(self) -> Float32:
        """(N, 2) float32, pixels."""

    @property
    def descriptors(self) -> Descriptors:
        """(N, D) float32, or (N, D / 8) uint8 for binary ones."""


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of one image, best first.

    keypoints: (N, 2) float32, (x, y) pixels. scores: (N,) float32, higher is better.
    sizes: (N,) float32, diameter in pixels. angles: (N,) float32, radians clockwise from x, or NaN.
    descriptors: (N, D) float32, or (N, D / 8) uint8 for binary ones.
    """

    keypoints: Float32
    scores: Float32
    sizes: Float32
    angles: Float32
    descriptors: Descriptors

    def take(self, rows: npt.NDArray[np.int64] | Bool) -> "Keypoints":
        """Return the keypoints at some indices, or where a mask (N,) is true."""
        return Keypoints(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def canonical_order(found: Keypoints) -> npt.NDArray[np.int64]:
    """Return the indices (N,) that sort by (-score, y, x, size, angle, index).

    Equal scores are common: a SIFT keypoint comes once for each of its orientations.
    """
    x, y = found.keypoints.T
    return np.lexsort((found.angles, found.sizes, x, y, -found.scores)).astype(np.int64)


def inside(mask: npt.NDArray[np.uint8], keypoints: Float32) -> Bool:
    """Return which keypoints (N, 2) lie on a pixel where the mask (H, W) is not zero."""
    height, width = mask.shape
    x, y = np.rint(keypoints).astype(np.int64).T
    in_image = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    allowed = np.zeros(len(keypoints), np.bool_)
    allowed[in_image] = mask[y[in_image], x[in_image]] != 0
    return allowed
