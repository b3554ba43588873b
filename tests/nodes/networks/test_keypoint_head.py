"""Scores, suppression, choice and sampling of keypoints, against plain numpy and by construction."""

import numpy as np
import pytest
import torch
from reference_superpoint import (
    describe,
    greedy,
    heat_of,
    logits_like_real_ones,
    refined,
    without_border,
)

from nodes.networks.keypoint_head import (
    Batch,
    Found,
    find_keypoints,
    in_order,
    pixel_scores,
    sample,
    unpack,
)
from nodes.networks.selection import Selection
from nodes.vision.keypoints import Keypoints, canonical_order

D = 5


def descriptors(seed: int, rows: int = 15, columns: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(D, rows, columns)).astype(np.float32)


def find(
    logits: np.ndarray,
    selection: Selection | None = None,
    mask: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
) -> Found:
    rows, columns = logits.shape[1:]
    height, width = size or (rows * 8, columns * 8)
    mask = np.ones((height, width), np.uint8) if mask is None else mask
    described = descriptors(9, rows, columns)
    packed = find_keypoints(
        torch.from_numpy(logits)[None],
        torch.from_numpy(described)[None],
        torch.from_numpy(mask)[None],
        selection or Selection(),
    )
    return unpack(packed[0].numpy(), D)


