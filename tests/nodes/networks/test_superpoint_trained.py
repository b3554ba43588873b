"""SuperPoint's detector with trained weights: MagicPoint finds corners, where they are.

MagicPoint is the detector half of SuperPoint, trained on drawn shapes (DeTone et al., section 4).
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from generated_networks import generated_superpoint
from reference_superpoint import greedy, without_border

from nodes.networks.extractor import Extractor
from nodes.networks.keypoint_head import pixel_scores
from nodes.networks.superpoint import SuperPoint, Widths
from nodes.networks.suppression import keys_of, suppress

pytestmark = pytest.mark.data

LAYERS = {
    **{f"vgg/conv{i}_{j + 1}": f"conv{i}{'ab'[j]}" for i in range(1, 5) for j in range(2)},
    **{"detector/conv1": "convPa", "detector/conv2": "convPb"},
}
NORM = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance",
}  # fmt: skip


def magicpoint(path: Path) -> SuperPoint:
    """Return the network with MagicPoint's weights (TensorFlow's layout, for images up to 255)."""
    arrays = np.load(path)
    network = generated_superpoint(Widths(), batch_norm=True)
    state = network.state_dict()
    for theirs, ours in LAYERS.items():
        kernel = arrays[f"magicpoint/{theirs}/conv/kernel"].transpose(3, 2, 0, 1)
        scale = 255 if ours == "conv1a" else 1
        state[f"{ours}.conv.weight"] = torch.from_numpy(kernel * np.float32(scale))
        state[f"{ours}.conv.bias"] = torch.from_numpy(arrays[f"magicpoint/{theirs}/conv/bias"])
        for part, name in NORM.items():
            state[f"{ours}.norm.{part}"] = torch.from_numpy(
                arrays[f"magicpoint/{theirs}/bn/{name}"]
            )
    network.load_state_dict(state)
    return network


@pytest.fixture(scope="module")
def _cache() -> dict[str, SuperPoint]:
    return {}


@pytest.fixture
def network(data_dir: Callable[[str], Path], _cache: dict[str, SuperPoint]) -> SuperPoint:
    path = data_dir("hom_graf").parents[1] / "weights/MagicPoint/magicpoint_02-12-2018.npz"
    if not path.is_file():
        pytest.skip("needs the weights MagicPoint beside the shared sequences")
    return _cache.setdefault("magicpoint", magicpoint(path))


def checkerboard(dx: float = 0, dy: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a blurred picture (240, 320) of 5 x 4 squares moved by (dx, dy), and its corners (30, 2).

    Drawn four times as fine, then averaged: the edge between the fine pixels a - 1 and a lies at
    (a - 2) / 4. Blurred: on a sharp board it finds many corners twice.
    """
    fine = np.full((960, 1280), 110.0)
    left, top, side = round(220 + 4 * dx), round(140 + 4 * dy), 148  # not a number of cells
    for i in range(5):
        for j in range(4):
            x, y = left + i * side, top + j * side
            fine[y : y + side, x : x + side] = 230 if (i + j) % 2 else 20
    image = cv2.GaussianBlur(fine.reshape(240, 4, 320, 4).mean(axis=(1, 3)), (0, 0), 2)
    grid = np.stack(np.meshgrid(range(6), range(5)), axis=2).reshape(-1, 2)
    return np.rint(image).astype(np.uint8), (np.array([left, top]) + grid * side - 2) / 4


def nearest(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the offset (N, 2) of the nearest of the points to each of the truth."""
    distance = np.linalg.norm(points[None] - truth[:, None], axis=2)
    return points[distance.argmin(axis=1)] - truth


def test_the_corners_of_a_checkerboard_are_found_within_3_px(network: SuperPoint) -> None:
    image, corners = checkerboard()
    found = Extractor(network, device="cpu").extract(image)
    distance = np.linalg.norm(nearest(found.keypoints, corners), axis=1)
    assert np.count_nonzero(distance < 3) >= 28
    sure = found.keypoints[found.scores > 0.1]
    back = np.linalg.norm(nearest(corners, sure), axis=1)
    assert len(sure) > 15
    assert (back < 3).all()


def test_corners_are_found_where_they_are(network: SuperPoint) -> None:
    """Not beside: a pixel, or x and y mixed up within the cells, would show in the mean."""
    run = Extractor(network, device="cpu")
    offsets = []
    for step in range(6):
        image, corners = checkerboard(1.25 * step, 1.25 * ((3 * step) % 8))
        offsets.append(nearest(run.extract(image).keypoints, corners))
    offset = np.concatenate(offsets)
    offset = offset[np.linalg.norm(offset, axis=1) < 3]
    assert len(offset) > 0.9 * 30 * 6
    assert np.median(np.linalg.norm(offset, axis=1)) < 1
    assert np.abs(np.mean(offset, axis=0)).max() < 0.5


@pytest.mark.parametrize("name", ["hom_graf", "kitti00", "redkitchen", "sinus_a"])
def test_suppression_on_photographs_is_the_greedy_one(
    network: SuperPoint, data_dir: Callable[[str], Path], name: str
) -> None:
    path = sorted((data_dir(name) / "frames").iterdir())[0]
    image = cv2.resize(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), (320, 240))
    with torch.inference_mode():
        logits, _ = network(torch.from_numpy(image).float()[None, None] / 255)
        heat = pixel_scores(logits)
        kept = suppress(keys_of(heat, 240, 320, 0.001), 4)[0]  # a low threshold: long chains
    expected = greedy(heat[0].numpy(), 0.001, 4)
    assert {(x, y) for y, x in kept.nonzero().tolist()} == set(expected)
    assert len(without_border(expected, 320, 240, 4)) > 50
