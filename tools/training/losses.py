"""The losses of SuperPoint, and of SiLK as an alternative for descriptors.

DeTone, Malisiewicz, Rabinovich, "SuperPoint", CVPR Workshops 2018, section 3.4; Gleize, Wang,
Feiszli, "SiLK: Simple Learned Keypoints", ICCV 2023, section 3.

Letters in shapes: B batch, N points, D descriptor, h w = H/8 W/8 cells.
"""

from typing import NamedTuple

import torch
from torch.nn import functional

from nodes.networks.superpoint import CELL, CHANNELS
from training.homographies import cell_centres

DUSTBIN = CHANNELS - 1
POSITIVE_MARGIN, NEGATIVE_MARGIN, BALANCE = 1.0, 0.2, 250.0  # of the hinge loss, the paper's
NEAR_PX = 8.0
"""Cells of the hinge loss whose centres come so near to each other correspond; points of the
contrastive loss that lie so near to the right one are neither right nor wrong."""


def detector_loss(logits: torch.Tensor, targets: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of the cells that are valid.

    logits, targets: (B, 65, h, w), targets with the sum 1 over the channels; valid: (B, h, w).
    """
    entropy = -(targets * functional.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return _mean(entropy, valid)


def cell_targets(points: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return what the detector shall say (B, 65, h, w) of keypoints between pixels.

    points: (M, 3) of the index in the batch, x and y; of several in one cell the first counts.
    shape: (B, h, w). A keypoint between pixels is shared by the nearest four as far as they lie in
    its cell, so that the network learns where between them it is.
    """
    batch, rows, columns = shape
    index = points[:, 0].long()
    whole = points[:, 1:].round().long()
    cells = torch.div(whole, CELL, rounding_mode="floor")
    place = (index * rows + cells[:, 1]) * columns + cells[:, 0]
    order = torch.arange(len(points), device=points.device)
    first = torch.full((batch * rows * columns,), len(points), device=points.device)
    first.scatter_reduce_(0, place, order, "amin")
    kept = first[first < len(points)]
    place = place[kept]
    within = points[kept, 1:] - CELL * cells[kept]
    steps = torch.arange(CELL, device=points.device)
    x, y = ((1 - (within[:, axis, None] - steps).abs()).clamp(min=0) for axis in (0, 1))
    shares = (y[:, :, None] * x[:, None, :]).flatten(1)
    targets = torch.zeros((batch * rows * columns, CHANNELS), device=points.device)
    targets[:, DUSTBIN] = 1
    targets[place, :DUSTBIN] = shares / shares.sum(dim=1, keepdim=True)
    targets[place, DUSTBIN] = 0
    return targets.view(batch, rows, columns, CHANNELS).permute(0, 3, 1, 2)


def hinge_loss(
    descriptors0: torch.Tensor,
    descriptors1: torch.Tensor,
    places: torch.Tensor,
    valid: torch.Tensor,
) -> torch.Tensor:
    """Return the paper's loss of all pairs of cells, as a mean over the pairs.

    descriptors0, descriptors1: (B, D, h, w) of any length. places: (B, h, w, 2), where the centre
    of each cell of image 0 lies in image 1, pixels. valid: (B, h, w), the cells of image 1 that
    show the photograph. A pair corresponds where the place is within 8 pixels of the cell's centre.
    """
    batch, _, rows, columns = descriptors0.shape
    a, b = (functional.normalize(d.float().flatten(2), dim=1) for d in (descriptors0, descriptors1))
    products = a.transpose(1, 2) @ b  # (B, hw of image 0, hw of image 1)
    centres = torch.from_numpy(cell_centres((CELL * rows, CELL * columns))).to(places)
    same = torch.cdist(places.view(batch, -1, 2), centres.view(-1, 2)) <= NEAR_PX
    right = BALANCE * (POSITIVE_MARGIN - products).clamp(min=0)
    wrong = (products - NEGATIVE_MARGIN).clamp(min=0)
    counts = valid.view(batch, 1, -1).expand_as(same)
    return _mean(torch.where(same, right, wrong), counts)


class Contrast(NamedTuple):
    """What the contrastive loss tells: the loss, and which matches succeed (B, N) bool."""

    loss: torch.Tensor
    success: torch.Tensor


def contrastive_loss(
    descriptors0: torch.Tensor,
    descriptors1: torch.Tensor,
    points1: torch.Tensor,
    valid: torch.Tensor,
    temperature: float,
) -> Contrast:
    """Return the cycle-consistent negative log likelihood of the right matches.

    descriptors0, descriptors1: (B, N, D) of unit norm at corresponding points. points1: (B, N, 2),
    the points in image 1. valid: (B, N). The likelihood of a match is the product of the softmax
    over its row and that over its column; points so near to the right one that they cannot be told
    apart do not count. A match succeeds where it is the best of its row and of its column.
    """
    similarity = descriptors0 @ descriptors1.transpose(1, 2) / temperature
    near = torch.cdist(points1, points1) < NEAR_PX
    own = torch.eye(points1.shape[1], dtype=torch.bool, device=points1.device)
    hidden = (near & ~own) | ~valid.unsqueeze(1) | ~valid.unsqueeze(2)
    similarity = similarity.masked_fill(hidden & ~own, -torch.inf)
    rows = functional.log_softmax(similarity, dim=2).diagonal(dim1=1, dim2=2)
    columns = functional.log_softmax(similarity, dim=1).diagonal(dim1=1, dim2=2)
    right = similarity.diagonal(dim1=1, dim2=2)
    best = (right >= similarity.amax(dim=2)) & (right >= similarity.amax(dim=1))
    return Contrast(_mean(-(rows + columns) / 2, valid), best & valid)


def success_loss(
    logits: torch.Tensor, points: torch.Tensor, success: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropy between "a keypoint is in this cell" and "its match succeeds".

    logits: (B, 65, h, w). points: (B, N, 2) in pixels. success, valid: (B, N) bool.
    """
    flat = logits.float().flatten(2)
    columns = logits.shape[3]
    cells = torch.div(points.round().long(), CELL, rounding_mode="floor")
    places = (cells[..., 1] * columns + cells[..., 0]).clamp(0, flat.shape[2] - 1)
    is_keypoint = flat[:, :DUSTBIN].logsumexp(dim=1) - flat[:, DUSTBIN]
    chosen = is_keypoint.gather(1, places)
    entropy = functional.binary_cross_entropy_with_logits(chosen, success.float(), reduction="none")
    return _mean(entropy, valid)


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the mean of the values whose weight is true; 0 where there is none."""
    weights = weights.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1)
