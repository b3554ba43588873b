"""Estimates the focal length of uncalibrated cameras: `Matches` -> `Matches`.

Until it is known the matches pass with the assumed camera; from then on with the estimated one,
which is still no calibration. Those of a calibrated camera pass untouched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.messages import Matches
from nodes.vision.camera import Camera
from nodes.vision.focal import (
    MIN_INLIERS,
    PairFocal,
    SharedFocal,
    combine_focals,
    estimate_focal,
)
from nodes.vision.robust import seed_for
from pipeline.node import Message, Node, Notice, Output, Resources

Float = npt.NDArray[np.float64]

MIN_SHIFT = 0.05  # of the points of a pair, times the longer side: less hides in the noise
MIN_POINTS = 60  # with fewer left a pair is asked as it is,
MIN_THIN_SHIFT = 0.01  # but not if its points hardly moved
SHIFT_GROWTH = 1.5  # a pair that could not tell is asked again when it has moved on by this factor
MAX_PAIRS = 4  # times those asked for: what disagrees then is given up
MAX_TRIES = 12  # times those asked for


@dataclass(eq=False)
class _Chain:
    """The keypoints of a reference frame that have been matched through to the last frame."""

    seq_first: int
    seq_last: int
    ids: npt.NDArray[np.int64]
    points_first: Float
    points_last: Float

    @classmethod
    def start(cls, matches: Matches) -> "_Chain":
        """Take the previous frame for the reference."""
        points = np.asarray(matches.keypoints_prev, np.float64)
        return cls(matches.seq_prev, matches.seq_prev, matches.ids_prev, points, points)

    def extend(self, matches: Matches) -> None:
        """Go on to the current frame with the points that are matched."""
        rows_prev, rows_cur = matches.matches.T
        _, kept, found = np.intersect1d(self.ids, matches.ids_prev[rows_prev], return_indices=True)
        rows = rows_cur[found]
        self.seq_last = matches.seq
        self.ids = matches.ids_cur[rows]
        self.points_first = self.points_first[kept]
        self.points_last = np.asarray(matches.keypoints_cur[rows], np.float64)

    @property
    def shift_px(self) -> float:
        """The median distance between where a point was and where it is."""
        shifts = np.linalg.norm(self.points_last - self.points_first, axis=1)
        return float(np.median(shifts)) if len(shifts) else 0.0


@dataclass(eq=False)
class _Stream:
    """What is known of one camera."""

    camera: Camera
    """As it comes, with the assumed focal length."""
    better: Camera | None = None
    """With the estimated one."""
    is_settled: bool = False
    chain: _Chain | None = None
    next_shift_px: float = 0.0
    pairs: list[PairFocal] = field(default_factory=list)
    num_tries: int = 0


class Calibrator(Node):
    """Estimates one focal length for each uncalibrated stream, from pairs some frames apart."""

    @dataclass(frozen=True)
    class Params:
        """When an estimate is good enough."""

        pairs: Annotated[int, "pairs that must tell a focal length before one is fixed"] = 8
        max_spread: Annotated[float, "largest relative standard deviation that is accepted"] = 0.09

        def __post_init__(self) -> None:
            if self.pairs < 2:
                raise ValueError(f"pairs must be at least 2, not {self.pairs}")
            if not 0 < self.max_spread < 1:
                raise ValueError(f"max_spread must be between 0 and 1, not {self.max_spread}")

    outputs = {"matches": Output(Matches)}

    def open(self, resources: Resources) -> None:
        """Begin without any stream."""
        super().open(resources)
        self._streams: dict[str, _Stream] = {}

    def process(self, matches: Matches) -> Iterator[Matches]:
        """Pass the matches on with the best camera that is known."""
        camera = matches.camera
        if camera.calibrated or camera.focal_source is not None:
            yield matches
            return
        stream = self._streams.get(matches.stream)
        if stream is None or stream.camera != camera:
            stream = self._streams[matches.stream] = _Stream(camera)
        if not stream.is_settled:
            self._learn(stream, matches)
        yield matches if stream.better is None else replace(matches, camera=stream.better)

    def notice(self, port: str, notice: Notice) -> None:
        """Forget a stream that breaks: another camera may follow."""
        if notice.kind == "break":
            self._streams.pop(notice.stream, None)

    def flush(self, stream: str) -> Iterable[Message]:
        """Say so if the stream ends before its focal length is known."""
        known = self._streams.pop(stream, None)
        if known and not known.is_settled:
            self._give_up(stream, known, f"{len(known.pairs)} of {known.num_tries} pairs tell it")
        return ()

    def _learn(self, stream: _Stream, matches: Matches) -> None:
        """Follow the points of the reference frame; ask the pair once they have moved enough."""
        longer_px = max(stream.camera.width, stream.camera.height)
        if stream.chain is None or stream.chain.seq_last != matches.seq_prev:
            stream.chain = _Chain.start(matches)
            stream.next_shift_px = MIN_SHIFT * longer_px
        chain = stream.chain
        chain.extend(matches)
        is_thin = len(chain.ids) < MIN_POINTS
        if is_thin:
            stream.chain = None
            stream.next_shift_px = MIN_THIN_SHIFT * longer_px
        if len(chain.ids) >= MIN_INLIERS and chain.shift_px >= stream.next_shift_px:
            stream.next_shift_px = SHIFT_GROWTH * chain.shift_px
            if self._ask(stream, chain, matches.stream):
                stream.chain = None
            self._settle(stream, matches.stream)

    def _ask(self, stream: _Stream, chain: _Chain, name: str) -> bool:
        """Estimate the focal length from a pair; say whether it tells one."""
        centre = (stream.camera.cx, stream.camera.cy)
        pair = estimate_focal(
            chain.points_first - centre,
            chain.points_last - centre,
            max(stream.camera.width, stream.camera.height),
            seed_for(self.resources.seed, name, chain.seq_first, chain.seq_last),
        )
        stream.num_tries += 1
        stream.pairs += [pair] if pair else []
        return pair is not None

    def _settle(self, stream: _Stream, name: str) -> None:
        """Fix the focal length if enough pairs agree; give up if they never will."""
        wanted, told = self.params.pairs, len(stream.pairs)
        shared = combine_focals(stream.pairs, self.resources.seed) if told >= wanted else None
        if shared and shared.spread <= self.params.max_spread:
            self._fix(stream, shared, name)
        elif told >= MAX_PAIRS * wanted and shared:
            self._give_up(name, stream, f"{told} pairs differ by {100 * shared.spread:.0f} %")
        elif stream.num_tries >= MAX_TRIES * wanted:
            self._give_up(name, stream, f"{told} of {stream.num_tries} pairs tell it")

    def _fix(self, stream: _Stream, shared: SharedFocal, name: str) -> None:
        focal, (low, high) = shared.focal_px, shared.range_px
        stream.better = replace(stream.camera, fx=focal, fy=focal, focal_source="matches")
        stream.is_settled, stream.chain = True, None
        self.resources.report("focal_px", focal)
        self.resources.warn(
            f"stream {name!r}: focal length {focal:.0f} px from {shared.num_pairs} pairs "
            f"(spread {low:.0f} to {high:.0f} px); still uncalibrated"
        )

    def _give_up(self, name: str, stream: _Stream, why: str) -> None:
        stream.is_settled, stream.chain = True, None
        self.resources.warn(
            f"stream {name!r}: the focal length stays the assumed {stream.camera.fx:.0f} px "
            f"({why}); give --camera FILE"
        )
