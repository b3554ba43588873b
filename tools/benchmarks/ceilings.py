"""What no program exceeds here: copying of memory, products of matrices, copies to a GPU."""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

MATRIX = 2048
CUDA_MATRIX = 8192
COPIES = 8


def memcpy_gbs(sources: list[Bytes], targets: list[Bytes], copies: int = COPIES) -> float:
    """Return how many GB a second numpy copies, in turns from all sources and to all targets.

    One source and one target of a few MB would stay in the cache.
    """
    started = time.perf_counter()
    for index in range(copies):
        np.copyto(targets[index % len(targets)], sources[index % len(sources)])
    return copies * sources[0].nbytes / (time.perf_counter() - started) / 1e9


def matmul_gflops(device: str, size: int | None = None) -> float:
    """Return GFLOP/s of a product of matrices: float32 on a CPU, bfloat16 on a GPU."""
    import torch

    size = size or (CUDA_MATRIX if device == "cuda" else MATRIX)
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    a = torch.ones(size, size, dtype=kind, device=device)
    b = torch.ones(size, size, dtype=kind, device=device)
    seconds = _seconds(lambda: torch.mm(a, b), device)
    return 2 * size**3 / seconds / 1e9


def copy_to_device_gbs(num_bytes: int) -> float:
    """Return GB/s from pinned memory of the host to a GPU."""
    import torch

    host = torch.ones(num_bytes, dtype=torch.uint8).pin_memory()
    device = torch.empty(num_bytes, dtype=torch.uint8, device="cuda")
    return num_bytes / _seconds(lambda: device.copy_(host, non_blocking=True), "cuda") / 1e9


def copy_on_device_gbs(num_bytes: int) -> float:
    """Return GB/s that a GPU moves within its memory: each byte is read once and written once."""
    import torch

    source = torch.ones(num_bytes, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * num_bytes / _seconds(lambda: target.copy_(source), "cuda") / 1e9


def _seconds(call: Callable[[], object], device: str, count: int = COPIES) -> float:
    """Return the seconds of the fastest of `count` calls: a ceiling is what can be reached."""
    found = []
    for _ in range(count):
        synchronise(device)
        started = time.perf_counter()
        call()
        synchronise(device)
        found.append(time.perf_counter() - started)
    return min(found)


def synchronise(device: str) -> None:
    """Wait until a GPU has done all that it was asked for."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
