"""Compares every descriptor with every other, as one matrix product."""

from dataclasses import dataclass
from typing import Annotated

from nodes.matchers import FindsMatches, Found, prepared
from nodes.vision.keypoints import Described
from nodes.vision.matching import (
    DISTANCE_HELP,
    Distance,
    best_per_target,
    distinctness,
    find_neighbours,
    select_matches,
)


class BruteForce(FindsMatches):
    """Takes for each descriptor its nearest neighbour, where that is clear and mutual."""

    @dataclass(frozen=True)
    class Options:
        """The tests that a nearest neighbour has to pass."""

        ratio: Annotated[
            float, "largest distance as a share of that to the second nearest; 1 takes all"
        ] = 0.8
        cross_check: Annotated[bool, "whether each must be the nearest of the other"] = True
        distance: Annotated[Distance, DISTANCE_HELP] = "auto"

        def __post_init__(self) -> None:
            if not 0 < self.ratio <= 1:
                raise ValueError(f"ratio must be more than 0 and at most 1, not {self.ratio}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()

    def match(self, prev: Described, cur: Described) -> Found:
        """Return matches (M, 2) and, as scores (M,), how clearly each was nearest, from 0 to 1.

        Raises:
            ValueError, ConfigError: as `prepared` does.
        """
        found = find_neighbours(*prepared(prev, cur, self.options.distance))
        matches = select_matches(found, self.options.ratio, self.options.cross_check)
        matches = best_per_target(matches, found.distance[matches[:, 0]])
        rows = matches[:, 0]
        return matches, distinctness(found.distance[rows], found.second[rows])
