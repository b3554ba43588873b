"""Which precision a network runs in."""

import pytest
import torch

from nodes.networks.devices import find_dtype, has_bfloat16

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def can(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def test_a_named_precision_is_taken_everywhere() -> None:
    assert find_dtype("bfloat16", CPU) == find_dtype("bfloat16", GPU) == torch.bfloat16
    assert find_dtype("float32", GPU) == torch.float32


def test_auto_is_exact_on_a_cpu_and_half_on_a_gpu() -> None:
    assert find_dtype("auto", CPU) == torch.float32
    assert find_dtype("auto", GPU) == torch.float16


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
    ],
)
def test_fastest_is_bfloat16_on_a_cpu_that_computes_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
) -> None:
    can(monkeypatch, **capabilities)
    assert find_dtype("fastest", CPU) == dtype
    assert find_dtype("fastest", GPU) == torch.float16


def test_a_pytorch_that_cannot_tell_computes_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16()
