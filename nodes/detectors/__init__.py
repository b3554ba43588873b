"""Detectors: each finds the keypoints of one image and describes them.

A detector is built from its `Options`, and may be asked by several threads at once.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Keypoints
from pipeline.registry import Registry

Image = npt.NDArray[np.uint8]

DETECTORS = Registry(
    "detector",
    {
        "sift": "nodes.detectors.sift:Sift",
        "orb": "nodes.detectors.orb:Orb",
        "superpoint": "nodes.detectors.superpoint:SuperPoint",
        "superpoint-small": "nodes.detectors.superpoint_small:SuperPointSmall",
        "aliked": "nodes.detectors.aliked:Aliked",
        "xfeat": "nodes.detectors.xfeat:XFeat",
    },
    extras={"kornia": "kornia", "onnxruntime": "onnx"},
    group="posestream.detectors",
)


class FindsKeypoints(Protocol):
    """What the detector node asks of a detector; to be inherited from."""

    batch_size: int = 1
    """The most images that `detect_batch` is given; the node sets it once."""

    def detect(self, image: Image, mask: Image | None = None) -> Keypoints:
        """Return the keypoints of an image (H, W[, 3]) inside the mask, in canonical order."""
        ...

    def detect_batch(
        self, images: Sequence[Image], masks: Sequence[Image | None]
    ) -> list[Keypoints]:
        """Return what `detect` would for each image (of any sizes); a GPU takes them together."""
        return [self.detect(image, mask) for image, mask in zip(images, masks, strict=True)]
