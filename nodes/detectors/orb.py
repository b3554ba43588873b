"""ORB by OpenCV: FAST corners with binary descriptors (Rublee et al., "ORB: an efficient
alternative to SIFT or SURF", ICCV 2011).
"""

import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.detectors import FindsKeypoints
from nodes.vision.images import to_grey
from nodes.vision.keypoints import Keypoints, canonical_order, inside

Image = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

LENGTH = 32


class Orb(FindsKeypoints):
    """Finds and describes ORB keypoints: an order of magnitude faster than SIFT, less accurate."""

    @dataclass(frozen=True)
    class Options:
        """OpenCV's parameters under OpenCV's names."""

        nfeatures: Annotated[int, "number of best keypoints to keep"] = 1000
        scaleFactor: Annotated[float, "size of each level over that of the next"] = 1.2  # noqa: N815 OpenCV's name
        nlevels: Annotated[int, "levels of the pyramid"] = 8
        edgeThreshold: Annotated[int, "border without keypoints, pixels of a level"] = 31  # noqa: N815
        patchSize: Annotated[int, "side of the described patch, pixels of a level"] = 31  # noqa: N815
        fastThreshold: Annotated[int, "contrast of a corner, grey values; more drops more"] = 20  # noqa: N815

        def __post_init__(self) -> None:
            if not 1 <= self.nfeatures <= 100_000:
                raise ValueError(f"nfeatures must be from 1 to 100000, not {self.nfeatures}")
            if not 1 < self.scaleFactor <= 4:
                raise ValueError(
                    f"scaleFactor must be more than 1 and at most 4, not {self.scaleFactor}"
                )
            if not 1 <= self.nlevels <= 20:
                raise ValueError(f"nlevels must be from 1 to 20, not {self.nlevels}")
            if not 2 <= self.edgeThreshold <= 200:
                raise ValueError(f"edgeThreshold must be from 2 to 200, not {self.edgeThreshold}")
            if not 2 <= self.patchSize <= 200:
                raise ValueError(f"patchSize must be from 2 to 200, not {self.patchSize}")
            if not 1 <= self.fastThreshold <= 254:
                raise ValueError(f"fastThreshold must be from 1 to 254, not {self.fastThreshold}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3]) inside the mask, in canonical order.

        Descriptors are (N, 32) uint8: 256 comparisons of grey values, a bit each.
        """
        grey = to_grey(image)
        found = self._find(grey, mask)
        if mask is not None:  # OpenCV's is that of each level: it may be a pixel wider
            found = found.take(inside(mask, found.keypoints))
        return found.take(canonical_order(found)[: self.options.nfeatures])

    def _find(self, grey: Image, mask: Image | None) -> Keypoints:
        orb = cv2.ORB.create(  # costs microseconds, and threads must not share one
            nfeatures=self.options.nfeatures,
            scaleFactor=self.options.scaleFactor,
            nlevels=self._num_levels(min(grey.shape)),
            edgeThreshold=self.options.edgeThreshold,
            patchSize=self.options.patchSize,
            fastThreshold=self.options.fastThreshold,
        )
        points, descriptors = orb.detectAndCompute(grey, mask)
        rows = [(*p.pt, p.response, p.size, p.angle, p.octave) for p in points]
        x, y, scores, sizes, angles, levels = np.array(rows, np.float32).reshape(-1, 6).T
        scales = (np.float64(self.options.scaleFactor) ** levels).astype(np.float32)
        height, width = grey.shape
        return Keypoints(
            keypoints=np.column_stack([_unscaled(x, scales, width), _unscaled(y, scales, height)]),
            scores=scores.copy(),
            sizes=sizes.copy(),
            angles=np.radians(angles),
            descriptors=np.asarray(
                np.empty((0, LENGTH)) if descriptors is None else descriptors, np.uint8
            ),
        )

    def _num_levels(self, side: int) -> int:
        """Return how many levels have a pixel, where the shorter side of the image has some."""
        possible = 1 + math.floor(math.log(side) / math.log(self.options.scaleFactor))
        return min(self.options.nlevels, possible)


def _unscaled(coordinate: Float32, scales: Float32, length: int) -> Float32:
    """Map coordinates (N,) along a side of some length to centres of pixels of the image.

    A level is the image resized to a whole number of pixels, edge to edge. OpenCV returns the
    coordinate in the level times its scale, which is up to two pixels off on the smallest.
    """
    lengths = np.rint(np.float32(length) * (1 / scales)).astype(np.float64)  # as OpenCV rounds
    return np.asarray((coordinate / scales + 0.5) * (length / lengths) - 0.5, np.float32)
