"""SuperPoint on a CUDA GPU: as on the CPU within a tolerance, together as alone, and memory flat."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from generated_networks import generated_superpoint
from two_view_scene import texture

from nodes.networks.extractor import GPU_LANES, Extractor
from nodes.networks.keypoint_head import Found
from nodes.networks.selection import Selection
from nodes.networks.superpoint import Widths
from nodes.networks.suppression import keys_of, suppress_everywhere

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
PICTURES = [texture(seed, *size) for seed in range(2) for size in ((240, 320), (117, 163))]


def extractor(device: str, precision: str = "auto") -> Extractor:
    network = generated_superpoint(Widths())
    return Extractor(network, Selection(), device=device, precision=precision)


def shared(a: Found, b: Found) -> tuple[float, float, float]:
    """Return the share of common keypoints, and the largest score and descriptor differences."""
    rows = {tuple(p): i for i, p in enumerate(b.keypoints.tolist())}
    pairs = [(i, rows[tuple(p)]) for i, p in enumerate(a.keypoints.tolist()) if tuple(p) in rows]
    assert pairs
    i, j = np.array(pairs).T
    share = len(pairs) / max(len(a.scores), len(b.scores))
    score = float(np.abs(a.scores[i] - b.scores[j]).max())
    return share, score, float(1 - np.sum(a.descriptors[i] * b.descriptors[j], axis=1).min())


@pytest.mark.parametrize(
    ("precision", "share", "score", "cosine"),
    [
        ("float32", 0.97, 0.015, 1.5e-5),
        ("float16", 0.955, 0.015, 1.5e-5),
        ("bfloat16", 0.82, 0.09, 3e-4),
    ],
)
def test_it_finds_what_the_cpu_finds(
    precision: str, share: float, score: float, cosine: float
) -> None:
    """About three times what the same precisions lose on a CPU.

    float32 on a GPU multiplies TF32, as PyTorch does by default.
    """
    gpu, cpu = extractor("cuda", precision), extractor("cpu", "float32")
    for image in PICTURES:
        common, scores, angle = shared(gpu.extract(image), cpu.extract(image))
        assert common >= share
        assert scores <= score
        assert angle <= cosine


def test_eager_and_recorded_runs_and_all_later_ones_are_the_same_to_the_last_bit() -> None:
    gpu = extractor("cuda")
    first = [array.tobytes() for array in gpu.extract(PICTURES[0])]
    for image in (PICTURES[2], PICTURES[0], PICTURES[2], PICTURES[0]):
        found = gpu.extract(image)
    assert [array.tobytes() for array in found] == first


def test_an_image_does_not_depend_on_the_others_of_its_batch() -> None:
    gpu = extractor("cuda")
    full = gpu.extract_batch([PICTURES[0], PICTURES[2]] * 2, [None] * 4, 4)
    for i in (0, 1):
        (alone,) = gpu.extract_batch([PICTURES[0::2][i]], [None], 4)
        for a, b, c in zip(full[i], full[i + 2], alone, strict=True):
            assert a.tobytes() == b.tobytes() == c.tobytes()


def test_a_batch_is_as_single_calls_within_rounding() -> None:
    gpu = extractor("cuda")
    masks = [None, (PICTURES[1] > 90).astype(np.uint8), None, None]
    for image, mask, found in zip(
        PICTURES, masks, gpu.extract_batch(PICTURES, masks, 4), strict=True
    ):
        common, scores, angle = shared(found, gpu.extract(image, mask))
        assert common >= 0.955
        assert scores <= 0.015
        assert angle <= 1.5e-5


def test_threads_get_what_single_calls_give_to_the_last_bit() -> None:
    gpu = extractor("cuda")
    expected = [[a.tobytes() for a in gpu.extract(image)] for image in PICTURES]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(10):
            for found, right in zip(pool.map(gpu.extract, PICTURES), expected, strict=True):
                assert [a.tobytes() for a in found] == right


def test_threads_that_all_want_to_record_do_so_one_after_the_other() -> None:
    runs = [extractor("cuda") for _ in range(2)]  # of one process, as two nodes have them
    pictures = [texture(seed, 64 + 8 * seed, 96) for seed in range(4)]
    expected = [[a.tobytes() for a in runs[0].extract(picture)] for picture in pictures]

    def call(i: int) -> bool:
        found = runs[i % 2].extract(pictures[i // 2 % 4])
        return [a.tobytes() for a in found] == expected[i // 2 % 4]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(160)))
    lanes = [run._lanes.get() for run in runs for _ in range(GPU_LANES)]
    slots = [slot for lane in lanes for slot in lane.slots.values()]
    assert any(slot.graph is not None for slot in slots)
    assert all(slot._may_record for slot in slots)  # no recording failed


def test_suppression_is_that_of_the_cpu_to_the_last_bit() -> None:
    heat = torch.rand((2, 240, 320), generator=torch.Generator().manual_seed(0)) ** 8
    cpu = keys_of(heat, 235, 317, 0.015)
    gpu = keys_of(heat.cuda(), 235, 317, 0.015)
    assert torch.equal(cpu, gpu.cpu())
    assert torch.equal(suppress_everywhere(cpu, 4), suppress_everywhere(gpu, 4).cpu())


def test_octaves_and_points_between_pixels_are_as_on_the_cpu_also_when_recorded() -> None:
    asked = Selection(octaves=3, subpixel=True)
    gpu, cpu = (
        Extractor(generated_superpoint(Widths()), asked, device=device, precision="float32")
        for device in ("cuda", "cpu")
    )
    expected = cpu.extract(PICTURES[0])
    for _ in range(3):  # run, recorded, played
        found = gpu.extract(PICTURES[0])
        distance = np.abs(found.keypoints[:, None] - expected.keypoints).max(axis=2)
        same = (distance < 0.1) & (found.scales[:, None] == expected.scales)
        assert same.any(axis=1).mean() > 0.9
    assert set(found.scales) == {1, 2, 4}


def test_memory_is_flat_over_200_calls() -> None:
    gpu = extractor("cuda")

    def call() -> None:
        gpu.extract_batch(PICTURES, [None] * len(PICTURES), 4)
        gpu.extract(PICTURES[0])

    for _ in range(5):
        call()
    torch.cuda.synchronize()
    before = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
    for _ in range(200):
        call()
    torch.cuda.synchronize()
    assert (torch.cuda.memory_reserved(), torch.cuda.memory_allocated()) == before
