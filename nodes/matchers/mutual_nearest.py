"""Mutual nearest neighbours by PyTorch: on a GPU the pairs of all streams are compared at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from nodes.matchers import FindsMatches, Found, prepared
from nodes.networks.neighbours import Nearest, NeighbourFinder
from nodes.vision.keypoints import Described
from nodes.vision.matching import (
    DISTANCE_HELP,
    Distance,
    Neighbours,
    as_values,
    distinctness,
    select_matches,
)


class MutualNearest(FindsMatches):
    """Takes two descriptors for a match where each is the nearest of the other."""

    @dataclass(frozen=True)
    class Options:
        """The test that mutual neighbours have to pass, and where they are found."""

        ratio: Annotated[
            float, "largest distance as a share of that to the second nearest; 1 takes all"
        ] = 1.0
        distance: Annotated[Distance, DISTANCE_HELP] = "auto"
        device: Annotated[
            Literal["auto", "cpu", "cuda"], "where to compare; auto takes a GPU if there is one"
        ] = "auto"

        def __post_init__(self) -> None:
            if not 0 < self.ratio <= 1:
                raise ValueError(f"ratio must be more than 0 and at most 1, not {self.ratio}")

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or self.Options()
        self._finder = NeighbourFinder(self.options.device)

    def match(self, prev: Described, cur: Described) -> Found:
        """Return matches (M, 2) and, as scores (M,), how clearly each was nearest, from 0 to 1."""
        return self.match_batch([(prev, cur)])[0]

    def match_batch(self, pairs: Sequence[tuple[Described, Described]]) -> list[Found]:
        """Return what `match` would for each pair (prev, cur).

        Raises:
            ValueError, ConfigError: as `prepared` does.
        """
        ready = [prepared(prev, cur, self.options.distance) for prev, cur in pairs]
        values = [(as_values(a), as_values(b)) for a, b in ready if len(a) and len(b)]
        found = iter(self._finder.find(values))
        return [
            self._select(next(found), _is_binary(prev))
            if len(prev.keypoints) and len(cur.keypoints)
            else (np.empty((0, 2), np.int32), np.empty(0, np.float32))
            for prev, cur in pairs
        ]

    def _select(self, found: Nearest, is_binary: bool) -> Found:
        scale = _identity if is_binary else np.sqrt  # squared distances of bits are Hamming's
        neighbours = Neighbours(
            found.nearest, scale(found.squared), scale(found.second), found.nearest_back
        )
        matches = select_matches(neighbours, self.options.ratio, cross_check=True)
        rows = matches[:, 0]
        return matches, distinctness(neighbours.distance[rows], neighbours.second[rows])


def _is_binary(described: Described) -> bool:
    return described.descriptors.dtype == np.uint8


def _identity(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return values
