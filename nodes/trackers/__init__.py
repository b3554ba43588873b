"""Trackers: each follows points from one image of a stream to the next.

A tracker is built from its `Options`, and keeps nothing from one call to the next: what it needs of
the image before, it finds in what it returned for it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.registry import Registry

Image = npt.NDArray[np.uint8]

TRACKERS = Registry(
    "tracker",
    {"klt": "nodes.trackers.klt:Klt"},
    group="posestream.trackers",
)

NEW = -1


@dataclass(frozen=True, eq=False)
class Tracked:
    """The points that are held in one image: first those that were followed, then new ones.

    keypoints: (N, 2) float32, pixels. origins: (N,) int64, the row of the same point among those
    held in the image before, rising; NEW where there is none. scores: (N,) float32, how well each
    was followed, higher is better. memory: what the tracker keeps of the image, its own affair.
    """

    keypoints: npt.NDArray[np.float32]
    origins: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    memory: object


class FollowsPoints(Protocol):
    """What the tracker node asks of a tracker."""

    def start(self, image: Image, mask: Image | None) -> Tracked:
        """Find points in an image (H, W[, 3]) inside the mask; all are new."""

    def follow(self, prev: Tracked, image: Image, mask: Image | None) -> Tracked:
        """Follow the points of the image before into one of the same size, and find new ones."""
