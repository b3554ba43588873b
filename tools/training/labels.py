"""Homographic adaptation: keypoints of photographs from what a detector says under many warps.

DeTone, Malisiewicz, Rabinovich, "SuperPoint", CVPR Workshops 2018, section 5.

Letters in shapes: N homographies, H W image, M keypoints.
"""

from collections.abc import Sequence
from io import BytesIO
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
from training.files import write_whole
from training.homographies import Float, Image, sample
from training.recipe import LabelsStage

Float32 = npt.NDArray[np.float32]
AT_ONCE = 16
"""Warps that the network sees in one batch."""
TINY, FAR_PX = 1e-6, -1e4


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
    values = torch.from_numpy(image).to(device)[None, None].float() / 255
    pixels = _pixels(size, device)
    in_photograph = _is_inside(pixels, size, erosion_px)
    total, count = torch.zeros(size, device=device), torch.zeros(size, device=device)
    for start in range(0, len(warps), AT_ONCE):
        some = warps[start : start + AT_ONCE]
        sources = _carried(np.asarray(np.linalg.inv(some)), pixels)
        targets = _carried(some, pixels)
        warped = _look_up(values.expand(len(some), -1, -1, -1), sources, "reflection")
        padded = functional.pad(warped, (0, -size[1] % CELL, 0, -size[0] % CELL), mode="replicate")
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(padded)
        scores = pixel_scores(logits)[:, None, : size[0], : size[1]]
        seen = _is_inside(targets, size, erosion_px) & in_photograph
        total += (_look_up(scores, targets, "zeros")[:, 0] * seen).sum(dim=0)
        count += seen.sum(dim=0)
    return torch.where(count > 0, total / count.clamp(min=1), 0)


def write_labels(path: Path, names: Sequence[str], labels: Sequence[Labels]) -> None:
    """Write the labels of photographs, as arrays of all keypoints, with where each one's end."""
    buffer = BytesIO()
    np.savez(
        buffer,
        names=np.array(names),
        ends=np.cumsum([len(one.scores) for one in labels]),
        keypoints=np.concatenate([one.keypoints for one in labels]),
        scores=np.concatenate([one.scores for one in labels]),
    )
    write_whole(path, buffer.getvalue())


def read_labels(path: Path) -> tuple[list[str], list[Labels]]:
    """Return the names of photographs and their labels."""
    with np.load(path) as file:
        ends = file["ends"][:-1]
        keypoints, scores = np.split(file["keypoints"], ends), np.split(file["scores"], ends)
        return file["names"].tolist(), [Labels(*one) for one in zip(keypoints, scores, strict=True)]


def _pixels(size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the pixels (H, W, 2) of an image (height, width), (x, y)."""
    y, x = (torch.arange(length, device=device, dtype=torch.float32) for length in size)
    return torch.stack([x.expand(size), y[:, None].expand(size)], dim=-1)


def _carried(warps: Float, pixels: torch.Tensor) -> torch.Tensor:
    """Return where homographies (N, 3, 3) take pixels (H, W, 2), far away if behind the horizon."""
    H = torch.from_numpy(warps).to(pixels)
    mapped = torch.einsum("nij,hwj->nhwi", H[..., :2], pixels) + H[:, None, None, :, 2]
    depth = mapped[..., 2:]
    return torch.where(depth > TINY, mapped[..., :2] / depth.clamp(min=TINY), FAR_PX)


def _is_inside(points: torch.Tensor, size: tuple[int, int], margin: float) -> torch.Tensor:
    """Return which points (..., 2) lie in an image (height, width), so far from its border."""
    high = torch.tensor([size[1] - 1, size[0] - 1], device=points.device) - margin
    return ((points >= margin) & (points <= high)).all(dim=-1)


def _look_up(values: torch.Tensor, points: torch.Tensor, beyond: str) -> torch.Tensor:
    """Return values (N, 1, H, W) at points (N, H, W, 2) in pixels, interpolated."""
    height, width = values.shape[2:]
    grid = (2 * points + 1) / torch.tensor([width, height], device=values.device) - 1
    return functional.grid_sample(values, grid, padding_mode=beyond, align_corners=False)
