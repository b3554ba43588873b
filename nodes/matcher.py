"""Matches the keypoints of each frame with those of the frame before: `Features` -> `Matches`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.matchers import MATCHERS, FindsMatches
from nodes.messages import Features, Matches
from pipeline.node import Break, Node, Output, Resources, Skip


@dataclass(frozen=True, eq=False)
class _Numbered:
    """The features of a frame; its keypoints have the identities `first_id`, `first_id` + 1, ..."""

    features: Features
    first_id: int

    @property
    def end(self) -> int:
        return self.first_id + len(self.features.keypoints)

    @property
    def ids(self) -> npt.NDArray[np.int64]:
        return np.arange(self.first_id, self.end, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class _Pair:
    prev: _Numbered
    cur: _Numbered


class Matcher(Node):
    """Keeps of each stream the features of its last frame."""

    @dataclass(frozen=True)
    class Params:
        """Which matcher, and its settings."""

        algorithm: Annotated[str, MATCHERS, "how keypoints are matched"] = "brute_force"
        options: Annotated[object, "settings of the algorithm"] = None

    outputs = {"matches": Output(Matches)}
    _matcher: FindsMatches

    def open(self, resources: Resources) -> None:
        """Load the matcher."""
        super().open(resources)
        self._matcher = MATCHERS.create(self.params.algorithm, self.params.options)
        self._last: dict[str, _Numbered] = {}

    def process(self, features: Features) -> Iterator[Matches | Skip | Break]:
        """Match the keypoints of a frame with those of the one before it."""
        return self.process_batch([features])

    def process_batch(self, messages: Sequence[Features]) -> Iterator[Matches | Skip | Break]:
        """Match several frames, of whichever streams, each with the one before it, at once."""
        steps = [self._pair(features) for features in messages]
        pairs = [(s.prev.features, s.cur.features) for s in steps if isinstance(s, _Pair)]
        found = iter(self._matcher.match_batch(pairs))
        for step in steps:
            yield _matches(step, *next(found)) if isinstance(step, _Pair) else step

    def _pair(self, features: Features) -> _Pair | Skip | Break:
        prev = self._last.get(features.stream)
        cur = _Numbered(features, prev.end if prev else 0)
        self._last[features.stream] = cur
        if prev is None:
            return Skip("first_frame")
        if _size(prev.features) != _size(features):
            return Break(f"size_changed: {_size(prev.features)} -> {_size(features)}")
        return _Pair(prev, cur)


def _matches(
    pair: _Pair, matches: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]
) -> Matches:
    prev, cur = pair.prev.features, pair.cur.features
    return Matches(
        stream=cur.stream,
        seq=cur.seq,
        stamp_ns=cur.stamp_ns,
        seq_prev=prev.seq,
        stamp_ns_prev=prev.stamp_ns,
        keypoints_prev=prev.keypoints,
        keypoints_cur=cur.keypoints,
        ids_prev=pair.prev.ids,
        ids_cur=pair.cur.ids,
        matches=matches,
        match_scores=scores,
        camera=cur.camera,
    )


def _size(features: Features) -> str:
    return f"{features.camera.width}x{features.camera.height}"
