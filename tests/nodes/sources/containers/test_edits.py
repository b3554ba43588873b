"""What an edit list hides is believed only where the times of the track agree."""

import numpy as np
import pytest

from nodes.sources.containers.edits import check_times
from nodes.sources.containers.timeline import BrokenError

STEP = 512
SHOWN = [0, 3, 1, 2, 6, 4, 5]
"""The order of showing, in each group of pictures."""


def track(num_groups: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return ticks and durations of 25 Hz with B-frames, as an encoder of two frames' delay."""
    order = np.concatenate([7 * g + np.array(SHOWN) for g in range(num_groups)])
    return (order + 2) * STEP, np.full(len(order), STEP)


def check(ticks: np.ndarray, durations: np.ndarray, start: float, end: float) -> None:
    check_times(ticks, durations, (start, end, 14.0), int(durations.sum()))


def test_a_sound_track_may_hide_its_beginning_and_its_end() -> None:
    ticks, durations = track()
    last = float(ticks.max() + STEP)
    check(ticks, durations, 10.5 * STEP, last)
    check(ticks, durations, 10.5 * STEP, 30.0 * STEP)


def test_a_cut_may_leave_out_frames_before_the_last_ones() -> None:
    ticks, durations = track()
    ticks, durations = ticks[:-2], durations[:-2]  # 55 is there, 53 and 54 are not
    check(ticks, durations, 10.5 * STEP, float(ticks.max() + STEP))


@pytest.mark.parametrize("at", [14, 20, 33, 40])
@pytest.mark.parametrize("to", [0, 1, 9 * STEP, 80 * STEP])
def test_one_frame_that_is_moved_out_of_the_edit_is_noticed(at: int, to: int) -> None:
    ticks, durations = track()
    end = float(ticks.max() + STEP)
    ticks[at] = to
    with pytest.raises(BrokenError) as caught:
        check(ticks, durations, 10.5 * STEP, end)
    assert str(caught.value) in (
        "the time of a frame does not fit with those of the others",
        "a frame is shown long before or after it is decoded",
        "its frames do not last as long as its header says",
    )


def test_other_durations_than_the_header_says_are_noticed() -> None:
    ticks, durations = track()
    decoded = np.cumsum(durations) - durations
    longer = durations + 64
    with pytest.raises(BrokenError) as caught:
        check_times(
            ticks - decoded + np.cumsum(longer) - longer, longer,
            (10.5 * STEP, 58.0 * STEP, 14.0), int(durations.sum()),
        )  # fmt: skip
    assert str(caught.value) == "its frames do not last as long as its header says"


def test_an_edit_that_goes_on_behind_the_last_frame_is_noticed() -> None:
    ticks, durations = track()
    with pytest.raises(BrokenError) as caught:
        check(ticks, durations, 10.5 * STEP, float(ticks.max() + 2 * STEP))
    assert str(caught.value) == "its edit list shows more than there is"


def test_a_writer_with_times_of_decoding_of_its_own_is_believed() -> None:
    ticks, durations = track()
    rng = np.random.default_rng(0)
    ticks = ticks + np.sort(rng.integers(0, 300, len(ticks)))[np.argsort(np.argsort(ticks))]
    check(ticks, durations, 10.5 * STEP, float(ticks.max() + STEP))
