"""Estimators: each finds the motion of a camera between two frames from matched points.

An estimator is built from its `Options`, keeps nothing from one call to the next, and may be asked
by several threads at once.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from nodes.vision.motion import Motion
from pipeline.registry import Registry

ESTIMATORS = Registry(
    "estimator",
    {
        "poselib": "nodes.estimators.lo_ransac:LoRansac",
        "magsac": "nodes.estimators.magsac:Magsac",
    },
    group="posestream.estimators",
)


class EstimatesMotion(Protocol):
    """What the pose node asks of an estimator."""

    def estimate(
        self,
        points0: npt.NDArray[np.float64],
        points1: npt.NDArray[np.float64],
        K: npt.NDArray[np.float64],
        seed: int,
    ) -> Motion:
        """Return T_1_0 with its inliers, or why there is none.

        points0, points1: (M, 2) ideal pixels of one camera K, row by row a match.
        """
