"""Weights of SuperPoint from files, in three layouts.

| layout | keys | batch norm |
|---|---|---|
| ours, in safetensors | conv1a.conv.weight, conv1a.norm.weight, ... | as it is |
| as published with the paper | conv1a.weight ... convDb.bias | no |
| the open re-implementation | backbone.0.0.conv.weight, backbone.0.0.bn.weight, ... | yes |

How wide the network is and whether it has batch norm is told by the shapes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import safetensors
import safetensors.torch
import torch

from nodes.networks.superpoint import SuperPoint, Widths
from pipeline.errors import InputError

State = dict[str, torch.Tensor]

FORMAT = {"format": "posestream-superpoint", "version": "1"}
"""Metadata of our safetensors."""
_BLOCKS = ("1a", "1b", "2a", "2b", "3a", "3b", "4a", "4b")
_OPEN_NAMES = {
    **{f"backbone.{i // 2}.{i % 2}": f"conv{name}" for i, name in enumerate(_BLOCKS)},
    **{"detector.0": "convPa", "detector.1": "convPb"},
    **{"descriptor.0": "convDa", "descriptor.1": "convDb"},
}
_PUBLISHED = re.compile(r"(conv(?:[1-4][ab]|[PD][ab]))\.(weight|bias)")
_OPEN = re.compile(r"((?:backbone\.\d\.\d)|(?:detector|descriptor)\.\d)\.(conv|bn)\.(\w+)")


def load_superpoint(path: Path) -> SuperPoint:
    """Return the network of a file, ready for inference, on the CPU in float32.

    Raises:
        InputError: the file cannot be read, or is not of a SuperPoint network.
    """
    state = to_our_layout(_read(path))
    try:
        return build(state)
    except ValueError as error:
        raise InputError(f"{path}: not the weights of a SuperPoint network: {error}") from error


def save_superpoint(
    network: SuperPoint, path: Path, notes: Mapping[str, str] | None = None
) -> None:
    """Write a network as our safetensors, with notes such as the licence in its metadata."""
    state = {key: value.contiguous().cpu() for key, value in network.state_dict().items()}
    safetensors.torch.save_file(state, path, {**(notes or {}), **FORMAT})


def to_our_layout(state: State) -> State:
    """Return a state dict of any of the three layouts in ours; unknown keys stay as they are."""
    return {_our_key(key): value for key, value in state.items()}


def build(state: State) -> SuperPoint:
    """Return the network of a state dict in our layout.

    Raises:
        ValueError: a tensor is missing, too many, or of a shape that does not fit.
    """
    batch_norm = any(".norm." in key for key in state)
    blocks = tuple(_outputs(state, f"conv{i}b") for i in (1, 2, 3, 4))
    widths = Widths(blocks, _outputs(state, "convPa"), _outputs(state, "convDb"))  # type: ignore[arg-type]
    with torch.device("meta"):  # no memory, and no random numbers taken from the program
        network = SuperPoint(widths, batch_norm=batch_norm)
    expected = network.state_dict()
    counted = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - counted - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    if missing or unknown:
        what, key = ("is missing", missing[0]) if missing else ("does not belong to it", unknown[0])
        raise ValueError(f"{key} {what}")
    for key in expected.keys() - counted:
        if state[key].shape != expected[key].shape:
            shapes = f"{tuple(state[key].shape)}, not {tuple(expected[key].shape)}"
            raise ValueError(f"{key} has the shape {shapes}")
    zeros = {key: torch.zeros((), dtype=torch.int64) for key in counted}
    values = {key: state[key].float() for key in expected.keys() - counted}
    network.load_state_dict(zeros | values, assign=True)
    return network.eval()


def _read(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (
        OSError, EOFError, RuntimeError, ValueError, KeyError, UnpicklingError,
        safetensors.SafetensorError,
    ) as error:  # fmt: skip
        raise InputError(f"{path}: cannot be read as weights: it is cut off or damaged") from error
    if isinstance(loaded, dict):
        loaded = loaded.get("state_dict", loaded)  # as trainers wrap it
    if not isinstance(loaded, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in loaded.items()
    ):
        raise InputError(f"{path}: not the weights of a SuperPoint network: it holds no tensors")
    return loaded


def _our_key(key: str) -> str:
    if match := _PUBLISHED.fullmatch(key):
        return f"{match[1]}.conv.{match[2]}"
    if (match := _OPEN.fullmatch(key)) and match[1] in _OPEN_NAMES:
        part = "norm" if match[2] == "bn" else "conv"
        return f"{_OPEN_NAMES[match[1]]}.{part}.{match[3]}"
    return key


def _outputs(state: State, layer: str) -> int:
    key = f"{layer}.conv.weight"
    if key not in state:
        raise ValueError(f"{key} is missing")
    if state[key].ndim != 4:
        raise ValueError(f"{key} has the shape {tuple(state[key].shape)}, not of a convolution")
    return len(state[key])
