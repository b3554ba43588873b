"""Which device a network runs on."""

import torch

from pipeline.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")


def find_device(name: str) -> torch.device:
    """Return the device of a name: cpu, cuda, or auto, which is cuda where there is one.

    Raises:
        ConfigError: the device is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda: PyTorch finds no CUDA GPU here; use device: cpu or auto")
    return torch.device(name)
