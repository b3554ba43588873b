"""How SuperPoint runs on a CPU: the code of the GPU but for pinned memory, streams and graphs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from generated_networks import SMALL, generated_superpoint
from reference_superpoint import describe, greedy, without_border
from two_view_scene import texture

from nodes.networks.extractor import Extractor
from nodes.networks.keypoint_head import Found, pixel_scores
from nodes.networks.selection import Selection
from pipeline.errors import ConfigError, InputError

SIZES = [(120, 160), (96, 64), (57, 83)]
PICTURES = [texture(seed, *size) for seed in range(2) for size in SIZES]


def extractor(**settings: object) -> Extractor:
    return Extractor(generated_superpoint(), device="cpu", **settings)


def assert_same(a: Found, b: Found) -> None:
    for name in Found._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


def assert_close(a: Found, b: Found, score: float = 1e-5, descriptor: float = 1e-4) -> None:
    assert np.array_equal(a.keypoints, b.keypoints)
    assert np.allclose(a.scores, b.scores, atol=score)
    assert np.allclose(a.descriptors, b.descriptors, atol=descriptor)


def test_the_whole_is_as_the_network_and_plain_numpy_say() -> None:
    image = texture(0, 96, 128)
    network = generated_superpoint()
    values = torch.from_numpy(image).float()[None, None] / 255
    with torch.inference_mode():
        logits, table = network(values)
    heat = pixel_scores(logits)[0].numpy()
    expected = without_border(greedy(heat, 0.015, 4), 128, 96, 4)
    found = extractor().extract(image)
    assert len(expected) > 80
    assert {tuple(map(int, p)) for p in found.keypoints} == set(expected)
    for (x, y), score, descriptor in zip(*found[:3], strict=True):
        assert score == pytest.approx(heat[int(y), int(x)], abs=1e-5)
        assert np.allclose(descriptor, describe(table[0].numpy(), x, y), atol=1e-4)


def test_results_have_the_promised_types_and_order() -> None:
    found = extractor(selection=Selection(max_keypoints=50)).extract(PICTURES[0])
    assert found.keypoints.shape == (50, 2)
    assert found.descriptors.shape == (50, SMALL.descriptor)
    assert {array.dtype for array in found} == {np.dtype(np.float32)}
    assert np.allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-6)
    assert np.all(np.diff(found.scores) <= 0)


def test_a_batch_of_any_sizes_is_as_single_calls_to_the_last_bit() -> None:
    run = extractor()
    masks = [None if i % 2 else (image > 90).astype(np.uint8) for i, image in enumerate(PICTURES)]
    batch = run.extract_batch(PICTURES, masks, 4)
    for image, mask, found in zip(PICTURES, masks, batch, strict=True):
        assert_same(found, extractor().extract(image, mask))
    assert run.extract_batch([], [], 4) == []


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_images_that_are_computed_together_are_as_single_calls(batch_size: int) -> None:
    """The way of the GPU: grouped by size, cut into batches, the last one filled up with black."""
    run = extractor()
    pictures = PICTURES * 2
    masks = [None, *((image > 90).astype(np.uint8) for image in pictures[1:])]
    together = run.extract_together(pictures, masks, batch_size)
    for image, mask, found in zip(pictures, masks, together, strict=True):
        assert_close(found, run.extract(image, mask))


def test_a_mask_is_forgotten_at_the_next_call() -> None:
    run = extractor()
    free = run.extract(PICTURES[0])
    masked = run.extract(PICTURES[0], np.zeros_like(PICTURES[0]))
    assert len(masked.scores) == 0
    assert_same(run.extract(PICTURES[0]), free)
    assert len(free.scores) > 100


def test_masks_are_forgotten_also_in_rows_that_a_call_left_empty() -> None:
    run = extractor()
    same = [texture(seed, 96, 64) for seed in range(4)]
    free = run.extract_together(same, [None] * 4, 4)
    hidden = run.extract_together(same, [None, None, None, np.zeros_like(same[3])], 4)
    assert [len(found.scores) > 20 for found in hidden] == [True, True, True, False]
    run.extract_together(same[:2], [None, None], 4)
    for found, expected in zip(run.extract_together(same, [None] * 4, 4), free, strict=True):
        assert_same(found, expected)


def test_a_batch_that_is_not_full_is_filled_up_with_black() -> None:
    run = extractor()
    same = [texture(seed, 96, 64) for seed in range(4)]
    run.extract_together(same, [None] * 4, 4)
    run.extract_together(same[:2], [None] * 2, 4)
    (slot,) = run._lanes.get().slots.values()
    assert slot._images[:2].any()
    assert not slot._images[2:].any()


def test_results_stay_as_they_were_when_the_buffers_are_used_again() -> None:
    run = extractor()
    first = run.extract(PICTURES[0])
    copy = Found(*(array.copy() for array in first))
    run.extract(PICTURES[3])
    assert_same(first, copy)


def test_threads_get_what_single_calls_give_to_the_last_bit() -> None:
    run = extractor()
    expected = [extractor().extract(image) for image in PICTURES]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(4):
            for found, right in zip(pool.map(run.extract, PICTURES), expected, strict=True):
                assert_same(found, right)


@pytest.mark.parametrize(("precision", "cure"), [("float16", True), ("float32", False)])
def test_weights_that_overflow_are_told_apart_from_an_image_without_keypoints(
    precision: str, cure: bool
) -> None:
    network, same = generated_superpoint(), generated_superpoint()
    for each in (network, same):
        each.conv4b.conv.weight.data *= 3e4 if cure else torch.inf
    run = Extractor(network, device="cpu", precision=precision)
    with pytest.raises(InputError, match=f"overflow in {precision}") as error:
        run.extract(PICTURES[0])
    assert ("set precision: bfloat16 or float32" in str(error.value)) == cure
    if cure:
        assert len(Extractor(same, device="cpu").extract(PICTURES[0]).scores) > 0


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (0, 0)])
def test_an_image_without_pixels_has_no_keypoints(size: tuple[int, int]) -> None:
    image = np.zeros(size, np.uint8)
    empty, full = extractor().extract_batch([image, PICTURES[0]], [None, None], 2)
    assert empty.keypoints.shape == (0, 2)
    assert empty.descriptors.shape == (0, SMALL.descriptor)
    assert len(full.scores) > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (7, 9), (8, 8), (17, 31)])
def test_images_of_any_size_work_and_give_nothing_outside(size: tuple[int, int]) -> None:
    network = generated_superpoint()
    network.convPb.conv.weight.data *= 0.001  # each pixel has nearly the same share, above 1/65
    network.convPb.conv.bias.data[-1] = -9
    run = Extractor(network, Selection(border_px=0), device="cpu")
    found = run.extract(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    assert len(found.scores) > 0
    assert (found.keypoints >= 0).all()
    assert (found.keypoints <= [size[1] - 1, size[0] - 1]).all()


def test_the_padding_makes_no_edge() -> None:
    """A plain picture whose size is no multiple of a cell has no keypoints, also at its end."""
    run = extractor(selection=Selection(border_px=0))
    assert len(run.extract(np.full((61, 59), 200, np.uint8)).scores) == 0


def test_bfloat16_finds_nearly_the_same() -> None:
    exact, short = extractor(), extractor(precision="bfloat16")
    a, b = exact.extract(PICTURES[0]), short.extract(PICTURES[0])
    common = {tuple(p) for p in a.keypoints} & {tuple(p) for p in b.keypoints}
    assert 0.8 * len(a.scores) < len(common) < len(a.scores)  # and it does make a difference


def test_settings_of_the_program_are_left_alone() -> None:
    network = generated_superpoint()
    before = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    Extractor(network).extract(PICTURES[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[1:]
    assert torch.is_grad_enabled()


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="device cuda: PyTorch finds no CUDA GPU here"):
        Extractor(generated_superpoint(), device="cuda")


@pytest.mark.data
def test_bfloat16_and_float32_agree_on_a_photograph(data_dir: Callable[..., object]) -> None:
    folder = data_dir("redkitchen")
    path = sorted((folder / "frames").iterdir())[0]  # type: ignore[operator]
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    a = extractor().extract(image)
    b = extractor(precision="bfloat16").extract(image)
    common = {tuple(p) for p in a.keypoints} & {tuple(p) for p in b.keypoints}
    assert len(common) > 0.7 * len(a.scores)


def test_a_batch_too_large_for_the_widest_layer_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    run = extractor()
    same = [PICTURES[0]] * 5
    expected = run.extract_together(same, [None] * 5, 1)
    shapes = []
    compute = run.compute
    monkeypatch.setattr(run, "compute", lambda i, m: shapes.append(len(i)) or compute(i, m))
    per_image = PICTURES[0].size * SMALL.blocks[0]
    monkeypatch.setattr("nodes.networks.extractor.MAX_ELEMENTS", 2 * per_image)
    found = run.extract_together(same, [None] * 5, 4)
    assert max(shapes) <= 2 < len(found) == 5
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.scores, other.scores, atol=1e-5)
