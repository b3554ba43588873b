"""Greedy suppression and the choice of the best pixels: both forms, against plain numpy."""

import numpy as np
import pytest
import torch
from reference_superpoint import greedy, heat_of, logits_like_real_ones, without_border

from nodes.networks.selection import Selection
from nodes.networks.suppression import (
    best_everywhere,
    best_keys,
    decode,
    keys_of,
    suppress,
    suppress_everywhere,
)


def keys_from(heat: np.ndarray, threshold: float = 0.015) -> torch.Tensor:
    return keys_of(torch.from_numpy(heat.astype(np.float32))[None], *heat.shape, threshold)


def points_of(keys: torch.Tensor) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for y, x in keys.nonzero().tolist()}


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 7])
def test_both_forms_of_suppression_are_the_greedy_one(radius: int) -> None:
    heat = heat_of(logits_like_real_ones(1))
    keys = keys_from(heat)
    everywhere = suppress_everywhere(keys, radius)[0]
    assert torch.equal(everywhere, suppress(keys, radius)[0])
    assert points_of(everywhere) == set(greedy(heat.astype(np.float32), 0.015, radius))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_equal_scores_are_settled_from_top_to_bottom_and_from_left_to_right(steps: int) -> None:
    heat = heat_of(logits_like_real_ones(steps))
    heat = 2 ** (np.rint(np.log2(heat) * steps) / steps)  # few different values
    keys = keys_from(heat)
    kept = suppress_everywhere(keys, 4)[0]
    assert torch.equal(kept, suppress(keys, 4)[0])
    assert points_of(kept) == set(greedy(heat.astype(np.float32), 0.015, 4))


def test_a_flat_map_keeps_a_grid_and_no_two_neighbours() -> None:
    kept = suppress_everywhere(keys_from(np.full((24, 24), 0.5)), 4)[0]
    assert points_of(kept) <= {(x, y) for x in range(0, 24, 5) for y in range(0, 24, 5)}
    assert (0, 0) in points_of(kept)


def test_a_chain_longer_than_the_rounds_drops_its_end_and_nothing_else() -> None:
    heat = np.zeros((8, 160))
    heat[4, 4::4] = np.linspace(0.9, 0.1, 39)  # each is near to the next one only
    kept = points_of(suppress_everywhere(keys_from(heat), 4)[0])
    expected = greedy(heat.astype(np.float32), 0.015, 4)
    assert kept == set(expected[:6])


def test_keys_tell_neighbouring_floats_apart_in_a_large_image() -> None:
    scores = torch.full((1, 4000, 4000), 0.7)
    scores[0, 3999, 3999] = float(np.nextafter(np.float32(0.7), np.float32(1)))
    keys = keys_of(scores, 4000, 4000, 1e-4)
    assert keys.argmax() == 4000 * 4000 - 1
    assert keys[0, 0, 0] > keys[0, 0, 1] > keys[0, 1, 0]


def test_a_score_equal_to_the_threshold_is_enough() -> None:
    threshold = np.float32(0.015)
    heat = np.full((1, 3), threshold)
    heat[0, 0] = np.nextafter(threshold, np.float32(0))
    heat[0, 2] = np.nextafter(threshold, np.float32(1))
    assert points_of(keys_from(heat, 0.015)[0]) == {(1, 0), (2, 0)}


@pytest.mark.parametrize(
    "selection",
    [
        Selection(),
        Selection(max_keypoints=20),
        Selection(max_keypoints=9000, nms_radius_px=0, border_px=0),
        Selection(nms_radius_px=2, border_px=11, threshold=0.1),
        Selection(threshold=0.99),
    ],
    ids=lambda selection: f"{selection.max_keypoints} {selection.threshold}",
)
def test_both_forms_choose_the_same_pixels_in_the_same_order(selection: Selection) -> None:
    heat = np.stack([heat_of(logits_like_real_ones(seed)) for seed in range(3)])
    scores = torch.from_numpy(heat.astype(np.float32))
    masks = torch.ones((3, 113, 157), dtype=torch.uint8)
    masks[0, 40:60, 30:90] = 0
    listed, everywhere = (form(scores, masks, selection) for form in (best_keys, best_everywhere))
    assert torch.equal(listed, everywhere)
    points, found = decode(listed, scores.shape, selection.threshold)
    for i in (1, 2):
        inside = scores[i, :113, :157].numpy()
        free = greedy(inside, selection.threshold, selection.nms_radius_px)
        free = without_border(free, 157, 113, selection.border_px)[: selection.max_keypoints]
        number = int((found[i] > 0).sum())
        assert [tuple(map(int, p)) for p in points[i, :number].tolist()] == free
        assert found[i, :number].tolist() == [float(inside[y, x]) for x, y in free]


def test_without_candidates_there_is_nothing_and_the_shape_stays() -> None:
    scores, masks = torch.zeros((2, 16, 24)), torch.ones((2, 16, 24), dtype=torch.uint8)
    for form in (best_keys, best_everywhere):
        assert torch.equal(form(scores, masks, Selection()), torch.zeros((2, 20)).double())
