"""The network of SuperPoint, and the three layouts of its weights."""

from pathlib import Path

import pytest
import safetensors
import torch
from generated_networks import SMALL, generated_superpoint, with_random_statistics
from torch import nn
from torch.nn import functional

from nodes.networks.state_dicts import load_superpoint, save_superpoint
from nodes.networks.superpoint import SuperPoint, Widths, pool
from pipeline.errors import InputError

LAYERS = "1a 1b 2a 2b 3a 3b 4a 4b Pa Pb Da Db".split()  # noqa: SIM905 as the paper has it
OPEN_LAYERS = [f"backbone.{i}.{j}" for i in range(4) for j in range(2)]
OPEN_LAYERS += ["detector.0", "detector.1", "descriptor.0", "descriptor.1"]
CHANNELS = [(1, 6), (6, 6), (6, 7), (7, 7), (7, 9), (9, 9), (9, 10), (10, 10)]
CHANNELS += [(10, 12), (12, 65), (10, 12), (12, 11)]
ODD = Widths((6, 7, 9, 10), 12, 11)
"""Widths of which no two are equal."""


def published_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights as published with the paper, of the widths ODD."""
    dice = torch.Generator().manual_seed(seed)
    state = {}
    for name, (inputs, outputs) in zip(LAYERS, CHANNELS, strict=True):
        size = 1 if name[1] == "b" and name[0] in "PD" else 3
        state[f"conv{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=dice) * 0.3
        state[f"conv{name}.bias"] = torch.randn(outputs, generator=dice) * 0.1
    return state


def open_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights in the layout of the open re-implementation, of the widths ODD."""
    dice = torch.Generator().manual_seed(seed)
    state = {}
    for name, other in zip(LAYERS, OPEN_LAYERS, strict=True):
        for part in ("weight", "bias"):
            state[f"{other}.conv.{part}"] = published_state(seed)[f"conv{name}.{part}"]
        outputs = len(state[f"{other}.conv.bias"])
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{other}.bn.{part}"] = 0.5 + torch.rand(outputs, generator=dice)
        state[f"{other}.bn.num_batches_tracked"] = torch.tensor(7)
    return state


