"""Matchers: each finds the keypoints of two images that show the same points.

A matcher is built from its `Options`, and keeps nothing from one call to the next.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.keypoints import Described, Descriptors
from nodes.vision.matching import Distance, check_kinds, prepare
from pipeline.errors import ConfigError
from pipeline.registry import Registry

MATCHERS = Registry(
    "matcher",
    {
        "brute_force": "nodes.matchers.brute_force:BruteForce",
        "flann": "nodes.matchers.flann:Flann",
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


def prepared(
    prev: Described, cur: Described, distance: Distance
) -> tuple[Descriptors, Descriptors]:
    """Return the descriptors of a pair so that they can be compared by a distance.

    Raises:
        ValueError: they are of different kinds.
        ConfigError: descriptors of this kind have no such distance.
    """
    check_kinds(prev.descriptors, cur.descriptors)
    try:
        return prepare(prev.descriptors, distance), prepare(cur.descriptors, distance)
    except ValueError as error:
        raise ConfigError(f"the matcher's options.{error}") from error
