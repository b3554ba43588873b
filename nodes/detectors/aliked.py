"""ALIKED: keypoints by a light network with deformable descriptors (Zhao et al., IEEE TIM 2023)."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from nodes.detectors import FindsKeypoints
from nodes.networks.aliked import LENGTHS, AlikedNetwork
from nodes.networks.weights import locate
from nodes.vision.keypoints import Keypoints, canonical_order, inside

Float = npt.NDArray[np.floating]
Image = npt.NDArray[np.uint8]

MIN_SIDE = 8
"""Pixels; in smaller images there is no room for the patch that a descriptor is made of."""
SIZE_PX = 32.0
"""Side of what the coarsest layer sees as one."""


class Aliked(FindsKeypoints):
    """Finds and describes ALIKED keypoints."""

    @dataclass(frozen=True)
    class Options:
        """Which keypoints to keep, the network, and where it runs."""

        max_keypoints: Annotated[int, "number of best keypoints to keep"] = 1000
        threshold: Annotated[float, "least score of a keypoint; more drops more"] = 0.2
        model: Annotated[Literal["aliked-t16", "aliked-n16"], "tiny or normal"] = "aliked-t16"
        weights: Annotated[str, "name or file of the weights; empty: those of the model"] = ""
        device: Annotated[
            Literal["auto", "cpu", "cuda"], "where to run; auto takes a GPU if there is one"
        ] = "auto"

        def __post_init__(self) -> None:
            if self.max_keypoints < 1:
                raise ValueError(f"max_keypoints must be at least 1, not {self.max_keypoints}")
            if not 0 < self.threshold < 1:
                raise ValueError(f"threshold must be between 0 and 1, not {self.threshold}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        path = locate(self.options.weights or self.options.model)
        self._network = AlikedNetwork(
            self.options.model, path, self.options.max_keypoints, self.options.device
        )

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the best keypoints of an image (H, W[, 3]) inside the mask, in canonical order.

        Descriptors are (N, 64) or, of the model n16, (N, 128) float32 of unit norm. ALIKED knows
        neither sizes nor angles: a size is nominal, an angle NaN.
        """
        if min(image.shape[:2]) < MIN_SIDE or image.min() == image.max():
            length = LENGTHS[self.options.model]
            return _as_keypoints(np.empty((0, 2)), np.empty(0), np.empty((0, length)))
        colour = image if image.ndim == 3 else np.dstack([image] * 3)
        found = _as_keypoints(*self._network.run(colour, mask))
        found = found.take(found.scores > self.options.threshold)
        if mask is not None:
            found = found.take(inside(mask, found.keypoints))
        return found.take(canonical_order(found))


def _as_keypoints(pixels: Float, scores: Float, descriptors: Float) -> Keypoints:
    num = len(pixels)
    return Keypoints(
        keypoints=np.asarray(pixels, np.float32),
        scores=np.asarray(scores, np.float32),
        sizes=np.full(num, SIZE_PX, np.float32),
        angles=np.full(num, np.nan, np.float32),
        descriptors=np.asarray(descriptors, np.float32),
    )
