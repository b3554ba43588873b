"""Suite detect: finding and describing keypoints in VGA images; on a CPU one image at a time.

The networks have random weights but for those that a file gives: their speed does not depend on
training, and both sides choose equal numbers of keypoints above one threshold.
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2

from benchmarks import detect_cuda
from benchmarks.ceilings import matmul_gflops
from benchmarks.eager_superpoint import (
    THRESHOLD,
    EagerSuperPoint,
    gflop,
    random_state,
    save_random_weights,
)
from benchmarks.measure import Contestant, Measure, Values, create, race, timed
from benchmarks.record import Findings
from benchmarks.settings import VGA, Image, Settings
from nodes.detectors import DETECTORS

KEYPOINTS = 1000
NETWORK_KEYPOINTS = 1024
UNITS = {
    "time": "ms an image", "CPU": "ms an image", "keypoints": "", "rate": "images/s",
    "roofline": "% of the product", "speed": "GFLOP/s",
}  # fmt: skip
Detect = Callable[[Image], Any]
"""Takes a grey image; what it returns has a length, or holds what has one."""


def run(settings: Settings) -> Findings:
    """Measure detectors on a CPU; with a GPU, SuperPoint on it."""
    if settings.device == "cuda":
        return detect_cuda.run(settings)
    images = settings.clip(2 if settings.quick else 12)
    with tempfile.TemporaryDirectory() as folder:
        found = race(contestants(settings, images, Path(folder)), settings.repeats)
    _add_roofline(found.runs)
    candidates = EagerSuperPoint(random_state(), "cpu", 0).num_candidates(images[:4])
    note = (
        f"640x480 grey, {settings.pictures}. SIFT and ORB keep {KEYPOINTS} keypoints, the networks "
        f"{NETWORK_KEYPOINTS}; SuperPoint has its original widths ({gflop(*VGA):.0f} GFLOP an "
        f"image) and random weights, with which {candidates} pixels of an image are above its "
        f"threshold {THRESHOLD}. Roofline: the share of the float32 matrix product of the same "
        "repeat, both threads."
    )
    return Findings(found.rows(UNITS), [note])


def contestants(settings: Settings, images: list[Image], folder: Path) -> Iterator[Contestant]:
    """Yield all rows of the table."""
    sift, half = {"nfeatures": KEYPOINTS}, {"nfeatures": KEYPOINTS, "half_resolution": True}
    yield Contestant("matrix product, float32", lambda: _product)
    yield _row("SIFT, one thread", lambda: _ours("sift", sift), images, 1)
    yield _row("SIFT, OpenCV's threads", lambda: _ours("sift", sift), images, 2)
    yield _row("SIFT, two workers", lambda: _ours("sift", sift), images, 1, workers=2)
    yield _row("bare OpenCV SIFT, one thread", lambda: _bare(cv2.SIFT), images, 1)
    yield _row("bare OpenCV SIFT, OpenCV's threads", lambda: _bare(cv2.SIFT), images, 2)
    yield _row("SIFT at half resolution, one thread", lambda: _ours("sift", half), images, 1)
    yield _row("ORB, one thread", lambda: _ours("orb", {}), images, 1)
    yield _row("bare OpenCV ORB, one thread", lambda: _bare(cv2.ORB), images, 1)
    few = images[:1] if settings.quick else images[:4]
    for threads in (1, 2):
        name = f"{threads} thread{'s' if threads > 1 else ''}"
        yield _row(f"SuperPoint, {name}", lambda: _superpoint(folder), few, threads)
        yield _row(f"eager SuperPoint, {name}", _eager, few, threads)
        pooled = f"eager SuperPoint, max-pooling, {name}"
        yield _row(pooled, lambda: _eager(max_pooling=True), few, threads)
    aliked = "ALIKED/aliked-t16.pth"
    yield _row("ALIKED, 2 threads", lambda: _pretrained(settings, "aliked", aliked), few, 2)
    xfeat = "XFeat/xfeat_official_dense.onnx"
    yield _row("XFeat, 2 threads", lambda: _pretrained(settings, "xfeat", xfeat), few, 2)
    yield _row("kornia SIFT, 2 threads", lambda: _kornia("SIFTFeature"), few, 2)
    yield _row("kornia DISK, 2 threads", lambda: _kornia("DISK"), few, 2)


def _row(
    name: str, make: Callable[[], Detect], images: list[Image], threads: int, workers: int = 1
) -> Contestant:
    """Return a contestant that goes through all images with so many threads of the library."""

    def prepare() -> Measure:
        detect = make()
        return lambda: _measure(detect, images, threads, workers)

    return Contestant(name, prepare)


def _measure(detect: Detect, images: list[Image], threads: int, workers: int) -> Values:
    import torch

    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    with ThreadPoolExecutor(workers) as pool:
        results: list[Any] = []
        values = timed(lambda: results.extend(pool.map(detect, images)), len(images))
    count = sum(map(_num_keypoints, results)) / len(results)
    rate = 1e3 / values["ms"]
    return {"time": values["ms"], "CPU": values["ms CPU"], "keypoints": count, "rate": rate}


def _num_keypoints(result: Any) -> int:
    return len(result.keypoints) if hasattr(result, "keypoints") else len(result)


def _product() -> Values:
    import torch

    torch.set_num_threads(2)
    return {"speed": matmul_gflops("cpu")}


def _add_roofline(runs: dict[str, list[Values]]) -> None:
    products = runs["matrix product, float32"]
    for name, values in runs.items():
        if "SuperPoint" in name:
            for mine, product in zip(values, products, strict=False):
                mine["speed"] = gflop(*VGA) * mine["rate"]
                mine["roofline"] = 100 * mine["speed"] / product["speed"]


def _ours(name: str, options: dict[str, Any]) -> Detect:
    detect: Detect = create(DETECTORS, name, options).detect
    return detect


def _superpoint(folder: Path) -> Detect:
    weights = str(save_random_weights(folder))
    options = {"weights": weights, "max_keypoints": NETWORK_KEYPOINTS, "threshold": THRESHOLD}
    return _ours("superpoint", {**options, "device": "cpu"})


def _pretrained(settings: Settings, name: str, weights: str) -> Detect:
    path = str(settings.weights(weights))
    device = {"device": "cpu"} if name == "aliked" else {}
    return _ours(name, {"weights": path, "max_keypoints": NETWORK_KEYPOINTS, **device})


def _bare(factory: Any) -> Detect:
    algorithm = factory.create(KEYPOINTS)
    return lambda image: algorithm.detectAndCompute(image, None)[0]


def _eager(*, max_pooling: bool = False) -> Detect:
    network = EagerSuperPoint(random_state(), "cpu", NETWORK_KEYPOINTS, max_pooling=max_pooling)
    return lambda image: network.detect_batch([image])[0][0]


def _kornia(name: str) -> Detect:
    import kornia
    import torch

    def tensor(image: Image, channels: int) -> torch.Tensor:
        return torch.from_numpy(image)[None, None].float().expand(1, channels, -1, -1) / 255

    if name == "SIFTFeature":
        sift = kornia.feature.SIFTFeature(KEYPOINTS)

        def detect_sift(image: Image) -> Any:
            with torch.inference_mode():
                return sift(tensor(image, 1))[0][0]

        return detect_sift
    disk = kornia.feature.DISK()

    def detect_disk(image: Image) -> Any:
        with torch.inference_mode():
            return disk(tensor(image, 3), NETWORK_KEYPOINTS)[0].keypoints

    return detect_disk
