"""SIFT by OpenCV (Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004)."""

from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt

from nodes.detectors import FindsKeypoints
from nodes.vision.images import to_grey
from nodes.vision.keypoints import Keypoints, canonical_order, inside

Float32 = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

LENGTH = 128
OFFSET_PX = np.float32(0.25)
"""By which OpenCV's keypoints are too far right and down: it doubles the image from edge to edge,
and halves the coordinates from centre to centre."""


class Sift(FindsKeypoints):
    """Finds and describes SIFT keypoints."""

    @dataclass(frozen=True)
    class Options:
        """OpenCV's parameters under OpenCV's names, and RootSIFT."""

        nfeatures: Annotated[int, "number of best keypoints to keep; 0 keeps all"] = 1000
        nOctaveLayers: Annotated[int, "scales in each octave"] = 3  # noqa: N815 OpenCV's name
        contrastThreshold: Annotated[float, "drops weak keypoints; more drops more"] = 0.04  # noqa: N815
        edgeThreshold: Annotated[float, "drops keypoints on edges; less drops more"] = 10.0  # noqa: N815
        sigma: Annotated[float, "blur of the first scale, pixels"] = 1.6
        root_sift: Annotated[bool, "compare square roots of the L1-normalised descriptors"] = False
        half_resolution: Annotated[
            bool,
            "search the image at half its size: a quarter of the work, a third of the keypoints",
        ] = False

        def __post_init__(self) -> None:
            if self.nfeatures < 0:
                raise ValueError(f"nfeatures must be at least 0, not {self.nfeatures}")
            if not 1 <= self.nOctaveLayers <= 20:
                raise ValueError(f"nOctaveLayers must be from 1 to 20, not {self.nOctaveLayers}")
            if not 0 <= self.contrastThreshold <= 1:
                raise ValueError(
                    f"contrastThreshold must be from 0 to 1, not {self.contrastThreshold}"
                )
            if not self.edgeThreshold > 1:
                raise ValueError(f"edgeThreshold must be more than 1, not {self.edgeThreshold}")
            if not 0.5 <= self.sigma <= 10:
                raise ValueError(f"sigma must be from 0.5 to 10 pixels, not {self.sigma}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3]) inside the mask, in canonical order.

        Descriptors are (N, 128) float32: integers from 0 to 255, or of unit norm for RootSIFT.
        """
        # OpenCV would apply the mask to the best of the whole image, not take the best inside it.
        num = self.options.nfeatures if mask is None else 0
        find = self._find_halved if self.options.half_resolution else self._find
        found = find(to_grey(image), num)
        if mask is not None:
            found = found.take(inside(mask, found.keypoints))
        found = found.take(canonical_order(found)[: self.options.nfeatures or None])
        if self.options.root_sift:
            return replace(
                found, descriptors=root_descriptors(np.asarray(found.descriptors, np.float32))
            )
        return found

    def _find_halved(self, grey: Image, nfeatures: int) -> Keypoints:
        """Find keypoints in the image at half its size; each of its pixels is the mean of four."""
        height, width = (side // 2 for side in grey.shape)
        if not height or not width:  # nothing to halve, nor to find
            return self._find(grey, nfeatures)
        even = grey[: 2 * height, : 2 * width]
        half = np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        found = self._find(half, nfeatures)
        # The centre of the first pixel is (0, 0), that of the first four (0.5, 0.5).
        return replace(
            found, keypoints=2 * found.keypoints + np.float32(0.5), sizes=2 * found.sizes
        )

    def _find(self, grey: Image, nfeatures: int) -> Keypoints:
        """Run OpenCV; it may return more: of equal scores at the end it keeps all."""
        sift = cv2.SIFT.create(  # costs microseconds, and threads must not share one
            nfeatures=nfeatures,
            nOctaveLayers=self.options.nOctaveLayers,
            contrastThreshold=self.options.contrastThreshold,
            edgeThreshold=self.options.edgeThreshold,
            sigma=self.options.sigma,
        )
        points, descriptors = sift.detectAndCompute(grey, None)
        rows = [(*p.pt, p.response, p.size, p.angle) for p in points]
        x, y, scores, sizes, angles = np.array(rows, np.float32).reshape(-1, 5).T
        return Keypoints(
            keypoints=np.column_stack([x, y]) - OFFSET_PX,
            scores=scores.copy(),
            sizes=sizes.copy(),
            angles=np.where(angles < 0, np.float32(np.nan), np.radians(angles)),
            descriptors=np.asarray(
                np.empty((0, LENGTH)) if descriptors is None else descriptors, np.float32
            ),
        )


def root_descriptors(descriptors: Float32) -> Float32:
    """Return RootSIFT of raw SIFT (N, 128): roots of the L1-normalised values, of unit norm.

    Arandjelovic & Zisserman, "Three things everyone should know to improve object retrieval",
    CVPR 2012, section 2.
    """
    total = np.sum(descriptors, axis=1, keepdims=True)
    return np.asarray(np.sqrt(descriptors / np.maximum(total, 1)), np.float32)
