"""The GPU's part of suite detect: SuperPoint from images of the host to keypoints on the host.

Everything takes the device as an argument, so that a CPU can show that it works.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ceilings import (
    copy_on_device_gbs,
    copy_to_device_gbs,
    matmul_gflops,
    synchronise,
)
from benchmarks.eager_superpoint import (
    THRESHOLD,
    EagerSuperPoint,
    gflop,
    random_state,
    save_random_weights,
)
from benchmarks.measure import (
    Contestant,
    Measure,
    NotMeasuredError,
    Values,
    create,
    race,
    say,
    timed,
)
from benchmarks.record import Figure, Findings, Row
from benchmarks.settings import VGA, Image, Settings
from nodes.detectors import DETECTORS
from nodes.vision.keypoints import Keypoints

BATCHES = (1, 8, 32)
KEYPOINTS = 1024
COPY_BYTES = 256 * 2**20
MEMORY_CALLS = 500
PRODUCT = "matrix product, bfloat16"
CHECKS = "Checks, worst case"
UNITS = {
    "time": "ms an image", "CPU": "ms an image", "rate": "images/s", "keypoints": "",
    "times eager, same batch": "", "times max-pooling, same batch": "",
    "roofline": "% of the product", "speed": "GFLOP/s", "bandwidth": "GB/s",
}  # fmt: skip


def run(settings: Settings) -> Findings:
    """Measure batches beside the eager network, then what equals what, and the memory."""
    images = settings.clip(2 * BATCHES[-1] if settings.quick else 8 * BATCHES[-1])
    with tempfile.TemporaryDirectory() as folder:
        weights = save_random_weights(Path(folder))
        found = race(contestants(images, weights, settings.device), settings.repeats)
        add_shares(found.runs)
        network = EagerSuperPoint(random_state(), settings.device, KEYPOINTS)
        candidates = network.num_candidates(images[:8])
        calls = 20 if settings.quick else MEMORY_CALLS
        rows = found.rows(UNITS) + checks(images[:8], weights, settings.device, calls)
    note = (
        f"640x480 grey, {settings.pictures}, {KEYPOINTS} keypoints, original widths "
        f"({gflop(*VGA):.0f} GFLOP an image), random weights, with which "
        f"{candidates} pixels of an image are above the threshold {THRESHOLD}. Each time is that "
        "of whole calls: upload, network, suppression, choice, sampling and download. Roofline: "
        "the share of the bfloat16 matrix product of the same repeat."
    )
    return Findings(rows, [note])


def make(weights: Path, device: str, batch: int = 1, precision: str = "auto") -> Any:
    """Return the detector with as many keypoints as the peer has."""
    options = {
        "weights": str(weights), "max_keypoints": KEYPOINTS, "threshold": THRESHOLD,
        "device": device, "precision": precision,
    }  # fmt: skip
    detector = create(DETECTORS, "superpoint", options)
    detector.batch_size = batch
    return detector


def contestants(images: list[Image], weights: Path, device: str) -> Iterator[Contestant]:
    """Yield the ceilings, then both sides in each batch size."""
    yield Contestant(PRODUCT, lambda: lambda: {"speed": matmul_gflops(device)})
    yield Contestant("copy to the device, pinned", lambda: _copy(copy_to_device_gbs, device))
    yield Contestant("copy on the device", lambda: _copy(copy_on_device_gbs, device))
    for batch in BATCHES:
        yield Contestant(
            f"SuperPoint, batch {batch}", lambda b=batch: _ours(images, weights, device, b)
        )
        yield Contestant(
            f"eager SuperPoint, batch {batch}", lambda b=batch: _eager(images, device, b)
        )
        yield Contestant(
            f"eager SuperPoint, max-pooling, batch {batch}",
            lambda b=batch: _eager(images, device, b, max_pooling=True),
        )


def _copy(bandwidth: Callable[[int], float], device: str) -> Measure:
    if device != "cuda":
        raise NotMeasuredError("needs a GPU")
    return lambda: {"bandwidth": bandwidth(COPY_BYTES)}


def _ours(images: list[Image], weights: Path, device: str, batch: int) -> Measure:
    detector = make(weights, device, batch)

    def detect(some: list[Image]) -> list[Keypoints]:
        found: list[Keypoints] = detector.detect_batch(some, [None] * len(some))
        return found

    return lambda: _measure(detect, images, batch, device)


def _eager(images: list[Image], device: str, batch: int, *, max_pooling: bool = False) -> Measure:
    network = EagerSuperPoint(random_state(), device, KEYPOINTS, max_pooling=max_pooling)
    few = images[: max(batch, len(images) // 4)]  # slow: a quarter of the images is enough
    return lambda: _measure(network.detect_batch, few, batch, device)


def _measure(detect: Any, images: list[Image], batch: int, device: str) -> Values:
    groups = [images[i : i + batch] for i in range(0, len(images) - batch + 1, batch)]
    results: list[Any] = []

    def work() -> None:
        for group in groups:
            results.extend(detect(group))
        synchronise(device)

    values = timed(work, len(groups) * batch)
    count = sum(len(r.keypoints if isinstance(r, Keypoints) else r[0]) for r in results)
    return {
        "time": values["ms"], "CPU": values["ms CPU"], "rate": 1e3 / values["ms"],
        "keypoints": count / len(results),
    }  # fmt: skip


def add_shares(runs: dict[str, list[Values]]) -> None:
    """Add to each repeat the ratios to the eager networks, and the share of the ceiling."""
    products = runs[PRODUCT]
    for name, values in runs.items():
        if "SuperPoint" not in name:
            continue
        pooled = name.replace("SuperPoint,", "SuperPoint, max-pooling,")
        for column, peer in (("eager", name), ("max-pooling", pooled)):
            for mine, theirs in zip(values, runs.get(f"eager {peer}", []), strict=False):
                mine[f"times {column}, same batch"] = mine["rate"] / theirs["rate"]
        for mine, product in zip(values, products, strict=False):
            mine["speed"] = gflop(*VGA) * mine["rate"]
            mine["roofline"] = 100 * mine["speed"] / product["speed"]


def checks(images: list[Image], weights: Path, device: str, calls: int) -> list[Row]:
    """Return what equals what: the GPU and the CPU, a batch and single calls, memory and itself."""
    say("equality and memory")
    detector, exact = make(weights, device, len(images)), make(weights, device, 1, "float32")
    on_host = make(weights, "cpu")
    batch = detector.detect_batch(images, [None] * len(images))
    singles = [detector.detect(image) for image in images]
    on_cpu = [on_host.detect(image) for image in images[:2]]
    in_float32 = [exact.detect(image) for image in images[:2]]
    return [
        agreement(f"batch of {len(images)} beside single calls", batch, singles),
        agreement("GPU as it comes beside CPU", singles[:2], on_cpu),
        agreement("GPU in float32 beside CPU", in_float32, on_cpu),
        _memory(detector, images, calls),
    ]


def agreement(name: str, ours: list[Keypoints], theirs: list[Keypoints]) -> Row:
    """Return which share of the points both have within a pixel, and how alike they are."""
    shares, angles = [], []
    for mine, other in zip(ours, theirs, strict=True):
        gaps = np.abs(mine.keypoints[:, None] - other.keypoints[None]).max(2)
        nearest = gaps.argmin(1)
        is_same = gaps[np.arange(len(gaps)), nearest] < 1
        cosines = (mine.descriptors * other.descriptors[nearest]).sum(1)[is_same]
        shares.append(100 * float(is_same.mean()))
        angles.append(float(cosines.min()) if len(cosines) else 0.0)
    return Row(
        name,
        {"same points": _single("%", min(shares)), "least cosine": _single("", min(angles))},
        table=CHECKS,
    )


def _memory(detector: Any, images: list[Image], calls: int) -> Row:
    """Return the memory that the GPU has given away before and after many calls."""
    import torch

    before = torch.cuda.memory_reserved() / 2**20
    for _ in range(calls):
        detector.detect_batch(images, [None] * len(images))
    after = torch.cuda.memory_reserved() / 2**20
    name = f"memory before and after {calls} batches of {len(images)}"
    figures = {"before": _single("MB", before), "after": _single("MB", after)}
    return Row(name, figures, table=CHECKS)


def _single(unit: str, value: float) -> Figure:
    return Figure(unit, value, value, value, 1)
