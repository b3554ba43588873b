"""Average precision of detectors on drawings whose corners are known exactly."""

from collections.abc import Sequence

import numpy as np
from training.shapes import Drawing, draw

from evaluation.detectors import Contestant
from nodes.vision.feature_evaluation import average_precision, find_true
from nodes.vision.keypoints import Float32

SIZE = (240, 320)
"""(height, width), pixels."""


def make_drawings(count: int, seed: int = 0) -> list[Drawing]:
    """Return drawings of all kinds, the same for a seed."""
    return [draw(np.random.default_rng((seed, index)), SIZE) for index in range(count)]


def shapes_precision(contestant: Contestant, drawings: Sequence[Drawing]) -> float:
    """Return the average precision over the detections of all drawings, sorted by score together.

    A true corner counts once, within 3 px (MagicPoint: DeTone et al., "Toward geometric deep
    SLAM", 2017, section 4).
    """
    scores: list[Float32] = []
    is_right = []
    for drawing in drawings:
        found = contestant.detect(drawing.image)
        scores.append(found.scores)
        is_right.append(find_true(found.keypoints, drawing.corners))
    num_corners = sum(len(drawing.corners) for drawing in drawings)
    return average_precision(np.concatenate(scores), np.concatenate(is_right), num_corners)
