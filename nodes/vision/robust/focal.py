"""The motion between two pictures of a camera whose focal length is unknown."""

import math

import numpy as np
import numpy.typing as npt
import poselib

from nodes.vision.robust.limits import Limits
from nodes.vision.robust.motion import unit_motion
from nodes.vision.robust.options import bundle_options, require_finite, sampling

Float = npt.NDArray[np.float64]


def sample_motion_and_focal(
    points0: Float, points1: Float, limits: Limits, seed: int
) -> tuple[Float, float] | None:
    """Find T_1_0 and the focal length in pixels that both pictures share, by poselib's LO-RANSAC.

    Its solver takes six points (Stewenius, Nister, Kahl & Schaffalitzky, CVPR 2005, section 3). The
    points are pixels relative to the principal point.
    """
    require_finite(points0, points1)
    ransac = sampling(limits, seed, "max_epipolar_error")
    bundle = bundle_options({"loss_type": "CAUCHY", "loss_scale": limits.threshold_px / 2})
    pair, _ = poselib.estimate_shared_focal_relative_pose(
        points0, points1, np.zeros(2), ransac, bundle
    )
    T_1_0, focal = unit_motion(pair.pose.R, pair.pose.t), float(pair.camera1.focal())
    return (T_1_0, focal) if T_1_0 is not None and 0 < focal < math.inf else None
