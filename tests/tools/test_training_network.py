"""The network while it learns: seeded, with batch norm, and the same without it at the end."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from nodes.networks.superpoint import SuperPoint, Widths

Load = Callable[[str], ModuleType]
SMALL = Widths((4, 4, 8, 8), 8, 6)


@pytest.fixture
def network(load: Load) -> ModuleType:
    return load("training.network")


def trained(made: SuperPoint) -> SuperPoint:
    """Give the batch norms statistics that are not those of the beginning."""
    made.train()
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        made(torch.rand((2, 1, 32, 40), generator=generator))
    for parameter in made.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += 0.1 * noise
    return made


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone(
    network: ModuleType,
) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one, same, other = (network.make_network(SMALL, batch_norm=True, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
    assert not torch.equal(one.conv1b.conv[0].weight, other.conv1b.conv[0].weight)


def test_the_folded_network_is_plain_and_gives_the_same(network: ModuleType) -> None:
    made = trained(network.make_network(SMALL, batch_norm=True, seed=1))
    plain = network.folded(made)
    assert plain.state_dict().keys() == SuperPoint(SMALL).state_dict().keys()
    images = torch.rand((2, 1, 48, 32), generator=torch.Generator().manual_seed(0))
    made.eval()
    with torch.no_grad():
        for expected, found in zip(made(images), plain(images), strict=True):
            assert torch.allclose(expected, found, atol=1e-4)
            assert float(expected.std()) > 1e-3


def test_folding_leaves_the_learning_network_as_it_was(network: ModuleType) -> None:
    made = trained(network.make_network(SMALL, batch_norm=True, seed=1))
    before = {key: value.clone() for key, value in made.state_dict().items()}
    network.folded(made)
    assert made.training and made.conv1a.conv[1].training
    assert all(torch.equal(value, made.state_dict()[key]) for key, value in before.items())


def test_without_batch_norm_nothing_is_folded(network: ModuleType) -> None:
    made = network.make_network(SMALL, batch_norm=False, seed=1)
    plain = network.folded(made)
    for key, value in made.state_dict().items():
        assert torch.equal(value, plain.state_dict()[key])
