"""XFeat: a small network for CPUs (Potje et al., CVPR 2024, section 3), by ONNX Runtime."""

from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.detectors import FindsKeypoints
from nodes.networks.weights import locate
from nodes.networks.xfeat import CELL, LENGTH, SIDE, XFeatNetwork
from nodes.vision.keypoints import Keypoints, canonical_order, inside

Float = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Int = npt.NDArray[np.int64]

WINDOW = 5
"""Side of the square in which a keypoint is the best, pixels of the network's picture."""


class XFeat(FindsKeypoints):
    """Finds and describes XFeat keypoints, in the picture stretched to 640 x 640 pixels."""

    @dataclass(frozen=True)
    class Options:
        """Which keypoints to keep, and the weights."""

        max_keypoints: Annotated[int, "number of best keypoints to keep"] = 1000
        threshold: Annotated[float, "least probability of a keypoint; more drops more"] = 0.05
        weights: Annotated[str, "name (see posestream weights list) or ONNX file"] = "xfeat"

        def __post_init__(self) -> None:
            if self.max_keypoints < 1:
                raise ValueError(f"max_keypoints must be at least 1, not {self.max_keypoints}")
            if not 0 < self.threshold < 1:
                raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self._network = XFeatNetwork(locate(self.options.weights))

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3]) inside the mask, in canonical order.

        Descriptors are (N, 64) float32 of unit norm. XFeat knows neither sizes nor angles: a size
        is that of a cell, an angle NaN.
        """
        if image.min() == image.max():  # the network divides by the contrast
            return _undescribed(np.empty((0, 2)), np.empty(0), 0.0)
        maps = self._network.run(stretch(image))
        peaks = find_peaks(maps.heatmap, self.options.threshold)
        cells = (peaks + 0.5) / CELL - 0.5
        reliability = sample(maps.reliability[..., None], cells)[:, 0]
        scale = np.array([image.shape[1], image.shape[0]]) / SIDE
        found = _undescribed(
            (peaks + 0.5) * scale - 0.5,
            maps.heatmap[peaks[:, 1], peaks[:, 0]] * reliability,
            CELL * scale.mean(),
        )
        best = canonical_order(found)
        if mask is not None:
            best = best[inside(mask, found.keypoints)[best]]
        best = best[: self.options.max_keypoints]
        descriptors = sample(maps.descriptors, cells[best])
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        return replace(found.take(best), descriptors=descriptors)


def stretch(image: Image) -> Image:
    """Return an image (H, W[, 3]) as the network's picture (640, 640, 3).

    A side that shrinks is averaged first: interpolation would leave pixels out.
    """
    height, width = image.shape[:2]
    smaller = (min(width, SIDE), min(height, SIDE))
    if smaller != (width, height):
        image = np.asarray(cv2.resize(image, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    if smaller != (SIDE, SIDE):
        image = np.asarray(cv2.resize(image, (SIDE, SIDE)), np.uint8)
    return image if image.ndim == 3 else np.dstack([image] * 3)


def find_peaks(heatmap: Float32, threshold: float) -> Int:
    """Return the pixels (N, 2), as (x, y), above a threshold that none around exceeds."""
    highest = cv2.dilate(heatmap, np.ones((WINDOW, WINDOW), np.uint8))
    y, x = np.nonzero((heatmap == highest) & (heatmap > threshold))
    return np.column_stack([x, y])


def sample(maps: Float32, points: Float) -> Float32:
    """Return the values (N, C) of maps (H, W, C) at points (N, 2), bilinear; the edge goes on."""
    height, width = maps.shape[:2]
    x, y = np.clip(points, 0, [width - 1, height - 1]).T
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = (x - left)[:, None], (y - top)[:, None]
    above = (1 - u) * maps[top, left] + u * maps[top, right]
    below = (1 - u) * maps[bottom, left] + u * maps[bottom, right]
    return np.asarray((1 - v) * above + v * below, np.float32)


def _undescribed(pixels: Float, scores: Float, size: float) -> Keypoints:
    num = len(pixels)
    return Keypoints(
        keypoints=np.asarray(pixels, np.float32),
        scores=np.asarray(scores, np.float32),
        sizes=np.full(num, size, np.float32),
        angles=np.full(num, np.nan, np.float32),
        descriptors=np.empty((num, LENGTH), np.float32),
    )
