"""Measure what a features-only link costs: bytes of `Features` against those of the raw video.

    python tools/measure_link_bytes.py DATASET --detectors sift orb superpoint-small

Each frame's strongest keypoints, as many as asked for, are encoded as on a link to another machine
(pipeline/wire.py). What TCP, CURVE and credit add is not counted: a few hundred bytes a frame.
"""

import argparse
import statistics
from collections.abc import Iterator

import numpy as np

from nodes.detectors import DETECTORS
from nodes.messages import Features
from nodes.sources import SOURCES
from nodes.sources.base import Selection
from nodes.vision.camera import Camera
from pipeline.messages import Item
from pipeline.wire import encode

OPTIONS = {
    "sift": {"nfeatures": 1024, "contrastThreshold": 0.005},
    "orb": {"nfeatures": 1024, "fastThreshold": 3},
    "superpoint-small": {"max_keypoints": 1024, "threshold": 0.0005},
}


def measure(path: str, name: str, frames: int, points: int) -> Iterator[tuple[int, int, int]]:
    """Yield (keypoints, bytes on the link, bytes of the RGB picture) of each frame."""
    source = SOURCES.create("dataset", {"path": path})
    source.open(lambda text: None)
    detector = DETECTORS.create(name, OPTIONS[name])
    for picture in source.frames(Selection(stop=frames)):
        if picture.image is None:
            continue
        height, width = picture.image.shape[:2]
        found = detector.detect(picture.image, None)
        message = Features(
            stream="camera", seq=picture.index, stamp_ns=picture.stamp_ns,
            keypoints=found.keypoints[:points], scores=found.scores[:points],
            sizes=found.sizes[:points], angles=found.angles[:points],
            descriptors=np.ascontiguousarray(found.descriptors[:points]),
            camera=Camera.assumed(width, height),
        )  # fmt: skip
        parts = encode(Item.data(message, 0), picture.index, 0)
        yield len(message.keypoints), sum(memoryview(p).nbytes for p in parts), 3 * width * height


def main() -> None:
    """Print a row for each detector and data set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--detectors", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--points", type=int, default=1024)
    arguments = parser.parse_args()
    print("| data set | detector | points a frame | bytes a point | kB a frame | of the raw RGB |")
    print("|---|---|---:|---:|---:|---:|")
    for path in arguments.datasets:
        for name in arguments.detectors:
            rows = list(measure(path, name, arguments.frames, arguments.points))
            count, nbytes, raw = (statistics.mean(column) for column in zip(*rows, strict=True))
            print(
                f"| {path.rstrip('/').rpartition('/')[2]} | {name} | {count:.0f} "
                f"| {nbytes / max(count, 1):.0f} | {nbytes / 1e3:.0f} | {nbytes / raw:.1%} |"
            )


if __name__ == "__main__":
    main()
