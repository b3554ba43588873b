"""Which device a network runs on, and in which precision."""

import torch

from pipeline.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def find_device(name: str) -> torch.device:
    """Return the device of a name: cpu, cuda, or auto, which is cuda where there is one.

    Of several GPUs it is the one that is current now: a bare "cuda" would be another one in a
    thread that has chosen another.

    Raises:
        ConfigError: the device is not here, or not known.
    """
    if name not in DEVICES:
        raise ConfigError(f"device {name!r} is not known; use one of: {', '.join(DEVICES)}")
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigError("device cuda: PyTorch finds no CUDA GPU here; use device: cpu or auto")
    if name == "cpu" or not has_gpu:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def find_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of a precision.

    auto is float32 on a CPU and float16 on a GPU; fastest is bfloat16 on a CPU that computes it,
    else as auto. float16 has three bits more than bfloat16, but its largest number is 65,504:
    whoever runs a network in it has to look for overflow.
    """
    if precision in PRECISIONS:
        return PRECISIONS[precision]
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if precision == "fastest" and has_bfloat16() else torch.float32


def has_bfloat16() -> bool:
    """Return whether this CPU computes in bfloat16; where PyTorch cannot tell, it does not."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def use_channels_last(network: torch.nn.Module) -> None:
    """Lay the kernels of a network out pixel by pixel; its images should lie so too."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
