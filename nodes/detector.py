"""Finds keypoints in each frame and describes them: `Frame` -> `Features`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from nodes.detectors import DETECTORS, FindsKeypoints
from nodes.messages import Features, Frame
from nodes.vision.images import limit_threads
from pipeline.node import Node, Output, Resources


class Detector(Node):
    """Runs a detector on each frame by itself."""

    @dataclass(frozen=True)
    class Params:
        """Which detector, and its settings."""

        algorithm: Annotated[str, DETECTORS, "how keypoints are found and described"] = "sift"
        options: Annotated[object, "settings of the algorithm"] = None

    outputs = {"features": Output(Features)}
    stateless = True
    _detector: FindsKeypoints

    def open(self, resources: Resources) -> None:
        """Load the detector."""
        super().open(resources)
        limit_threads(resources.threads)
        self._detector = DETECTORS.create(self.params.algorithm, self.params.options)

    def process(self, frame: Frame) -> Iterator[Features]:
        """Find the keypoints of a frame."""
        found = self._detector.detect(frame.image, frame.mask)
        yield Features(
            stream=frame.stream,
            seq=frame.seq,
            stamp_ns=frame.stamp_ns,
            keypoints=found.keypoints,
            scores=found.scores,
            sizes=found.sizes,
            angles=found.angles,
            descriptors=found.descriptors,
            camera=frame.camera,
        )
