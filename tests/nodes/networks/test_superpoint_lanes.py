"""The lanes and slots of SuperPoint: what is kept, and how a GPU's graphs come to be recorded.

A CPU has no graphs; what stands for them here tells when they were recorded and played.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from generated_networks import generated_superpoint
from two_view_scene import texture

from nodes.networks import extractor as module
from nodes.networks.extractor import Extractor
from nodes.networks.keypoint_head import Found

SIZES = [(120, 160), (96, 64), (57, 83)]
PICTURES = [texture(seed, *size) for seed in range(2) for size in SIZES]


def extractor() -> Extractor:
    return Extractor(generated_superpoint(), device="cpu")


def assert_same(a: Found, b: Found) -> None:
    for name in Found._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def test_buffers_are_used_again_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(module._Slot):
        def __init__(self, *args: object) -> None:
            made.append(args[2])
            super().__init__(*args)

    monkeypatch.setattr(module, "_Slot", Counted)
    run = extractor()
    for image in PICTURES:
        run.extract(image)
    assert made == [(1, *size) for size in SIZES]
    for side in range(8, 8 + 3 * module.MAX_SLOTS):
        run.extract(np.zeros((side, side), np.uint8))
        run.extract(PICTURES[0])  # what is in use stays
    lane = run._lanes.get()
    assert len(lane.slots) == module.MAX_SLOTS
    assert made.count((1, *SIZES[0])) == 1


def test_buffers_of_a_call_that_failed_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = extractor()
    expected = run.extract(PICTURES[0])
    with monkeypatch.context() as patch:
        patch.setattr(run, "compute", lambda *args: 1 / 0)
        for _ in range(module.GPU_LANES + 99):  # as many as there can be: each lane comes back
            with pytest.raises(ZeroDivisionError):
                run.extract(PICTURES[0], np.zeros_like(PICTURES[0]))
    assert_same(run.extract(PICTURES[0]), expected)


class FakeGraph:
    """What PyTorch's graph is to a slot; it can only tell that it was played."""

    played = 0

    def replay(self) -> None:
        self.played += 1

    def pool(self) -> object:
        return self


def with_fake_graphs(
    monkeypatch: pytest.MonkeyPatch, run: Extractor, *, fails: bool = False
) -> list[tuple[int, object]]:
    """Let the slots of an extractor record; return (number of runs before it, pool) of each."""
    recorded: list[tuple[int, object]] = []
    runs = []
    compute, make = run.compute, module._Slot.__init__

    @contextmanager
    def record(graph: FakeGraph, *, pool: object, **settings: object) -> Iterator[None]:
        assert settings["capture_error_mode"] == "thread_local"
        recorded.append((len(runs), pool))
        if fails:
            raise RuntimeError("operation not permitted\nmore about it")
        yield

    def counted(*args: torch.Tensor) -> torch.Tensor:
        runs.append(1)
        return compute(*args)

    def ready(slot: module._Slot, *args: object) -> None:
        make(slot, *args)
        slot._may_record = True

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(run, "compute", counted)
    monkeypatch.setattr(module._Slot, "__init__", ready)
    return recorded


def test_the_second_batch_is_run_then_recorded_and_later_ones_are_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = extractor()
    recorded = with_fake_graphs(monkeypatch, run)
    for _ in range(4):
        run.extract(PICTURES[0])
    assert recorded == [(2, None)]  # both runs were before it: the second on the same thread
    for _ in range(2):
        run.extract(PICTURES[1])
    lane = run._lanes.get()
    first, second = (slot.graph for slot in lane.slots.values())
    assert (first.played, second.played) == (2, 0)
    assert recorded[1] == (5, first)  # in the memory of the first


def test_nobody_records_while_another_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run = extractor()
    recorded = with_fake_graphs(monkeypatch, run)
    with module._RECORDING:
        found = [run.extract(PICTURES[0]) for _ in range(3)]
    assert not recorded
    run.extract(PICTURES[0])
    assert len(recorded) == 1
    assert not module._RECORDING.locked()
    assert_same(found[2], found[0])


def test_where_recording_fails_it_goes_on_without_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = extractor()
    expected = run.extract(PICTURES[1])
    recorded = with_fake_graphs(monkeypatch, run, fails=True)
    run.extract(PICTURES[0])
    with pytest.warns(RuntimeWarning, match="without a CUDA graph: operation not permitted$"):
        run.extract(PICTURES[0])
    run.extract(PICTURES[0])  # a second warning would be an error
    assert len(recorded) == 1
    assert not module._RECORDING.locked()
    assert_same(run.extract(PICTURES[1]), expected)
