"""Matches the keypoints of each frame with those of the frame before: `Features` -> `Matches`."""

from collections.abc import Iterator
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
        prev = self._last.get(features.stream)
        cur = _Numbered(features, prev.end if prev else 0)
        self._last[features.stream] = cur
        if prev is None:
            yield Skip("first_frame")
        elif _size(prev.features) != _size(features):
            yield Break(f"size_changed: {_size(prev.features)} -> {_size(features)}")
        else:
            yield self._match(prev, cur)

    def _match(self, prev: _Numbered, cur: _Numbered) -> Matches:
        matches, scores = self._matcher.match(prev.features, cur.features)
        return Matches(
            stream=cur.features.stream,
            seq=cur.features.seq,
            stamp_ns=cur.features.stamp_ns,
            seq_prev=prev.features.seq,
            stamp_ns_prev=prev.features.stamp_ns,
            keypoints_prev=prev.features.keypoints,
            keypoints_cur=cur.features.keypoints,
            ids_prev=prev.ids,
            ids_cur=cur.ids,
            matches=matches,
            match_scores=scores,
            camera=cur.features.camera,
        )


def _size(features: Features) -> str:
    return f"{features.camera.width}x{features.camera.height}"
