"""What a stage that learns consists of: its batches, its losses, and how well it does."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from nodes.networks.keypoint_head import Found, find_keypoints, sample, unpack
from nodes.networks.selection import Selection
from nodes.networks.superpoint import SuperPoint
from nodes.vision.feature_evaluation import (
    PlanarPair,
    average_precision,
    find_true,
    repeatability,
    share_within,
)
from nodes.vision.matching import find_neighbours, select_matches
from training.data import (
    Float32,
    Image,
    PairsBatch,
    ShapesBatch,
    pairs_batch,
    shapes_batch,
)
from training.losses import (
    cell_targets,
    contrastive_loss,
    detector_loss,
    hinge_loss,
    success_loss,
)
from training.photographs import Photographs
from training.pictures import draw_keypoints, draw_matches
from training.recipe import Optimisation, PairsStage, ShapesStage

Losses = dict[str, torch.Tensor]
CORRECT_PX = 3.0
DRAWN = 12
"""Pictures of a stage, at most."""
VALIDATION_BATCHES = 8
VALIDATION_KEY = 1 << 40
"""Added to the step of a batch, so that none is ever learnt from."""


@dataclass(frozen=True)
class Surroundings:
    """What all stages share."""

    seed: int
    index: int
    """Of the stage in the recipe."""
    device: torch.device
    precision: torch.dtype

    def run(self, network: SuperPoint, images: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and descriptors of images (B, 1, H, W) uint8."""
        values = self.tensor(images).float() / 255
        values = values.contiguous(memory_format=torch.channels_last)
        is_mixed = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=is_mixed):
            logits, descriptors = network(values)
        return logits.float(), descriptors.float()

    def tensor(self, array: Any) -> torch.Tensor:
        """Return an array on the device."""
        return torch.from_numpy(array).to(self.device, non_blocking=True)


class Task(ABC):
    """A stage that learns."""

    selection: ClassVar[Selection] = Selection(max_keypoints=300)

    def __init__(self, stage: Optimisation, surroundings: Surroundings) -> None:
        self.optimisation, self.around = stage, surroundings

    @abstractmethod
    def batch(self, step: int) -> Any:
        """Return the batch of a step; called by several threads."""

    @abstractmethod
    def losses(self, network: SuperPoint, batch: Any) -> Losses:
        """Return the parts of the loss by name, and their weighted sum as "loss"."""

    @abstractmethod
    def scores(self, network: SuperPoint, batch: Any) -> Mapping[str, float]:
        """Return how well the network does on a batch, by name."""

    @abstractmethod
    def pictures(self, network: SuperPoint) -> list[Image]:
        """Return pictures, in BGR, of what the network finds in data that it never learnt from."""

    @torch.no_grad()
    def validate(self, network: SuperPoint) -> dict[str, float]:
        """Return losses and scores on data that are never learnt from, by name."""
        network.eval()
        found: dict[str, list[float]] = {}
        for number in range(VALIDATION_BATCHES):
            batch = self.batch(VALIDATION_KEY + number)
            values = {name: float(value) for name, value in self.losses(network, batch).items()}
            for name, value in {**values, **self.scores(network, batch)}.items():
                found.setdefault(name, []).append(value)
        network.train()
        return {f"val/{name}": float(np.mean(values)) for name, values in found.items()}

    @torch.no_grad()
    def keypoints(self, network: SuperPoint, images: Any) -> list[Found]:
        """Return what is found in images (B, 1, H, W) uint8, each best first."""
        logits, descriptors = self.around.run(network, images)
        masks = torch.ones(images[:, 0].shape, dtype=torch.uint8, device=logits.device)
        packed = find_keypoints(logits, descriptors, masks, self.selection).cpu().numpy()
        return [unpack(row, descriptors.shape[1]) for row in packed]

    def key(self, step: int) -> tuple[int, ...]:
        """Return what the random numbers of a step are seeded with."""
        return (self.around.seed, self.around.index, step)


class ShapesTask(Task):
    """Corners of drawings."""

    selection = Selection(max_keypoints=300, nms_radius_px=4, border_px=0)

    def __init__(self, stage: ShapesStage, surroundings: Surroundings) -> None:
        super().__init__(stage, surroundings)
        self.stage = stage

    def batch(self, step: int) -> ShapesBatch:
        return shapes_batch(self.stage, self.key(step))

    def losses(self, network: SuperPoint, batch: ShapesBatch) -> Losses:
        logits, _ = self.around.run(network, batch.images)
        corners = self.around.tensor(batch.corners)
        targets = cell_targets(corners, (logits.shape[0], *logits.shape[2:]))
        valid = self.around.tensor(batch.valid_cells)
        return {"loss": detector_loss(logits, targets, valid)}

    def scores(self, network: SuperPoint, batch: ShapesBatch) -> Mapping[str, float]:
        found = self.keypoints(network, batch.images)
        truths = [batch.corners[batch.corners[:, 0] == i, 1:] for i in range(len(found))]
        right = [find_true(one.keypoints, two) for one, two in zip(found, truths, strict=True)]
        scores = np.concatenate([one.scores for one in found])
        precision = average_precision(scores, np.concatenate(right), len(batch.corners))
        return {"average precision": precision}

    def pictures(self, network: SuperPoint) -> list[Image]:
        images = self.batch(VALIDATION_KEY).images[:DRAWN]
        found = self.keypoints(network, images)
        return [
            draw_keypoints(image[0], one.keypoints, one.scores)
            for image, one in zip(images, found, strict=True)
        ]


