"""Estimates the camera's motion from each pair's matches: `Matches` -> `RelativePose`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from nodes.estimators import ESTIMATORS, EstimatesMotion
from nodes.messages import Matches, RelativePose
from nodes.vision.robust import Limits, seed_for
from nodes.vision.selection import classify_motion
from pipeline.node import Node, Output, Resources


class Pose(Node):
    """Estimates for each pair of frames a motion, from its essential matrix, and a homography."""

    @dataclass(frozen=True)
    class Params:
        """Which estimator, its settings, and those of the homography."""

        algorithm: Annotated[str, ESTIMATORS, "how the motion is estimated"] = "poselib"
        options: Annotated[object, "settings of the algorithm"] = None
        homography_threshold_px: Annotated[
            float, "largest distance of a match that fits the homography, pixels"
        ] = 3.0

        def __post_init__(self) -> None:
            if not 0 < self.homography_threshold_px < float("inf"):
                raise ValueError(
                    "homography_threshold_px must be more than 0, "
                    f"not {self.homography_threshold_px}"
                )

    outputs = {"pose": Output(RelativePose)}
    stateless = True
    _estimator: EstimatesMotion

    def open(self, resources: Resources) -> None:
        """Load the estimator."""
        super().open(resources)
        self._estimator = ESTIMATORS.create(self.params.algorithm, self.params.options)
        self._homography_limits = Limits(self.params.homography_threshold_px, max_iterations=1000)

    def process(self, matches: Matches) -> Iterator[RelativePose]:
        """Estimate the motion between two frames."""
        rows_prev, rows_cur = matches.matches.T
        points_prev = matches.camera.undistorted_pixels(matches.keypoints_prev[rows_prev])
        points_cur = matches.camera.undistorted_pixels(matches.keypoints_cur[rows_cur])
        seed = seed_for(self.resources.seed, matches.stream, matches.seq_prev, matches.seq)
        motion = self._estimator.estimate(points_prev, points_cur, matches.camera.K, seed)
        found = classify_motion(
            motion, points_prev, points_cur, matches.camera.K, self._homography_limits, seed,
            is_focal_known=matches.camera.is_focal_known,
        )  # fmt: skip
        num_inliers = int(found.inliers.sum())
        self.resources.report("inliers", num_inliers)
        yield RelativePose(
            stream=matches.stream,
            seq=matches.seq,
            stamp_ns=matches.stamp_ns,
            seq_prev=matches.seq_prev,
            stamp_ns_prev=matches.stamp_ns_prev,
            num_matches=len(matches.matches),
            num_inliers=num_inliers,
            label=found.label,
            T_cur_prev=found.T_1_0,
            T_cur_prev_alt=found.T_1_0_alt,
            H_cur_prev=found.H_1_0,
            inliers=found.inliers,
            reason=found.reason,
            covariance=found.covariance,
            camera=matches.camera,
        )
