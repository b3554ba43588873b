"""The suites of the benchmark tool: equal work on all sides, and figures that mean what they say."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipeline import config

Load = Callable[[str], ModuleType]


def test_a_ceiling_is_a_rate_that_such_a_machine_can_have(
    load: Load,
) -> None:
    ceilings = load("benchmarks.ceilings")
    source, target = np.full(2**20, 3, np.uint8), np.zeros(2**20, np.uint8)
    assert 0.05 < ceilings.memcpy_gbs([source], [target]) < 1000
    assert (target == 3).all()
    assert 0.5 < ceilings.matmul_gflops("cpu", 256) < 100_000


def test_a_torn_frame_is_noticed(load: Load) -> None:
    work = load("benchmarks.link_work")
    image = np.full((4, 5, 3), 7, np.uint8)
    work.read(image, 7 + work.MODULUS)
    image[2, 2, 1] = 8
    with pytest.raises(ValueError, match="frame 7 arrived torn"):
        work.read(image, 7)


def test_two_processes_add_up_and_one_counts_once(load: Load) -> None:
    work = load("benchmarks.link_work")
    schedule = work.Schedule(paced=1, saturated=10)
    source = {"pid": 1, "cpu_s": 0.02}
    sink = {"pid": 2, "cpu_s": 0.03, "wall_s": 0.5, "latencies_ms": [1.0, 9.0, 2.0]}
    two, one = (
        work.values(source, sink, schedule),
        work.values(source, {**sink, "pid": 1}, schedule),
    )
    assert two["CPU"] == pytest.approx(5.0)
    assert one["CPU"] == pytest.approx(2.0)
    assert two["latency"] == 2.0
    assert two["rate"] == pytest.approx(10 * 1920 * 1080 * 3 / 0.5 / 1e9)


@pytest.mark.parametrize(
    "name", ["posestream, threads", "posestream, ipc", "multiprocessing.Queue"]
)
def test_a_link_carries_every_frame(load: Load, name: str) -> None:
    links, work = load("benchmarks.links"), load("benchmarks.link_work")
    schedule = work.Schedule(paced=2, saturated=8)
    (contestant,) = (c for c in links.contestants(schedule) if c.name == name)
    values = contestant.prepare()()
    assert values["rate"] > 0.005
    assert 0 < values["latency"] < 2000
    assert values["CPU"] > 0


def test_matchers_are_given_equal_work(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match, settings = load("benchmarks.match"), load("benchmarks.settings")
    monkeypatch.setattr(match, "STEP", 1)
    findings = match.run(settings.Settings(tmp_path, repeats=1, quick=True))
    missing = [row.missing for row in findings.rows if row.missing]
    has_kornia = importlib.util.find_spec("kornia") is not None
    assert missing == ([] if has_kornia else ["No module named 'kornia'"] * 2)
    measured = [row for row in findings.rows if not row.missing]
    counts = {row.name: row.figures["matches"].median for row in measured}
    exact = counts["SIFT: OpenCV brute force"]
    if has_kornia:
        assert counts["SIFT: kornia match_snn"] == pytest.approx(exact, abs=1)
    ours = counts["SIFT: posestream brute_force"]
    assert counts["SIFT: posestream mutual_nearest on cpu"] == pytest.approx(ours, abs=1)
    assert 0.5 * exact < ours <= exact


def test_without_recordings_the_pictures_are_synthetic(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load("benchmarks.settings")
    monkeypatch.setattr(settings, "MAX_RENDERED", 2)
    here = settings.Settings(tmp_path)
    frames = here.clip(3, (64, 48))
    assert [image.shape for image in frames] == [(48, 64)] * 3
    assert frames[2] is frames[0]  # two are rendered, and played to and fro
    assert not np.array_equal(frames[0], frames[1])
    assert here.pictures == "frames of the synthetic scene"
    assert np.ptp(frames[0]) > 50


def test_a_recording_is_played_to_and_fro(load: Load) -> None:
    there_and_back = load("benchmarks.settings").there_and_back
    assert [there_and_back(seq, 4) for seq in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [there_and_back(seq, 1) for seq in range(3)] == [0, 0, 0]


def test_the_growth_of_the_memory_is_its_slope_after_the_warm_up(
    load: Load,
) -> None:
    memory, measure = load("benchmarks.memory"), load("benchmarks.measure")
    grown = [
        (1000, 0.0),
        *((frames, 100 + frames / 5000) for frames in range(10_000, 100_001, 1000)),
    ]
    found = memory.growth(grown, 100_000)
    assert found["slope"] == pytest.approx(2.0)
    assert found["first third"] == pytest.approx(105, abs=0.5)
    assert found["last third"] == pytest.approx(117, abs=0.5)
    with pytest.raises(measure.NotMeasuredError, match="0 samples"):
        memory.growth([], 100)


def test_the_worst_stream_counts(load: Load) -> None:
    ages = {"a": [10.0] * 60, "b": [20.0] * 30}
    found = load("benchmarks.streams").summary(ages, 60)
    assert found == {
        "sustained": 0.0, "dropped": 30.0, "results": 45.0, "slowest": 15.0, "fastest": 30.0,
        "p50": 20.0, "p99": 20.0,
    }  # fmt: skip


def test_paced_streams_are_counted_frame_by_frame(load: Load, tmp_path: Path) -> None:
    streams, settings = load("benchmarks.streams"), load("benchmarks.settings")
    nodes = streams.CPU_NODES["SIFT at half resolution"]
    plan = streams.Plan((2,), warm_up=3, counted=4)
    text = streams.graph_text(settings.Settings(tmp_path), nodes, 2, (160, 120), plan)
    values = streams.run_graph(text, plan)
    assert values["results"] == pytest.approx(30 * (8 - values["dropped"]) / 4)
    assert values["slowest"] <= values["fastest"] <= 30
    assert values["load"] > 0


def test_a_graph_that_fails_says_why(load: Load, tmp_path: Path) -> None:
    observe, measure = load("benchmarks.observe"), load("benchmarks.measure")
    with pytest.raises(measure.NotMeasuredError, match="unknown graph 'vidoe'"):
        observe.observed("vidoe", tmp_path / "run")


def test_the_superpoint_graph_takes_batches_of_all_streams(load: Load, tmp_path: Path) -> None:
    streams, settings = load("benchmarks.streams"), load("benchmarks.settings")
    nodes = streams.superpoint(tmp_path, "cpu")["SuperPoint"]
    plan = streams.Plan((2,), warm_up=1, counted=2)
    text = streams.graph_text(settings.Settings(tmp_path), nodes, 2, (64, 48), plan)
    graph = config.load_text(text, "streams.yaml")
    detector = graph.nodes["detector"]
    assert detector.batch.size == 2
    assert len(graph.nodes["sink"].inputs) == 1
