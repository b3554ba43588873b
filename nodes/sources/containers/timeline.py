"""Which pictures a container says it holds and when each is shown, and the roll call of them.

A decoder that meets damage leaves pictures out and goes on, without a word. So the pictures that
come out are ticked off against the list that the container itself gives.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

TOLERANCE_NS = 10_000
"""A decoder's times are the container's own but for rounding."""
MAX_PICTURES = 10_000_000
"""46 hours at 60 Hz; a container that claims more is damaged."""
MAX_REORDERED = 64
"""Pictures by which the order of showing may differ from that of decoding, or times are wrong."""
_LARGEST_NS = 2.0**62


class BrokenError(Exception):
    """A container contradicts itself; the message says where and how."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The pictures of a recording, in the order in which they are shown.

    `times_ns` (N,) counts from the first picture that must come out, and does not fall;
    `required` (N,) is False where the file may hold a picture that is not shown: hidden by an edit
    list, no more than a placeholder, or not to be decoded without what was cut off before it.
    `is_exact` says that a decoder gives these very times; else only their number counts.
    """

    times_ns: Int
    required: Bool
    is_exact: bool = True
    is_late: bool = False

    @classmethod
    def of(
        cls,
        ticks: Int,
        tick_ns: float,
        required: Bool,
        keys: Bool,
        is_exact: bool = True,
        is_late: bool = False,
    ) -> "Timeline":
        """Make it from pictures in the order of the file, which is that of decoding.

        Args:
            ticks: (N,) times at which the pictures are shown, in units of `tick_ns`.
            tick_ns: the unit, nanoseconds.
            required: (N,) whether each must come out.
            keys: (N,) whether each can be decoded without others.
            is_exact: whether a decoder gives these very times, or
            is_late: maybe all of them some ticks later.
        """
        required = required & ~_leading(ticks, keys)
        first = ticks[required].min() if required.any() else 0
        order = np.argsort(ticks, kind="stable")
        is_exact &= bool((np.abs(order - np.arange(len(order))) <= MAX_REORDERED).all())
        times = np.clip((ticks[order] - first) * tick_ns, -_LARGEST_NS, _LARGEST_NS)
        return cls(np.rint(times).astype(np.int64), required[order], is_exact, is_late)

    @property
    def num_required(self) -> int:
        """Return how many pictures must come out."""
        return int(self.required.sum())


class RollCall:
    """Ticks off the pictures that are decoded; without a timeline it expects none."""

    def __init__(self, timeline: Timeline | None) -> None:
        self.num_required = timeline.num_required if timeline else 0
        self.num_decoded = 0
        self.first_missing_ns: int | None = None
        """Time of the first picture that is known to be missing."""
        self._num_passed_over = 0
        self._next = 0
        self._timeline = timeline if timeline and _can_be_followed(timeline) else None

    @property
    def num_missing(self) -> int:
        """Return how many pictures did not come out so far; valid at the end."""
        return max(self._num_passed_over, self.num_required - self.num_decoded)

    @property
    def num_passed_over(self) -> int:
        """Return how many pictures are known to be missing before the last one decoded."""
        return self._num_passed_over

    def tick_off(self, stamp_ns: int) -> list[int]:
        """Note a decoded picture; return the times of the missing ones that were passed over.

        Once a decoder's time is not among the container's, places are no longer known, and only
        the number counts.
        """
        self.num_decoded += 1
        if self._timeline is None:
            return []
        times_ns, start = self._timeline.times_ns, self._next
        place = start + int(np.searchsorted(times_ns[start:], stamp_ns - TOLERANCE_NS))
        is_unknown = place == len(times_ns) or times_ns[place] > stamp_ns + TOLERANCE_NS
        if is_unknown or (self._timeline.is_late and place > start == 0):
            self._timeline = None
            return []
        self._next = place + 1
        passed = self._timeline.required[start:place]
        missing = [int(t) for t in times_ns[start:place][passed]]
        self._num_passed_over += len(missing)
        if missing and self.first_missing_ns is None:
            self.first_missing_ns = missing[0]
        return missing

    def finish(self) -> None:
        """Note that no more picture comes: the first missing one may be the next one."""
        if self._timeline is not None and self.first_missing_ns is None:
            rest = self._timeline.required[self._next :]
            if rest.any():
                place = self._next + int(np.argmax(rest))
                self.first_missing_ns = int(self._timeline.times_ns[place])


def _leading(ticks: Int, keys: Bool) -> Bool:
    """Return which pictures (N,) come, or are shown, before the first key picture.

    A trimmed recording may begin between two key pictures, or with one (of an "open" group) that
    is followed by pictures that are shown before it and refer to what was cut off.
    """
    if not keys.any():
        return np.zeros(len(ticks), np.bool_)
    first, *others = np.flatnonzero(keys)[:2].tolist()
    number = np.arange(len(ticks))
    is_early = (ticks < ticks[first]) & (number < (others[0] if others else len(ticks)))
    return np.asarray((number < first) | is_early)


def _can_be_followed(timeline: Timeline) -> bool:
    """Say whether every picture can be told by its time."""
    return timeline.is_exact and bool((np.diff(timeline.times_ns) > 2 * TOLERANCE_NS).all())