class PairsTask(Task):
    """Two views of photographs, with labelled keypoints."""

    def __init__(
        self,
        stage: PairsStage,
        surroundings: Surroundings,
        photographs: Photographs,
        labels: Sequence[Float32],
    ) -> None:
        super().__init__(stage, surroundings)
        self.stage, self._photographs, self._labels = stage, photographs, labels

    def batch(self, step: int) -> PairsBatch:
        held_out = step >= VALIDATION_KEY
        indices = self._photographs.validation if held_out else self._photographs.training
        return pairs_batch(self.stage, self._photographs, self._labels, indices, self.key(step))

    def losses(self, network: SuperPoint, batch: PairsBatch) -> Losses:
        stage, tensor = self.stage, self.around.tensor
        logits, descriptors = self.around.run(network, batch.images)
        cells = tensor(batch.valid_cells)
        targets = cell_targets(tensor(batch.keypoints), (logits.shape[0], *logits.shape[2:]))
        losses = {"detector": detector_loss(logits, targets, cells)}
        total = losses["detector"]
        if stage.descriptor_loss == "hinge":
            first, second = descriptors.chunk(2)
            valid = cells[stage.batch :]
            losses["descriptor"] = hinge_loss(first, second, tensor(batch.places), valid)
        if stage.descriptor_loss == "contrastive":
            losses |= self._contrast(batch, logits, descriptors)
            total = total + stage.success_weight * losses["success"]
        if "descriptor" in losses:
            total = total + stage.descriptor_weight * losses["descriptor"]
        return {"loss": total, **losses}

    def _contrast(
        self, batch: PairsBatch, logits: torch.Tensor, descriptors: torch.Tensor
    ) -> Losses:
        stage = self.stage
        points, valid = self.around.tensor(batch.points), self.around.tensor(batch.valid)
        found = [
            sample(half, where) for half, where in zip(descriptors.chunk(2), points, strict=True)
        ]
        contrast = contrastive_loss(found[0], found[1], points[1], valid, stage.temperature)
        told = valid & self.around.tensor(batch.is_keypoint)
        success = torch.stack(
            [
                success_loss(half, where, contrast.success, told)
                for half, where in zip(logits.chunk(2), points, strict=True)
            ]
        ).mean()
        share = (contrast.success & told).sum() / told.sum().clamp(min=1)
        return {"descriptor": contrast.loss, "success": success, "matched": share.detach()}

    def scores(self, network: SuperPoint, batch: PairsBatch) -> Mapping[str, float]:
        """Return how often keypoints are found again within 3 pixels, and matches are right."""
        found = self.keypoints(network, batch.images)
        repeated, right = [], []
        for i, pair in enumerate(self._planar_pairs(batch)):
            first, second = found[i], found[i + self.stage.batch]
            repeated.append(repeatability(first.keypoints, second.keypoints, pair).share)
            errors = pair.errors(*_matched(first, second))
            right.append(share_within(errors, [CORRECT_PX])[0])
        return {
            "repeatability": float(np.mean(repeated)),
            "matching accuracy": float(np.mean(right)),
        }

    def pictures(self, network: SuperPoint) -> list[Image]:
        """Return the views side by side with the mutual matches, the right ones green."""
        batch = self.batch(VALIDATION_KEY)
        found = self.keypoints(network, batch.images)
        pictures = []
        for i, pair in enumerate(self._planar_pairs(batch)[:DRAWN]):
            points = _matched(found[i], found[i + self.stage.batch])
            views = batch.images[i, 0], batch.images[i + self.stage.batch, 0]
            pictures.append(draw_matches(*views, *points, pair.errors(*points) <= CORRECT_PX))
        return pictures

    def _planar_pairs(self, batch: PairsBatch) -> list[PlanarPair]:
        size = (self.stage.size[1], self.stage.size[0])
        return [PlanarPair(H, size, size) for H in batch.H_1_0]


def _matched(first: Found, second: Found) -> tuple[Float32, Float32]:
    """Return the keypoints (M, 2) of both views whose descriptors are each other's nearest."""
    neighbours = find_neighbours(first.descriptors, second.descriptors)
    matches = select_matches(neighbours, cross_check=True)
    return first.keypoints[matches[:, 0]], second.keypoints[matches[:, 1]]
