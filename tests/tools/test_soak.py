"""The soak: its figures, and three minutes of it."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


def test_the_slope_of_the_memory_is_that_after_the_warm_up(load: Load) -> None:
    watch = load("soak").Watch(0)
    for step in range(720):
        watch.times_s.append(5.0 * step)
        warm_up = 40.0 * min(1.0, step / 60)
        watch.resident_mb.append(100 + warm_up + 0.5 * step * 5 / 3600)
        watch.descriptors.append(55 + (step == 300))
    figures = watch.figures()
    assert figures["memory_slope_mb_per_h"] == pytest.approx(0.5, abs=0.01)
    assert figures["descriptors_median_first_half"] == 55
    assert figures["descriptors_max"] == 56


@pytest.mark.long
@pytest.mark.timeout(600)
def test_three_minutes_of_faults_leave_a_balanced_ledger(load: Load, tmp_path: Path) -> None:
    found = load("soak").soak(3.0, 12.0, tmp_path)
    assert found["exit_code"] == 130
    assert not found["ended_by_itself"]
    assert found["unbalanced"] == []
    assert sum(found["faults"].values()) >= 8
    assert found["restarts"] == {"heavy": found["faults"]["detector killed"]}
    assert found["descriptors_median_second_half"] == found["descriptors_median_first_half"]
    for stream in found["streams"].values():
        assert stream["results"] > 500
