"""The robust estimators of poselib and OpenCV behind one set of words; the only user of poselib.

`points0` and `points1` are (M, 2) float64, finite, ideal (undistorted) pixels of one camera K, row
by row a match, at least 5. A sampler returns None where it finds nothing. Everything repeats
exactly per seed.
"""

from nodes.vision.robust.camera_pose import refine_camera_pose, sample_camera_pose
from nodes.vision.robust.focal import sample_motion_and_focal
from nodes.vision.robust.homography import refine_homography, sample_homography
from nodes.vision.robust.limits import Limits, seed_for
from nodes.vision.robust.motion import refine_motion, sample_motion_magsac, sample_motion_poselib
from nodes.vision.robust.options import bundle_options, ransac_options

__all__ = [
    "Limits",
    "bundle_options",
    "ransac_options",
    "refine_camera_pose",
    "refine_homography",
    "refine_motion",
    "sample_camera_pose",
    "sample_homography",
    "sample_motion_and_focal",
    "sample_motion_magsac",
    "sample_motion_poselib",
    "seed_for",
]
