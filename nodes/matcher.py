"""Matches the keypoints of each frame with those of the frame before: `Features` -> `Matches`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.matchers import MATCHERS, FindsMatches
from nodes.messages import Features, Matches
from pipeline.node import Break, Node, Output, Resources, Skip

IDS_PER_FRAME = 2**24
"""Identities that each frame has; they follow from its seq alone, so that no past is needed."""


@dataclass(frozen=True, eq=False)
class _Pair:
    prev: Features
    cur: Features


class Matcher(Node):
    """Keeps of each stream the features of its last frame."""

    @dataclass(frozen=True)
    class Params:
        """Which matcher, and its settings."""

        algorithm: Annotated[str, MATCHERS, "how keypoints are matched"] = "brute_force"
        options: Annotated[object, "settings of the algorithm"] = None

    outputs = {"matches": Output(Matches)}
    memory = 1
    _matcher: FindsMatches

    def open(self, resources: Resources) -> None:
        """Load the matcher."""
        super().open(resources)
        self._matcher = MATCHERS.create(self.params.algorithm, self.params.options)
        self._last: dict[str, Features] = {}

    def process(self, features: Features) -> Iterator[Matches | Skip | Break]:
        """Match the keypoints of a frame with those of the one before it."""
        return self.process_batch([features])

    def process_batch(self, messages: Sequence[Features]) -> Iterator[Matches | Skip | Break]:
        """Match several frames, of whichever streams, each with the one before it, at once."""
        steps = [self._pair(features) for features in messages]
        pairs = [(s.prev, s.cur) for s in steps if isinstance(s, _Pair)]
        found = iter(self._matcher.match_batch(pairs))
        for step in steps:
            yield _matches(step, *next(found)) if isinstance(step, _Pair) else step

    def _pair(self, features: Features) -> _Pair | Skip | Break:
        prev = self._last.get(features.stream)
        self._last[features.stream] = features
        if prev is None:
            return Skip("first_frame")
        if _size(prev) != _size(features):
            return Break(f"size_changed: {_size(prev)} -> {_size(features)}")
        return _Pair(prev, features)


def _ids(features: Features) -> npt.NDArray[np.int64]:
    first = features.seq * IDS_PER_FRAME
    return np.arange(first, first + len(features.keypoints), dtype=np.int64)


def _matches(
    pair: _Pair, matches: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]
) -> Matches:
    prev, cur = pair.prev, pair.cur
    return Matches(
        stream=cur.stream,
        seq=cur.seq,
        stamp_ns=cur.stamp_ns,
        seq_prev=prev.seq,
        stamp_ns_prev=prev.stamp_ns,
        keypoints_prev=prev.keypoints,
        keypoints_cur=cur.keypoints,
        ids_prev=_ids(prev),
        ids_cur=_ids(cur),
        matches=matches,
        match_scores=scores,
        camera=cur.camera,
    )


def _size(features: Features) -> str:
    return f"{features.camera.width}x{features.camera.height}"