def obvious_forward(
    state: dict[str, torch.Tensor], names: list[str], image: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and descriptors, layer by layer as the papers say, from published weights."""

    def layer(i: int, values: torch.Tensor, relu: bool = True) -> torch.Tensor:
        stem = f"{names[i]}.conv" if f"{names[i]}.conv.weight" in state else f"conv{names[i]}"
        weight, bias = state[f"{stem}.weight"], state[f"{stem}.bias"]
        values = functional.conv2d(values, weight, bias, padding=weight.shape[2] // 2)
        values = values.clamp(min=0) if relu else values
        if f"{names[i]}.bn.weight" in state:
            scale, shift, mean, variance = (
                state[f"{names[i]}.bn.{part}"][:, None, None]
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            values = (values - mean) / (variance + 1e-3).sqrt() * scale + shift
        return values

    for block in range(4):
        image = layer(2 * block + 1, layer(2 * block, image))
        if block < 3:
            image = nn.MaxPool2d(2, 2)(image)
    return layer(9, layer(8, image), relu=False), layer(11, layer(10, image), relu=False)


def pictures(height: int = 160, width: int = 72, number: int = 1) -> torch.Tensor:
    return torch.rand(number, 1, height, width, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def assert_answers_like(
    network: SuperPoint, state: dict[str, torch.Tensor], names: list[str]
) -> None:
    for found, expected in zip(
        network(pictures()), obvious_forward(state, names, pictures()), strict=True
    ):
        assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_published_weights_answer_as_the_paper_says(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "superpoint_v1.pth")
    network = load_superpoint(tmp_path / "superpoint_v1.pth")
    assert network.widths == ODD
    assert not network.batch_norm
    assert_answers_like(network, published_state(), LAYERS)


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_of_the_open_layout_answer_as_it_says(tmp_path: Path, wrapped: bool) -> None:
    state = open_state()
    torch.save({"state_dict": state} if wrapped else state, tmp_path / "open.pth")
    network = load_superpoint(tmp_path / "open.pth")
    assert network.widths == ODD
    assert network.batch_norm
    assert_answers_like(network, state, OPEN_LAYERS)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_our_own_file_brings_back_the_same_network(tmp_path: Path, batch_norm: bool) -> None:
    network = with_random_statistics(generated_superpoint(batch_norm=batch_norm))
    save_superpoint(network, tmp_path / "own.safetensors", {"licence": "Apache-2.0"})
    again = load_superpoint(tmp_path / "own.safetensors")
    assert again.widths == SMALL
    with torch.inference_mode():
        for a, b in zip(network(pictures()), again(pictures()), strict=True):
            assert torch.equal(a, b)
    with safetensors.safe_open(tmp_path / "own.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "posestream-superpoint",
            "version": "1",
            "licence": "Apache-2.0",
        }


def test_the_paper_s_widths_are_the_default() -> None:
    shapes = {key: tuple(value.shape) for key, value in SuperPoint().state_dict().items()}
    assert shapes["conv1a.conv.weight"] == (64, 1, 3, 3)
    assert shapes["conv4b.conv.weight"] == (128, 128, 3, 3)
    assert shapes["convPb.conv.weight"] == (65, 256, 1, 1)
    assert shapes["convDb.conv.weight"] == (256, 256, 1, 1)
    assert sum(p.numel() for p in SuperPoint().parameters()) == 1_300_865  # as published


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("height", [8, 64, 72, 200])
def test_strips_give_what_the_whole_image_gives(height: int, batch_norm: bool) -> None:
    network = with_random_statistics(generated_superpoint(batch_norm=batch_norm))
    images = pictures(height, 40, 2)
    whole = network(images)  # with gradients there are no strips
    with torch.inference_mode():
        for a, b in zip(whole, network(images), strict=True):
            assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pooling_takes_the_largest_of_each_four_pixels(layout: torch.memory_format) -> None:
    values = torch.randn((2, 3, 6, 10), generator=torch.Generator().manual_seed(0))
    expected = values.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    for mode in (torch.no_grad(), torch.enable_grad()):
        with mode:
            assert torch.equal(pool(values.contiguous(memory_format=layout)), expected)


def test_every_weight_learns() -> None:
    network = SuperPoint(SMALL, batch_norm=True).train()
    logits, descriptors = network(pictures(32, 32, 2))
    assert logits.shape == (2, 65, 4, 4)
    assert descriptors.shape == (2, 32, 4, 4)
    (logits.square().sum() + descriptors.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def without(state: dict[str, torch.Tensor], key: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({}, "conv1b.conv.weight is missing"),
        (without(published_state(), "convDa.bias"), "convDa.conv.bias is missing"),
        (without(published_state(), "conv4b.weight"), "conv4b.conv.weight is missing"),
        (without(open_state(), "detector.0.bn.weight"), "convPa.norm.weight is missing"),
        (
            published_state() | {"conv5a.weight": torch.ones(1)},
            "conv5a.weight does not belong to it",
        ),
        (
            published_state() | {"conv2a.weight": torch.ones(7, 5, 3, 3)},
            "conv2a.conv.weight has the shape (7, 5, 3, 3), not (7, 6, 3, 3)",
        ),
        (
            published_state() | {"conv1b.weight": torch.ones(3)},
            "conv1b.conv.weight has the shape (3,), not of a convolution",
        ),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    tmp_path: Path, state: dict[str, torch.Tensor], problem: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with pytest.raises(InputError) as error:
        load_superpoint(path)
    assert str(error.value) == f"{path}: not the weights of a SuperPoint network: {problem}"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_a_file_that_is_cut_off_is_named(tmp_path: Path, suffix: str, length: int) -> None:
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    if suffix == ".pth":
        torch.save(published_state(), whole)
    else:
        save_superpoint(generated_superpoint(), whole)
    cut.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(InputError) as error:
        load_superpoint(cut)
    assert str(error.value) == f"{cut}: cannot be read as weights: it is cut off or damaged"


def test_a_file_that_is_not_there_or_holds_no_tensors_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_superpoint(tmp_path / "none.pth")
    assert str(error.value) == f"{tmp_path / 'none.pth'}: there is no such file"
    for content in ({"epoch": 3}, {0: torch.zeros(1)}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(InputError) as error:
            load_superpoint(tmp_path / "other.pth")
        assert str(error.value).endswith("of a SuperPoint network: it holds no tensors")


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    torch.save(nn.Conv2d(1, 1, 1), tmp_path / "module.pth")  # a whole object, pickled
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_superpoint(tmp_path / "module.pth")


def test_loading_takes_no_random_numbers_from_the_program(tmp_path: Path) -> None:
    torch.save(published_state(), tmp_path / "weights.pth")
    before = torch.get_rng_state()
    load_superpoint(tmp_path / "weights.pth")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        (lambda: Widths((0, 1, 1, 1)), "blocks[0] must be at least 1, not 0"),
        (lambda: Widths(heads=0), "heads must be at least 1, not 0"),
        (lambda: Widths(descriptor=-1), "descriptor must be at least 1, not -1"),
    ],
)
def test_widths_without_sense_are_errors(widths: object, message: str) -> None:
    with pytest.raises(ValueError) as error:
        widths()  # type: ignore[operator]
    assert str(error.value) == message
