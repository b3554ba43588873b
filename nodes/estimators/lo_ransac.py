"""The default estimator: poselib's LO-RANSAC, refined to what the points can tell."""

from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from nodes.vision.motion import Motion, estimate_motion
from nodes.vision.robust import Limits, sample_motion_poselib

Float = npt.NDArray[np.float64]


class LoRansac:
    """Samples five points at a time, improves each good model at once, and counts what is in front.

    Larsson and contributors, PoseLib; Lebeda, Matas & Chum, "Fixing the locally optimized RANSAC",
    BMVC 2012.
    """

    @dataclass(frozen=True)
    class Options:
        """What is an inlier, and how long to search."""

        threshold_px: Annotated[float, "largest Sampson distance of an inlier, pixels"] = 1.0
        min_iterations: Annotated[int, "samples to draw in any case"] = 50
        max_iterations: Annotated[int, "samples to draw at most"] = 2000
        confidence: Annotated[float, "probability of a sample without outliers"] = 0.9999

        def __post_init__(self) -> None:
            self.limits()

        def limits(self) -> Limits:
            """Return them as the sampler takes them, checked."""
            return Limits(**asdict(self))

    def __init__(self, options: Options | None = None) -> None:
        self._limits = (options or self.Options()).limits()

    def estimate(self, points0: Float, points1: Float, K: Float, seed: int) -> Motion:
        """Return T_1_0 with its inliers, or why there is none."""
        return estimate_motion(sample_motion_poselib, points0, points1, K, self._limits, seed)
