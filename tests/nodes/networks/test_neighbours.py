"""Neighbours of many pairs at once are those of each pair by itself."""

import numpy as np
import pytest
import torch

from nodes.networks.devices import find_device
from nodes.networks.neighbours import FAR, PAD, Nearest, NeighbourFinder
from pipeline.errors import ConfigError

LENGTHS = [(300, 280), (1, 5), (7, 1), (PAD, PAD), (PAD + 1, 2 * PAD), (40, 40)]


def integers(seed: int, num: int, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num, width)).astype(np.float32)


PAIRS = [(integers(n0, n0), integers(1000 + n1, n1)) for n0, n1 in LENGTHS]


def obvious(set0: np.ndarray, set1: np.ndarray) -> Nearest:
    table = ((set0[:, None, :].astype(np.float64) - set1[None]) ** 2).sum(axis=2)
    nearest, rows = table.argmin(axis=1), np.arange(len(set0))
    back, squared = table.argmin(axis=0), table[rows, nearest]
    table[rows, nearest] = np.inf
    return Nearest(nearest, squared.astype(np.float32), table.min(1).astype(np.float32), back)


def assert_same(a: Nearest, b: Nearest) -> None:
    for one, other in zip(a, b, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("index", range(len(PAIRS)))
def test_neighbours_are_those_of_the_whole_table(index: int) -> None:
    (found,) = NeighbourFinder("cpu").find([PAIRS[index]])
    assert_same(found, obvious(*PAIRS[index]))


def test_pairs_in_one_padded_table_have_the_neighbours_of_each_alone() -> None:
    together = NeighbourFinder("cpu").find_together(PAIRS)
    assert [len(found.nearest) for found in together] == [n0 for n0, _ in LENGTHS]
    for found, pair in zip(together, PAIRS, strict=True):
        assert_same(found, obvious(*pair))


def test_of_unit_norm_what_is_padded_is_nobodys_neighbour_on_either_side() -> None:
    """Unrelated unit vectors lie at a squared distance of about 2; what is padded lies at 1."""
    pairs = []
    for n0, n1 in ((30, 2 * PAD), (2 * PAD, 30), (30, 40)):
        sets = [
            np.random.default_rng(n0 + side).normal(size=(n, 64)) for side, n in enumerate((n0, n1))
        ]
        pairs.append(
            tuple((s / np.linalg.norm(s, axis=1, keepdims=True)).astype(np.float32) for s in sets)
        )
    for found, pair in zip(NeighbourFinder("cpu").find_together(pairs), pairs, strict=True):
        expected = obvious(*pair)
        assert np.array_equal(found.nearest, expected.nearest)
        assert np.array_equal(found.nearest_back, expected.nearest_back)
        assert np.allclose(found.squared, expected.squared, atol=1e-5)
        assert np.allclose(found.second, expected.second, atol=1e-5)


def test_no_squared_distance_is_negative_by_rounding() -> None:
    same = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    (found,) = NeighbourFinder("cpu").find([(same, same)])
    assert found.nearest.tolist() == list(range(200))
    assert (found.squared >= 0).all()


def test_of_equal_distances_the_lowest_index_wins() -> None:
    same = np.tile(integers(0, 1), (9, 1))
    found = NeighbourFinder("cpu").find_together([(same, same), PAIRS[0]])[0]
    assert found.nearest.tolist() == [0] * 9
    assert found.nearest_back.tolist() == [0] * 9
    assert found.second.tolist() == [0] * 9


def test_padding_is_nobodys_neighbour_even_for_a_descriptor_of_zeros() -> None:
    zeros, far = np.zeros((2, 32), np.float32), np.full((3, 32), 200, np.float32)
    (found,) = NeighbourFinder("cpu").find([(zeros, far)])
    assert found.nearest.tolist() == [0, 0]
    assert found.squared.tolist() == [32 * 200**2] * 2
    assert found.nearest_back.tolist() == [0] * 3


def test_a_descriptor_that_is_not_finite_is_nobodys_neighbour() -> None:
    set0, set1 = integers(1, 6), integers(1, 6)
    set1[2] = np.nan
    set1[4, 3] = np.inf
    (found,) = NeighbourFinder("cpu").find([(set0, set1)])
    assert not set(found.nearest) & {2, 4}
    assert [i for i in range(6) if found.nearest[i] == i] == [0, 1, 3, 5]


def test_descriptors_that_are_not_finite_are_far_from_each_other_but_not_infinitely() -> None:
    bad = np.full((3, 32), np.nan, np.float32)
    (found,) = NeighbourFinder("cpu").find([(bad, bad)])
    assert (found.squared >= FAR).all()
    assert np.isfinite(found.squared).all()
    assert np.isfinite(found.second).all()  # infinite means that there is none


def test_descriptors_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        NeighbourFinder("cpu").find([(integers(0, 3), integers(0, 3, width=16))])


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no CUDA GPU here; use device: cpu"):
        find_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:7", "mps", ""])
def test_a_device_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_device(name)
    assert str(error.value) == f"device {name!r} is not known; use one of: auto, cpu, cuda"


def test_of_several_gpus_the_current_one_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 2)
    assert find_device("cuda") == find_device("auto") == torch.device("cuda", 2)
    assert find_device("cpu") == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_finds_the_neighbours_that_a_cpu_does() -> None:
    for found, pair in zip(NeighbourFinder("cuda").find(PAIRS), PAIRS, strict=True):
        assert_same(found, obvious(*pair))
