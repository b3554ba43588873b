"""The peer of SuperPoint, and the GPU's part of suite detect: equal work on both sides."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from two_view_scene import texture

Load = Callable[[str], ModuleType]


def test_the_original_superpoint_is_52_gflop_at_vga(load: Load) -> None:
    assert load("benchmarks.eager_superpoint").gflop(640, 480) == pytest.approx(52.1, abs=0.1)


@pytest.mark.parametrize("max_pooling", [False, True])
def test_the_eager_superpoint_finds_as_many_keypoints_as_asked_and_none_too_close(
    load: Load, max_pooling: bool
) -> None:
    eager = load("benchmarks.eager_superpoint")
    image = np.random.default_rng(0).integers(100, 156, (120, 160), np.uint8)
    network = eager.EagerSuperPoint(eager.random_state(), "cpu", 50, max_pooling=max_pooling)
    ((keypoints, descriptors),) = network.detect_batch([image])
    assert keypoints.shape == (50, 2)
    assert np.linalg.norm(descriptors, axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    gaps = np.abs(keypoints[:, None] - keypoints[None]).max(2) + 1000 * np.eye(50)
    assert gaps.min() > eager.RADIUS
    assert keypoints.min() >= eager.BORDER
    assert (keypoints < np.array([160, 120]) - eager.BORDER).all()


def test_the_random_weights_leave_few_candidates_and_enough_keypoints(load: Load) -> None:
    """As trained ones do: what suppression costs depends on it, most of all on a host."""
    eager = load("benchmarks.eager_superpoint")
    image = texture(0, 240, 320)
    network = eager.EagerSuperPoint(eager.random_state(), "cpu", 10_000)
    ((keypoints, _),) = network.detect_batch([image])
    candidates = network.num_candidates([image])
    assert 1024 * image.size / (640 * 480) < len(keypoints) < candidates < 0.1 * image.size


def test_both_suppressions_of_the_peer_keep_local_maxima(load: Load) -> None:
    eager = load("benchmarks.eager_superpoint")
    scores = torch.zeros(1, 30, 40)
    scores[0, 10, 10:22:4] = torch.tensor(
        [0.9, 0.8, 0.7]
    )  # a chain: the second loses, not the third
    pooled = eager.suppress_by_max_pooling(scores)[0]
    assert [(x, y) for y, x in pooled.nonzero().tolist()] == [(10, 10), (18, 10)]
    points = np.array([[10, 10], [14, 10], [18, 10]])
    assert eager.suppress_greedily(points, 40, 30, 9).tolist() == [[10, 10], [18, 10]]
    assert eager.suppress_greedily(points, 40, 30, 1).tolist() == [[10, 10]]


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
    pooled = rows["eager SuperPoint, max-pooling, batch 2"].figures
    assert pooled["keypoints"].median == 16
    ratio = ours["rate"].median / pooled["rate"].median
    assert ours["times max-pooling, same batch"].median == pytest.approx(ratio)
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


@pytest.mark.parametrize("max_pooling", [False, True])
def test_the_eager_superpoint_agrees_with_the_detector(
    load: Load, tmp_path: Path, small_images: list[np.ndarray], max_pooling: bool
) -> None:
    eager, suite = load("benchmarks.eager_superpoint"), load("benchmarks.detect_cuda")
    weights, state = eager.save_random_weights(tmp_path), eager.random_state()
    ours = suite.make(weights, "cpu").detect(small_images[0])
    network = eager.EagerSuperPoint(state, "cpu", suite.KEYPOINTS, max_pooling=max_pooling)
    ((keypoints, descriptors),) = network.detect_batch([small_images[0]])
    theirs = {
        tuple(point): descriptor for point, descriptor in zip(keypoints, descriptors, strict=True)
    }
    common = [i for i, point in enumerate(ours.keypoints) if tuple(point) in theirs]
    assert len(common) > 0.95 * max(len(theirs), len(ours.keypoints)) > 20
    cosines = [ours.descriptors[i] @ theirs[tuple(ours.keypoints[i])] for i in common]
    assert min(cosines) > 0.99