def test_scores_are_the_shares_of_each_pixel_without_the_dustbin() -> None:
    logits = logits_like_real_ones(0)
    scores = pixel_scores(torch.from_numpy(logits)[None])[0]
    assert np.allclose(scores.numpy(), heat_of(logits), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_keypoints_are_those_of_the_published_procedure_in_plain_numpy(seed: int) -> None:
    logits = logits_like_real_ones(seed)
    heat = pixel_scores(torch.from_numpy(logits)[None])[0].numpy()
    expected = without_border(greedy(heat, 0.015, 4), 160, 120, 4)
    found = find(logits)
    assert len(expected) > 80
    assert [tuple(map(int, p)) for p in found.keypoints] == expected
    assert np.array_equal(found.scores, [heat[y, x] for x, y in expected])
    for (x, y), descriptor in zip(expected, found.descriptors, strict=True):
        assert np.allclose(descriptor, describe(descriptors(9), x, y), atol=1e-5)


def test_the_best_are_kept_in_their_order() -> None:
    logits = logits_like_real_ones(2)
    everything, best = find(logits), find(logits, Selection(max_keypoints=20))
    assert len(best.scores) == 20
    for name in Found._fields:
        assert np.array_equal(getattr(best, name), getattr(everything, name)[:20])


def test_the_mask_is_applied_before_the_best_are_chosen() -> None:
    logits = logits_like_real_ones(2)
    mask = np.zeros((120, 160), np.uint8)
    mask[30:, 50:] = 255
    everything = find(logits)
    x, y = everything.keypoints.T
    inside = (x >= 50) & (y >= 30)
    found = find(logits, Selection(max_keypoints=20), mask)
    assert np.array_equal(found.keypoints, everything.keypoints[inside][:20])
    assert not len(find(logits, None, np.zeros_like(mask)).keypoints)


@pytest.mark.parametrize("border", [0, 1, 4, 20])
def test_no_keypoint_lies_in_the_border_or_in_the_padding(border: int) -> None:
    size = (113, 157)
    x, y = find(logits_like_real_ones(3), Selection(border_px=border), size=size).keypoints.T
    assert x.min() >= border
    assert y.min() >= border
    assert x.max() <= 156 - border
    assert y.max() <= 112 - border
    assert border > 4 or (x.max() > 150 - border and y.max() > 106 - border)


@pytest.mark.parametrize("outside", [(12, 12), (12, 10), (10, 12)])
def test_padding_does_not_suppress_what_is_inside(outside: tuple[int, int]) -> None:
    logits = np.full((65, 2, 2), -9.0, np.float32)
    logits[64] = 0
    logits[8 * 2 + 2, 1, 1] = 4  # pixel (10, 10), inside
    logits[8 * (outside[1] - 8) + outside[0] - 8, 1, 1] = 8  # better, but outside
    found = find(logits, Selection(border_px=0), size=(12, 12))
    assert found.keypoints.tolist() == [[10, 10]]


def test_a_batch_is_as_its_images_to_the_last_bit() -> None:
    logits = torch.from_numpy(np.stack([logits_like_real_ones(seed) for seed in range(3)]))
    described = torch.from_numpy(np.stack([descriptors(seed) for seed in range(3)]))
    masks = torch.ones((3, 118, 160), dtype=torch.uint8)
    together = find_keypoints(logits, described, masks, Selection())
    for i in range(3):
        alone = find_keypoints(logits[i : i + 1], described[i : i + 1], masks[:1], Selection())
        assert torch.equal(together[i : i + 1], alone)


def test_descriptors_change_linearly_between_the_centres_of_cells() -> None:
    """Two cells with descriptors at a right angle: their shares tell where the centres are."""
    table = torch.zeros(1, 2, 1, 2)
    table[0, 0, 0, 0] = 3  # any length: only the direction counts
    table[0, 1, 0, 1] = 5
    x = torch.tensor([0.0, 3.5, 5.5, 7.5, 9.5, 11.5, 15.0])
    found = sample(table, torch.stack([x, torch.full_like(x, 3.5)], dim=1)[None])[0]
    share = found[:, 1] / found.sum(dim=1)
    assert torch.allclose(share, torch.tensor([0, 0, 0.25, 0.5, 0.75, 1, 1]))
    assert torch.allclose(found.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_floats_from_the_network_are_settled_in_float32(dtype: torch.dtype) -> None:
    logits = torch.from_numpy(logits_like_real_ones(4)).to(dtype)
    heat = pixel_scores(logits[None])[0]
    assert heat.dtype == torch.float32
    found = find(logits.float().numpy())
    expected = without_border(greedy(heat.numpy(), 0.015, 4), 160, 120, 4)
    assert [tuple(map(int, p)) for p in found.keypoints] == expected
    assert len(expected) > 80


def test_an_image_with_logits_that_are_no_numbers_is_told_from_one_without_keypoints() -> None:
    logits = torch.full((2, 65, 2, 2), -9.0)
    logits[:, 64] = 9
    logits[0, 7, 1, 0] = torch.nan
    masks = torch.ones((2, 16, 16), dtype=torch.uint8)
    packed = find_keypoints(logits, torch.ones(2, D, 2, 2), masks, Selection()).numpy()
    assert np.isnan(unpack(packed[0], D).scores).all()
    assert len(unpack(packed[0], D).scores) > 0
    assert len(unpack(packed[1], D).scores) == 0


def test_an_image_smaller_than_the_keypoints_asked_for_is_no_matter() -> None:
    found = find(np.zeros((65, 1, 1), np.float32), Selection(border_px=0), size=(1, 1))
    assert found.keypoints.tolist() == [[0, 0]]
    assert found.scores.tolist() == pytest.approx([1 / 65])


def test_between_pixels_keypoints_are_the_same_ones_refined_and_described_there() -> None:
    logits = logits_like_real_ones(2)
    heat = pixel_scores(torch.from_numpy(logits)[None])[0].numpy()
    whole, found = find(logits), find(logits, Selection(subpixel=True))
    expected = [refined(heat, int(x), int(y)) for x, y in whole.keypoints]
    assert np.array_equal(found.scores, whole.scores)
    assert np.allclose(found.keypoints, expected, atol=1e-3)
    assert np.mean(np.abs(found.keypoints - whole.keypoints)) > 0.05
    for (x, y), descriptor in zip(found.keypoints, found.descriptors, strict=True):
        assert np.allclose(descriptor, describe(descriptors(9), x, y), atol=1e-5)


def test_the_order_is_the_canonical_one_also_of_equal_scores_and_places() -> None:
    rng = np.random.default_rng(0)
    points = rng.integers(0, 3, (2, 60, 2)).astype(np.float32)
    scores = rng.integers(0, 3, (2, 60)).astype(np.float32)
    scales = rng.choice([1, 2, 4], (2, 60)).astype(np.float32)
    numbers = np.arange(120, dtype=np.float32).reshape(2, 60, 1)
    batch = Batch(*map(torch.from_numpy, (points, scores, numbers, scales)))
    found = in_order(batch, 25)
    for i in range(2):
        nothing = np.zeros(60, np.float32)
        order = canonical_order(Keypoints(points[i], scores[i], scales[i], nothing, numbers[i]))
        assert np.array_equal(found.descriptors[i, :, 0], numbers[i, order[:25], 0])
        assert np.array_equal(found.points[i], points[i, order[:25]])
        assert np.array_equal(found.scores[i], scores[i, order[:25]])
        assert np.array_equal(found.scales[i], scales[i, order[:25]])
