"""How long detectors take for a VGA image, measured in turns, so that all meet the same noise."""

import os
import sys
import time
from collections.abc import Sequence
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from evaluation.detectors import Contestant

Image = npt.NDArray[np.uint8]

VGA = (640, 480)
ROUNDS = 3


def all_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Let OpenCV and, where a detector has loaded it, PyTorch use so many threads."""
    cv2.setNumThreads(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


def as_vga(image: Image) -> Image:
    """Return an image stretched to 640x480."""
    return np.asarray(cv2.resize(image, VGA, interpolation=cv2.INTER_AREA), np.uint8)


def time_detectors(
    contestants: Sequence[Contestant], images: Sequence[Image]
) -> dict[str, tuple[float, float]]:
    """Return by label the median milliseconds an image, of the clock and of CPU."""
    taken: dict[str, list[tuple[float, float]]] = {one.label: [] for one in contestants}
    for contestant in contestants:
        contestant.detect(images[0])  # to warm up
    for _ in range(ROUNDS):
        for image in images:
            for contestant in contestants:
                taken[contestant.label].append(_timed(contestant, image))
    return {
        label: (1e3 * median(wall for wall, _ in runs), 1e3 * median(cpu for _, cpu in runs))
        for label, runs in taken.items()
    }


def _timed(contestant: Contestant, image: Image) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    contestant.detect(image)
    cpu_s = time.process_time() - cpu
    return time.perf_counter() - wall, cpu_s
