"""Nearest neighbours between many pairs of descriptor sets at once, on a CPU or a GPU.

Pairs of different lengths share one table by padding; what is padded is infinitely far from all.
Letters in shapes: B pairs, N0 N1 descriptors (padded), D their length.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nodes.networks.devices import find_device

Descriptors = npt.NDArray[np.float32]
PAD = 128  # lengths are rounded up to a multiple of it, so that few shapes occur
FAR = torch.finfo(torch.float32).max / 4
"""Squared distance, at least, of a descriptor that is not finite to any; two of them make no more
than a finite number."""


class Nearest(NamedTuple):
    """For each of N0 descriptors its neighbours among N1 others, and the other way round.

    nearest: (N0,) int64. squared, second: (N0,) float32, squared distances of the nearest and the
    second nearest, the latter infinite where there is none. nearest_back: (N1,) int64.
    """

    nearest: npt.NDArray[np.int64]
    squared: npt.NDArray[np.float32]
    second: npt.NDArray[np.float32]
    nearest_back: npt.NDArray[np.int64]


class NeighbourFinder:
    """Compares the descriptors of pairs: all pairs in one go on a GPU, one by one on a CPU."""

    def __init__(self, device: str = "auto") -> None:
        self.device = find_device(device)

    def find(self, pairs: Sequence[tuple[Descriptors, Descriptors]]) -> list[Nearest]:
        """Return the neighbours of every pair of (N0, D) and (N1, D) float32, neither empty.

        Raises:
            ValueError: the two sides of a pair have descriptors of different lengths.
        """
        widths = [pair[0].shape[1] for pair in pairs]
        if widths != [pair[1].shape[1] for pair in pairs]:
            raise ValueError("descriptors of different lengths cannot be compared")
        if self.device.type == "cpu" or len(set(widths)) > 1:  # a big table would leave the cache
            return [self.find_together([pair])[0] for pair in pairs]
        return self.find_together(pairs) if pairs else []

    @torch.inference_mode()
    def find_together(self, pairs: Sequence[tuple[Descriptors, Descriptors]]) -> list[Nearest]:
        """Do what `find` does, with all pairs in one table."""
        lengths = torch.tensor([[len(one) for one in pair] for pair in pairs])
        if self.device.type == "cuda":
            lengths = lengths.pin_memory().to(self.device, non_blocking=True)
        found = find_nearest(
            self._upload([pair[0] for pair in pairs]),
            self._upload([pair[1] for pair in pairs]),
            lengths[:, 0],
            lengths[:, 1],
        )
        return [
            _unpack(row, found[0].shape[1], *map(len, pair))
            for row, pair in zip(_pack(found).cpu().numpy(), pairs, strict=True)
        ]

    def _upload(self, sets: Sequence[Descriptors]) -> torch.Tensor:
        """Return sets of descriptors as one padded tensor (B, N, D) on the device."""
        longest = max(len(descriptors) for descriptors in sets)
        length = -(-longest // PAD) * PAD
        on_gpu = self.device.type == "cuda"
        padded = torch.zeros(len(sets), length, sets[0].shape[1], pin_memory=on_gpu)
        for row, descriptors in zip(padded.numpy(), sets, strict=True):
            row[: len(descriptors)] = descriptors
        return padded.to(self.device, non_blocking=True)


def _pack(found: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the four results side by side as int32 (B, 3 N0 + N1), for one way down."""
    nearest, squared, second, back = found
    floats = (squared.view(torch.int32), second.view(torch.int32))
    return torch.cat([nearest.int(), *floats, back.int()], dim=1)


def _unpack(row: npt.NDArray[np.int32], padded0: int, n0: int, n1: int) -> Nearest:
    """Return what `_pack` packed for one pair, without the padding."""
    nearest, squared, second, back = np.split(row, [padded0, 2 * padded0, 3 * padded0])
    return Nearest(
        nearest[:n0].astype(np.int64),
        squared[:n0].view(np.float32),
        second[:n0].view(np.float32),
        back[:n1].astype(np.int64),
    )


def find_nearest(
    descriptors0: torch.Tensor,
    descriptors1: torch.Tensor,
    lengths0: torch.Tensor,
    lengths1: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the fields of `Nearest`, each with a leading B, for (B, N0, D) and (B, N1, D).

    lengths0, lengths1: (B,) int64, how many rows of each set are real. Of equal distances the
    lowest index wins. Rows that are padding hold no meaning. A descriptor that is not finite is
    `FAR` from all.
    """
    descriptors0, norms0 = _with_norms(descriptors0)
    descriptors1, norms1 = _with_norms(descriptors1)
    table = torch.baddbmm(
        norms0.unsqueeze(2) + norms1.unsqueeze(1), descriptors0, descriptors1.mT, alpha=-2
    ).clamp_(min=0)
    is_padding0 = _is_padding(table.shape[1], lengths0)
    is_padding1 = _is_padding(table.shape[2], lengths1)
    table.masked_fill_(is_padding0.unsqueeze(2), torch.inf)
    table.masked_fill_(is_padding1.unsqueeze(1), torch.inf)
    back = table.argmin(dim=1)
    nearest = table.argmin(dim=2, keepdim=True)
    squared = table.gather(2, nearest).squeeze(2)
    second = table.scatter_(2, nearest, torch.inf).amin(dim=2)
    return nearest.squeeze(2), squared, second, back


def _with_norms(descriptors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    norms = descriptors.square().sum(dim=2)
    is_bad = ~torch.isfinite(norms)
    return (
        descriptors.masked_fill(is_bad.unsqueeze(2), 0.0),
        norms.masked_fill(is_bad, FAR),
    )


def _is_padding(length: int, lengths: torch.Tensor) -> torch.Tensor:
    return torch.arange(length, device=lengths.device) >= lengths.unsqueeze(1)
