"""The suites of the benchmark tool: equal work on all sides, and figures that mean what they say."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipeline import config

Load = Callable[[str], ModuleType]


def test_the_original_superpoint_is_52_gflop_at_vga(load: Load) -> None:
    assert load("benchmarks.eager_superpoint").gflop(640, 480) == pytest.approx(52.1, abs=0.1)


def test_the_eager_superpoint_finds_as_many_keypoints_as_asked_and_none_too_close(
    load: Load,
) -> None:
    eager = load("benchmarks.eager_superpoint")
    image = np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8)
    network = eager.EagerSuperPoint(eager.random_state(), "cpu", 50)
    ((keypoints, descriptors),) = network.detect_batch([image])
    assert keypoints.shape == (50, 2)
    assert np.linalg.norm(descriptors, axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    gaps = np.abs(keypoints[:, None] - keypoints[None]).max(2) + 1000 * np.eye(50)
    assert gaps.min() > eager.RADIUS


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
    assert not [row.missing for row in findings.rows if row.missing]
    counts = {row.name: row.figures["matches"].median for row in findings.rows}
    exact = counts["SIFT: OpenCV brute force"]
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


@pytest.fixture
def small_images() -> list[np.ndarray]:
    """Four grey pictures of 96x64 with something to see."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (64, 96), np.uint8) for _ in range(4)]


def test_the_gpu_suite_works_on_a_cpu(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_images: list[np.ndarray],
) -> None:
    suite, measure = load("benchmarks.detect_cuda"), load("benchmarks.measure")
    monkeypatch.setattr(suite, "KEYPOINTS", 16)
    monkeypatch.setattr(suite, "BATCHES", (1, 2))
    monkeypatch.setattr(suite, "matmul_gflops", lambda device: 1000.0)
    weights = load("benchmarks.eager_superpoint").save_random_weights(tmp_path)
    found = measure.race(suite.contestants(small_images, weights, "cpu"), 1)
    suite.add_shares(found.runs)
    rows = {row.name: row for row in found.rows(suite.UNITS)}
    assert rows["copy on the device"].missing == "needs a GPU"
    ours, eager = (rows[f"{who}SuperPoint, batch 2"].figures for who in ("", "eager "))
    assert ours["keypoints"].median == eager["keypoints"].median == 16
    ratio = ours["rate"].median / eager["rate"].median
    assert ours["times eager, same batch"].median == pytest.approx(ratio)
    assert ours["roofline"].median == pytest.approx(ours["speed"].median / 10)


def test_the_checks_of_the_gpu_suite_find_equal_things_equal(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_images: list[np.ndarray],
) -> None:
    suite = load("benchmarks.detect_cuda")
    monkeypatch.setattr(suite, "KEYPOINTS", 16)
    weights = load("benchmarks.eager_superpoint").save_random_weights(tmp_path)
    *agreements, memory = suite.checks(small_images, weights, "cpu", 2)
    for row in agreements:
        assert row.figures["same points"].median == 100
        assert row.figures["least cosine"].median == pytest.approx(1, abs=1e-5)
    assert memory.figures["after"].median == memory.figures["before"].median
    shifted = suite.make(weights, "cpu").detect(np.roll(small_images[0], 13, 1))
    other = suite.agreement(
        "other", [shifted], [suite.make(weights, "cpu").detect(small_images[0])]
    )
    assert other.figures["same points"].median < 60


def test_the_eager_superpoint_agrees_with_the_detector(
    load: Load, tmp_path: Path, small_images: list[np.ndarray]
) -> None:
    eager, suite = load("benchmarks.eager_superpoint"), load("benchmarks.detect_cuda")
    weights = eager.save_random_weights(tmp_path)
    ours = suite.make(weights, "cpu").detect(small_images[0])
    network = eager.EagerSuperPoint(eager.random_state(), "cpu", suite.KEYPOINTS)
    ((keypoints, descriptors),) = network.detect_batch([small_images[0]])
    theirs = {
        tuple(point): descriptor for point, descriptor in zip(keypoints, descriptors, strict=True)
    }
    common = [i for i, point in enumerate(ours.keypoints) if tuple(point) in theirs]
    assert len(common) > 0.6 * len(theirs)
    cosines = [ours.descriptors[i] @ theirs[tuple(ours.keypoints[i])] for i in common]
    assert min(cosines) > 0.99


def test_the_superpoint_graph_takes_batches_of_all_streams(load: Load, tmp_path: Path) -> None:
    streams, settings = load("benchmarks.streams"), load("benchmarks.settings")
    nodes = streams.superpoint(tmp_path, "cpu")["SuperPoint"]
    plan = streams.Plan((2,), warm_up=1, counted=2)
    text = streams.graph_text(settings.Settings(tmp_path), nodes, 2, (64, 48), plan)
    graph = config.load_text(text, "streams.yaml")
    detector = graph.nodes["detector"]
    assert (detector.batch.size, detector.params.options.batch_size) == (2, 2)
    assert len(graph.nodes["sink"].inputs) == 1
    assert "batch_size" not in nodes["detector"]["options"]  # those of the other numbers of streams
