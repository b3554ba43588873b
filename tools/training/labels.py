"""Homographic adaptation: keypoints of photographs from what a detector says under many warps.

DeTone, Malisiewicz, Rabinovich, "SuperPoint", CVPR Workshops 2018, section 5.

Letters in shapes: N homographies, H W image, M keypoints.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from nodes.networks.keypoint_head import pixel_scores
from nodes.networks.refinement import refine
from nodes.networks.superpoint import CELL, SuperPoint
from nodes.networks.suppression import keys_of, suppress
from training.homographies import Float, Image, inverse, is_inside, sample, warp_points
from training.recipe import LabelsStage

Float32 = npt.NDArray[np.float32]
AT_ONCE = 16
"""Warps that the network sees in one batch."""


class Labels(NamedTuple):
    """The keypoints (M, 2) and their probabilities (M,) of one photograph, best first."""

    keypoints: Float32
    scores: Float32


def label(
    network: SuperPoint,
    image: Image,
    stage: LabelsStage,
    key: Sequence[int],
    precision: torch.dtype,
) -> Labels:
    """Return the keypoints of a photograph (H, W); the key seeds the homographies."""
    rng = np.random.default_rng(key)
    size = (image.shape[0], image.shape[1])
    warps = [np.eye(3)] + [sample(rng, size, stage.spread) for _ in range(stage.homographies - 1)]
    heat = adapted_scores(network, image, np.stack(warps), stage.erosion_px, precision)
    heat = heat.cpu()
    keys = keys_of(heat[None], *size, stage.threshold)
    kept = suppress(keys, stage.nms_radius_px)[0].flatten()
    best = kept.topk(min(stage.max_keypoints, len(kept))).indices
    best = best[kept[best] > 0]
    points = torch.stack([best % size[1], best // size[1]], dim=1).float()
    points = refine(heat[None], points[None], *size)[0]
    return Labels(points.numpy(), heat.flatten()[best].numpy())


@torch.inference_mode()
def adapted_scores(
    network: SuperPoint, image: Image, warps: Float, erosion_px: float, precision: torch.dtype
) -> torch.Tensor:
    """Return the mean probability (H, W) of a keypoint at each pixel, under N homographies.

    warps: (N, 3, 3), from pixels of the photograph to pixels of a warped one of the same size. The
    mean is over those warped photographs that show the pixel, and not too near to their border.
    """
    device = next(network.parameters()).device
    size = (image.shape[0], image.shape[1])
    pixels = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(float)
    values = torch.from_numpy(image).to(device)[None, None].float() / 255
    total, count = torch.zeros(size, device=device), torch.zeros(size, device=device)
    for start in range(0, len(warps), AT_ONCE):
        some = warps[start : start + AT_ONCE]
        sources = np.stack([warp_points(inverse(H), pixels) for H in some])
        targets = np.stack([warp_points(H, pixels) for H in some])
        warped = _look_up(values.expand(len(some), -1, -1, -1), sources, "reflection")
        padded = functional.pad(warped, (0, -size[1] % CELL, 0, -size[0] % CELL), mode="replicate")
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(padded)
        scores = pixel_scores(logits)[:, None, : size[0], : size[1]]
        # Near the horizon nothing is seen; elsewhere both the pixel and its image must be inside.
        seen = is_inside(targets, size, erosion_px) & is_inside(pixels, size, erosion_px)
        mask = torch.from_numpy(seen).to(device)
        total += (_look_up(scores, targets, "zeros")[:, 0] * mask).sum(dim=0)
        count += mask.sum(dim=0)
    return torch.where(count > 0, total / count.clamp(min=1), 0)


def write_labels(path: Path, names: Sequence[str], labels: Sequence[Labels]) -> None:
    """Write the labels of photographs, as arrays of all keypoints, with where each one's end."""
    with path.open("wb") as file:
        np.savez(
            file,
            names=np.array(names),
            ends=np.cumsum([len(one.scores) for one in labels]),
            keypoints=np.concatenate([one.keypoints for one in labels]),
            scores=np.concatenate([one.scores for one in labels]),
        )


def read_labels(path: Path) -> tuple[list[str], list[Labels]]:
    """Return the names of photographs and their labels."""
    with np.load(path) as file:
        ends = file["ends"][:-1]
        keypoints, scores = np.split(file["keypoints"], ends), np.split(file["scores"], ends)
        return file["names"].tolist(), [Labels(*one) for one in zip(keypoints, scores, strict=True)]


def _look_up(values: torch.Tensor, points: Float, beyond: str) -> torch.Tensor:
    """Return values (N, 1, H, W) at points (N, H, W, 2) in pixels, interpolated."""
    height, width = values.shape[2:]
    grid = torch.from_numpy(np.nan_to_num(points, nan=-1e4)).to(values.device)
    grid = (2 * grid + 1) / torch.tensor([width, height], device=values.device) - 1
    return functional.grid_sample(
        values, grid.to(values.dtype), padding_mode=beyond, align_corners=False
    )
