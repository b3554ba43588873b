"""SuperPoint as one writes it on an afternoon: the peer of the detector `superpoint`.

DeTone, Malisiewicz & Rabinovich, "SuperPoint: self-supervised interest point detection and
description", CVPR workshops 2018. NCHW, float32, one operation after the other. Suppression comes
in the two ways in which it is usually written: greedy on the host, over the candidates, or by
max-pooling on the device, which is fast but keeps a few points that a greedy one drops.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Image = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

CELL = 8
BORDER = 4
RADIUS = 4
THRESHOLD = 0.015  # as published, on both sides
GAIN, DUSTBIN = (
    40.0,
    16.0,
)  # leave some thousands of candidates in a VGA photograph, also a dull one
# name: (channels in, channels out, size of the kernel)
LAYERS = {
    "conv1a": (1, 64, 3), "conv1b": (64, 64, 3), "conv2a": (64, 64, 3), "conv2b": (64, 64, 3),
    "conv3a": (64, 128, 3), "conv3b": (128, 128, 3), "conv4a": (128, 128, 3),
    "conv4b": (128, 128, 3), "convPa": (128, 256, 3), "convPb": (256, 65, 1),
    "convDa": (128, 256, 3), "convDb": (256, 256, 1),
}  # fmt: skip
SHRINKS = {"1": 1, "2": 2, "3": 4, "4": 8, "P": 8, "D": 8}
POOLED = ("conv1b", "conv2b", "conv3b")


def gflop(width: int, height: int) -> float:
    """Return the work of the network on an image: a product and a sum are two operations."""
    total = 0.0
    for name, (inputs, outputs, kernel) in LAYERS.items():
        pixels = width * height / SHRINKS[name[4]] ** 2
        total += 2 * pixels * inputs * outputs * kernel**2
    return total / 1e9


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Return weights in the published layout that answer about as sparsely as trained ones.

    Drawn so that every layer keeps its scale (He et al., "Delving deep into rectifiers", ICCV
    2015), but for two: the first sees only how a pixel differs from its surroundings, and the last
    one of the detector decides clearly, most often that a cell has no keypoint.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (inputs, outputs, kernel) in LAYERS.items():
        scale = (2 / (inputs * kernel**2)) ** 0.5
        shape = outputs, inputs, kernel, kernel
        state[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = torch.zeros(outputs)
    first = state["conv1a.weight"].abs_()
    first[:, :, 1, 1] -= first.sum((2, 3))
    state["convPb.weight"] *= GAIN
    state["convPb.bias"][-1] = DUSTBIN
    return state


def save_random_weights(folder: Path) -> Path:
    """Write random weights where a detector can read them."""
    path = folder / "superpoint_random.pth"
    torch.save(random_state(), path)
    return path


class EagerSuperPoint:
    """Finds the `max_keypoints` best points of each image of a batch, all of one size."""

    def __init__(
        self,
        state: dict[str, Tensor],
        device: str,
        max_keypoints: int,
        *,
        max_pooling: bool = False,
    ) -> None:
        self._state = {name: value.to(device) for name, value in state.items()}
        self._device = device
        self._max_keypoints = max_keypoints
        self._max_pooling = max_pooling

    @torch.no_grad()
    def detect_batch(self, images: list[Image]) -> list[tuple[Float, Float]]:
        """Return keypoints (N, 2), (x, y) pixels, and descriptors (N, 256) of each image."""
        scores, coarse = self._forward(self._upload(images))
        if self._max_pooling:
            scores = suppress_by_max_pooling(scores)
        return [self._pick(scores[i], coarse[i : i + 1]) for i in range(len(images))]

    @torch.no_grad()
    def num_candidates(self, images: list[Image]) -> int:
        """Return how many pixels of an image, on average, are above the threshold."""
        scores, _ = self._forward(self._upload(images))
        return round(int((scores > THRESHOLD).sum()) / len(images))

    def _upload(self, images: list[Image]) -> Tensor:
        grey = np.stack([_grey(image) for image in images])
        return torch.from_numpy(grey)[:, None].to(self._device).float() / 255

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name in list(LAYERS)[:8]:
            x = functional.relu(self._conv(x, name))
            x = functional.max_pool2d(x, 2) if name in POOLED else x
        logits = self._conv(functional.relu(self._conv(x, "convPa")), "convPb")
        cells = torch.softmax(logits, 1)[:, :-1]
        coarse = self._conv(functional.relu(self._conv(x, "convDa")), "convDb")
        return functional.pixel_shuffle(cells, CELL)[:, 0], functional.normalize(coarse, dim=1)

    def _conv(self, x: Tensor, name: str) -> Tensor:
        weight = self._state[f"{name}.weight"]
        return functional.conv2d(
            x, weight, self._state[f"{name}.bias"], padding=weight.shape[-1] // 2
        )

    def _pick(self, scores: Tensor, coarse: Tensor) -> tuple[Float, Float]:
        rows, columns = torch.nonzero(scores > THRESHOLD, as_tuple=True)
        order = torch.argsort(scores[rows, columns], descending=True, stable=True)
        points = torch.stack([columns, rows], 1)[order]
        height, width = scores.shape
        size = torch.tensor([width, height], device=self._device)
        if not self._max_pooling:
            kept = suppress_greedily(points.cpu().numpy(), width, height, self._max_keypoints)
            points = torch.from_numpy(kept).to(self._device)
        is_inside = ((points >= BORDER) & (points < size - BORDER)).all(1)
        points = points[is_inside][: self._max_keypoints]
        grid = (2 * points.float() + 1) / size - 1
        sampled = functional.grid_sample(coarse, grid[None, None], align_corners=False)[0, :, 0]
        descriptors = functional.normalize(sampled, dim=0).T
        return points.cpu().numpy().astype(np.float32), descriptors.cpu().numpy()


def suppress_greedily(
    points: npt.NDArray[np.int64], width: int, height: int, count: int
) -> npt.NDArray[np.int64]:
    """Go from the best to the worst; each that is taken rules its neighbourhood out."""
    is_free = np.ones((height, width), np.bool_)
    kept: list[tuple[int, int]] = []
    for x, y in points.tolist():
        if not is_free[y, x]:
            continue
        is_free[max(0, y - RADIUS) : y + RADIUS + 1, max(0, x - RADIUS) : x + RADIUS + 1] = False
        if BORDER <= x < width - BORDER and BORDER <= y < height - BORDER:
            kept.append((x, y))
        if len(kept) == count:
            break
    return np.array(kept, np.int64).reshape(-1, 2)


def suppress_by_max_pooling(scores: Tensor) -> Tensor:
    """Return scores (B, H, W), 0 where a better one is near: on the device, with fixed shapes.

    The largest of their windows stay; then, twice, the largest of what no window of these covers.
    """
    kept = scores == _window_max(scores)
    for _ in range(2):
        is_covered = _window_max(kept.float()) > 0
        rest = scores.masked_fill(is_covered, 0)
        kept |= (rest == _window_max(rest)) & ~is_covered
    return scores.masked_fill(~kept, 0)


def _window_max(values: Tensor) -> Tensor:
    return functional.max_pool2d(values, 2 * RADIUS + 1, stride=1, padding=RADIUS)


def _grey(image: Image) -> Image:
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
