"""Reduced images: where their keypoints lie in the full one, which are kept, and in which order."""

import numpy as np
import pytest
import torch
from generated_networks import generated_superpoint
from torch.nn import functional
from two_view_scene import texture

from nodes.networks.extractor import Extractor
from nodes.networks.keypoint_head import Found, find_keypoints, unpack
from nodes.networks.octaves import find_in_octaves, octaves
from nodes.networks.selection import Selection
from nodes.networks.superpoint import SuperPoint


class BrightSpots(SuperPoint):
    """In place of a network: the brighter a pixel, the more likely a keypoint."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cells = functional.pixel_unshuffle(images * 20, 8)
        dustbin = torch.full_like(cells[:, :1], 4.0)
        return torch.cat([cells, dustbin], dim=1), torch.ones_like(cells[:, :3])


def extract(image: np.ndarray, mask: np.ndarray | None = None, **asked: object) -> Found:
    selection = Selection(**asked)  # type: ignore[arg-type]
    return Extractor(generated_superpoint(), selection, device="cpu").extract(image, mask)


def blob(x: float, y: float, radius: float) -> torch.Tensor:
    """Return a picture (1, 1, 128, 160) of one bright spot."""
    rows, columns = np.mgrid[:128, :160]
    distance = ((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2)
    return torch.from_numpy(np.exp(-distance)).float()[None, None]


@pytest.mark.parametrize("octave", range(4))
def test_a_spot_is_found_at_its_place_in_every_octave(octave: int) -> None:
    """Its centre is that of a pixel of the octave, in the middle of a cell."""
    scale = 2**octave
    centre = (np.array([11, 12]) + 0.5) * scale - 0.5
    image, masks = blob(*centre, 2 * scale), torch.ones((1, 128, 160), dtype=torch.uint8)
    asked = Selection(octaves=octave + 1, border_px=0)
    found = find_in_octaves(BrightSpots(), image, masks, asked)
    points, scales = found.points[0].numpy(), found.scales[0].numpy()
    assert np.array_equal(points[scales == scale][0], centre)
    assert (found.scores[0] > 0).sum() > octave


def test_all_octaves_are_joined_in_canonical_order_and_the_best_are_kept() -> None:
    """Of a picture that was enlarged by repeating pixels the half is the picture, to the bit."""
    small = texture(0, 120, 160)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    parts = [extract(large), extract(small)]
    points = np.concatenate([parts[0].keypoints, parts[1].keypoints * 2 + np.float32(0.5)])
    scores = np.concatenate([part.scores for part in parts])
    scales = np.repeat(np.float32([1, 2]), [len(part.scores) for part in parts])
    described = np.concatenate([part.descriptors for part in parts])
    order = np.lexsort((scales, *points.T, -scores))[:200]
    found = extract(large, octaves=2, max_keypoints=200)
    assert np.array_equal(found.keypoints, points[order])
    assert np.array_equal(found.scores, scores[order])
    assert np.array_equal(found.scales, scales[order])
    assert np.array_equal(found.descriptors, described[order])
    assert set(found.scales) == {1, 2}


def test_one_octave_is_to_the_last_bit_what_there_was_without_octaves() -> None:
    image = texture(1, 120, 160)
    network = generated_superpoint()
    values = torch.from_numpy(image)[None, None].float() * (1 / 255)
    masks = torch.ones((1, 120, 160), dtype=torch.uint8)
    with torch.inference_mode():
        run = Extractor(network, device="cpu")  # lays the weights out as it runs them
        expected = unpack(find_keypoints(*network(values), masks, Selection())[0].numpy(), 32)
    for array, other in zip(run.extract(image), expected, strict=True):
        assert array.tobytes() == other.tobytes()


def test_no_keypoint_of_a_reduced_image_lies_outside_the_mask() -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[41:, 61:] = 255
    asked = {"octaves": 4, "border_px": 0, "subpixel": True}
    found = extract(texture(0, 120, 160), mask, **asked)
    assert set(found.scales) >= {1, 2, 4}
    x, y = np.rint(found.keypoints).T
    assert x.min() >= 61
    assert y.min() >= 41
    assert not len(extract(texture(0, 120, 160), np.zeros_like(mask), **asked).scores)


def test_a_mask_allows_a_reduced_pixel_where_it_allows_all_four() -> None:
    masks = torch.ones((1, 5, 7), dtype=torch.uint8) * 255
    masks[0, 1, 2] = 0
    masks[0, 4, 6] = 0  # in the odd row and column
    (_, full), (image, half) = octaves(torch.rand(1, 1, 5, 7), masks, 2)
    assert torch.equal(full, masks)
    assert image.shape == (1, 1, 2, 3)
    assert (half > 0).tolist() == [[[True, False, True], [True, True, True]]]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (2, 2), (9, 31), (57, 83)])
def test_images_of_any_size_work_and_give_nothing_outside(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    found = extract(image, octaves=4, border_px=0, threshold=0.001, subpixel=True)
    assert (found.keypoints > -0.5).all()
    assert (found.keypoints < [size[1] - 0.5, size[0] - 0.5]).all()


def test_a_batch_is_as_single_images_to_the_last_bit() -> None:
    asked = Selection(octaves=3, subpixel=True, max_keypoints=300)
    run = Extractor(generated_superpoint(), asked, device="cpu")
    same = [texture(seed, 96, 120) for seed in range(3)]
    for found, image in zip(run.extract_batch(same, [None] * 3, 3), same, strict=True):
        for array, other in zip(found, run.extract(image), strict=True):
            assert array.tobytes() == other.tobytes()
    for found, image in zip(run.extract_together(same, [None] * 3, 2), same, strict=True):
        assert np.allclose(found.scores, run.extract(image).scores, atol=1e-5)
