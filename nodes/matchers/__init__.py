"""Matchers: each finds the keypoints of two images that show the same points.

A matcher is built from its `Options`, and keeps nothing from one call to the next.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Described
from pipeline.registry import Registry

MATCHERS = Registry(
    "matcher",
    {
        "brute_force": "nodes.matchers.brute_force:BruteForce",
        "mutual_nearest": "nodes.matchers.mutual_nearest:MutualNearest",
    },
    group="posestream.matchers",
)


Found = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


class FindsMatches(Protocol):
    """What the matcher node asks of a matcher; to be inherited from."""

    def match(self, prev: Described, cur: Described) -> Found:
        """Return matches (M, 2), each index at most once, sorted by column 0, and scores (M,)."""
        ...

    def match_batch(self, pairs: Sequence[tuple[Described, Described]]) -> list[Found]:
        """Return what `match` would for each pair (prev, cur); a GPU takes them together."""
        return [self.match(prev, cur) for prev, cur in pairs]
