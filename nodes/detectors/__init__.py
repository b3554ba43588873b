"""Detectors: each finds the keypoints of one image and describes them.

A detector is built from its `Options`, and may be asked by several threads at once.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Keypoints
from pipeline.registry import Registry

DETECTORS = Registry(
    "detector",
    {"sift": "nodes.detectors.sift:Sift"},
    group="posestream.detectors",
)


class FindsKeypoints(Protocol):
    """What the detector node asks of a detector."""

    def detect(self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8] | None) -> Keypoints:
        """Return the keypoints of an image (H, W[, 3]) inside the mask, in canonical order."""
