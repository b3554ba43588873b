"""Finds keypoints in each frame and describes them: `Frame` -> `Features`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from nodes.detectors import DETECTORS, FindsKeypoints
from nodes.messages import Features, Frame
from nodes.vision.images import limit_threads
from nodes.vision.keypoints import Keypoints
from pipeline.node import Node, Output, Resources


class Detector(Node):
    """Runs a detector on each frame, or on batches of frames where the graph gathers them."""

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
        self._detector.batch_size = resources.batch

    def process(self, frame: Frame) -> Iterator[Features]:
        """Find the keypoints of a frame."""
        yield _features(frame, self._detector.detect(frame.image, frame.mask))

    def process_batch(self, messages: Sequence[Frame]) -> Iterator[Features]:
        """Find the keypoints of several frames at once; of whichever streams."""
        images = [frame.image for frame in messages]
        masks = [frame.mask for frame in messages]
        found = self._detector.detect_batch(images, masks)
        yield from map(_features, messages, found)


def _features(frame: Frame, found: Keypoints) -> Features:
    return Features(
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
