"""Approximate nearest neighbours: randomised k-d trees, or hash tables for binary descriptors."""

from dataclasses import dataclass
from typing import Annotated

from nodes.matchers import FindsMatches, Found, prepared
from nodes.vision.flann import find_approximate_neighbours
from nodes.vision.keypoints import Described
from nodes.vision.matching import (
    DISTANCE_HELP,
    Distance,
    best_per_target,
    distinctness,
    select_matches,
)


class Flann(FindsMatches):
    """Takes for each descriptor the nearest of those that an index shows, where that is clear.

    It pays off from some 3,000 float descriptors on, and always for binary ones; a few in a hundred
    matches are others than `brute_force` finds. It repeats to the bit.
    """

    @dataclass(frozen=True)
    class Options:
        """How thoroughly to search, and the tests that a neighbour has to pass."""

        ratio: Annotated[
            float, "largest distance as a share of that to the second nearest; 1 takes all"
        ] = 0.8
        cross_check: Annotated[
            bool, "whether each must be the nearest of the other; takes as long again"
        ] = False
        trees: Annotated[int, "number of k-d trees; float descriptors only"] = 4
        checks: Annotated[
            int, "descriptors to look at in the trees; more find more, slower; float only"
        ] = 32
        distance: Annotated[Distance, DISTANCE_HELP] = "auto"

        def __post_init__(self) -> None:
            if not 0 < self.ratio <= 1:
                raise ValueError(f"ratio must be more than 0 and at most 1, not {self.ratio}")
            for key, high in (("trees", 64), ("checks", 100_000)):
                if not 1 <= getattr(self, key) <= high:
                    raise ValueError(f"{key} must be from 1 to {high}, not {getattr(self, key)}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()

    def match(self, prev: Described, cur: Described) -> Found:
        """Return matches (M, 2) and, as scores (M,), how clearly each was nearest, from 0 to 1.

        Raises:
            ValueError, ConfigError: as `prepared` does.
        """
        o = self.options
        found = find_approximate_neighbours(
            *prepared(prev, cur, o.distance), o.trees, o.checks, with_back=o.cross_check
        )  # fmt: skip
        matches = select_matches(found, o.ratio, o.cross_check)
        matches = best_per_target(matches, found.distance[matches[:, 0]])
        rows = matches[:, 0]
        return matches, distinctness(found.distance[rows], found.second[rows])
