"""Whether an edit list that hides pictures can be believed (ISO/IEC 14496-12, 8.6.6).

A decoder leaves out what the edit list hides, without a word. One changed bit in the times of the
pictures can so make one of them disappear. But the times of a track are told more than once, and
what is hidden is believed only where they agree.
"""

import numpy as np

from nodes.sources.containers.timeline import BrokenError, Int

MAX_DELAY = 64
"""Frames between decoding and showing; codecs reorder 16 at most, and edits skip as many."""
TAIL = 16
"""Frames at the end among which some may be missing, as those before them needed them no more."""
MAX_EARLY = 4
"""Frames by which one may be shown before its time of decoding, in files that count like that."""
FEW = 0.1
"""Of the times; a writer to whom the rule means nothing breaks it more often, and damage less."""


def check_times(ticks: Int, durations: Int, edit: tuple[float, float, float], claimed: int) -> None:
    """Check the times at which the samples of a track are shown.

    Args:
        ticks: (N,) when each is shown, in the order of decoding.
        durations: (N,) from its decoding to that of the next one, ticks.
        edit: where it begins and ends, and how exactly that is known, ticks.
        claimed: how long the header of the media says that they last, ticks.

    Raises:
        BrokenError: they contradict each other.
    """
    start, end, tolerance = edit
    decoded = np.cumsum(durations) - durations
    delays, longest = ticks - decoded, int(durations.max())
    if np.abs(delays).max() > MAX_DELAY * longest:
        raise BrokenError("a frame is shown long before or after it is decoded")
    if abs(int(durations.sum()) - claimed) > delays.max() - delays.min() + 1:
        raise BrokenError("its frames do not last as long as its header says")
    last = ticks.max() + durations[np.argmax(ticks)]
    if np.isfinite(end) and end > last + tolerance:
        raise BrokenError("its edit list shows more than there is")
    if _has_stray(ticks, decoded, longest, start) or _has_hole(ticks, longest, start, end):
        raise BrokenError("the time of a frame does not fit with those of the others")


def _has_stray(ticks: Int, decoded: Int, longest: int, start: float) -> bool:
    """Say whether single samples are shown when none is due.

    A sample is due when another one is decoded: that is how most writers make the times of
    decoding, from those of showing in their order. If many are not, the writer had another way.
    """
    if len(np.unique(ticks)) < len(ticks):
        return True
    tail = min(TAIL, len(ticks))
    top = min(decoded[-tail], np.sort(ticks)[-tail])
    is_early = (ticks < start) & (decoded >= max(top, start + MAX_EARLY * longest))
    if is_early.any():
        return True
    due, shown = (times[(times >= start) & (times < top)] for times in (decoded, ticks))
    return 0 < len(np.setxor1d(due, shown)) <= 2 + FEW * len(due)


def _has_hole(ticks: Int, longest: int, start: float, end: float) -> bool:
    """Say whether samples are hidden at the end, and others are missing before them."""
    steps = np.diff(np.sort(ticks[ticks >= start]))
    return bool(ticks.max() >= end and (steps > longest).any())
