"""Matchers: each finds the keypoints of two images that show the same points.

A matcher is built from its `Options`, and keeps nothing from one call to the next.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Described
from pipeline.registry import Registry

MATCHERS = Registry(
    "matcher",
    {"brute_force": "nodes.matchers.brute_force:BruteForce"},
    group="posestream.matchers",
)


class FindsMatches(Protocol):
    """What the matcher node asks of a matcher."""

    def match(
        self, prev: Described, cur: Described
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return matches (M, 2), each index at most once, sorted by column 0, and scores (M,)."""
