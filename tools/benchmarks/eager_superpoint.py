"""SuperPoint as one writes it on an afternoon: the peer of the detector `superpoint`.

DeTone, Malisiewicz & Rabinovich, "SuperPoint: self-supervised interest point detection and
description", CVPR workshops 2018. NCHW, float32, one operation after the other; the candidates come
down to the host, a greedy suppression in numpy goes through them, and what it leaves goes up again.
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
THRESHOLD = 0.0001  # the lowest that the detector allows: both sides come to `max_keypoints`
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
    """Return weights in the published layout, drawn so that every layer keeps its scale.

    He et al., "Delving deep into rectifiers", ICCV 2015. Untrained, but as fast as trained ones.
    """
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (inputs, outputs, kernel) in LAYERS.items():
        scale = (2 / (inputs * kernel**2)) ** 0.5
        shape = outputs, inputs, kernel, kernel
        state[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = torch.zeros(outputs)
    return state


def save_random_weights(folder: Path) -> Path:
    """Write random weights where a detector can read them."""
    path = folder / "superpoint_random.pth"
    torch.save(random_state(), path)
    return path


class EagerSuperPoint:
    """Finds the `max_keypoints` best points of each image of a batch, all of one size."""

    def __init__(self, state: dict[str, Tensor], device: str, max_keypoints: int) -> None:
        self._state = {name: value.to(device) for name, value in state.items()}
        self._device = device
        self._max_keypoints = max_keypoints

    @torch.no_grad()
    def detect_batch(self, images: list[Image]) -> list[tuple[Float, Float]]:
        """Return keypoints (N, 2), (x, y) pixels, and descriptors (N, 256) of each image."""
        grey = np.stack([_grey(image) for image in images])
        x = torch.from_numpy(grey)[:, None].float().to(self._device) / 255
        scores, coarse = self._forward(x)
        return [self._pick(scores[i], coarse[i : i + 1]) for i in range(len(images))]

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
        values = scores[rows, columns]
        order = torch.argsort(values, descending=True)
        points = torch.stack([columns, rows], 1)[order].cpu().numpy()
        height, width = scores.shape
        kept = _suppress(points, width, height, self._max_keypoints)
        grid = 2 * torch.from_numpy(kept).float().to(self._device) + 1
        grid = grid / torch.tensor([width, height], device=self._device) - 1
        sampled = functional.grid_sample(coarse, grid[None, None], align_corners=False)[0, :, 0]
        return kept.astype(np.float32), functional.normalize(sampled, dim=0).T.cpu().numpy()


def _suppress(points: npt.NDArray[np.int64], width: int, height: int, count: int) -> npt.NDArray:
    """Go from the best to the worst; each that is taken rules its neighbourhood out."""
    is_free = np.zeros((height, width), np.bool_)
    is_free[BORDER : height - BORDER, BORDER : width - BORDER] = True
    kept = []
    for x, y in points.tolist():
        if is_free[y, x]:
            kept.append((x, y))
            is_free[max(0, y - RADIUS) : y + RADIUS + 1, max(0, x - RADIUS) : x + RADIUS + 1] = 0
            if len(kept) == count:
                break
    return np.array(kept, np.int64).reshape(-1, 2)


def _grey(image: Image) -> Image:
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
