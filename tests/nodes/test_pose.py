"""The pose node: matches in pixels of a real lens to a motion and a homography."""

from dataclasses import replace

import numpy as np
import pytest
from two_view_scene import BARREL, VGA, Scene, as_matches, make_scene

from nodes.messages import Matches, RelativePose
from nodes.pose import Pose
from nodes.vision.se3 import direction_angle, rotation_angle
from nodes.vision.two_view import transfer_distance
from pipeline.errors import ConfigError
from pipeline.node import Resources


def estimate(
    matches: Matches, resources: Resources | None = None, **params: object
) -> RelativePose:
    node = Pose(Pose.Params(**params))
    node.open(resources or Resources())
    (pose,) = node.process(matches)
    return pose


def errors_deg(pose: RelativePose, scene: Scene) -> tuple[float, float]:
    """Return the errors of rotation and direction."""
    T = pose.T_cur_prev
    assert T is not None, pose.reason
    rotation = rotation_angle(T[:3, :3].T @ scene.T_cur_prev[:3, :3])
    return float(np.degrees(rotation)), float(
        np.degrees(direction_angle(T[:3, 3], scene.direction))
    )


@pytest.mark.parametrize("algorithm", ["poselib", "magsac"])
@pytest.mark.parametrize("camera", [VGA, BARREL])
def test_pose_recovers_a_known_motion_within_0_2_deg_and_its_direction_within_1_5(
    algorithm: str, camera
) -> None:
    scene = make_scene(noise_px=0.3, outlier_fraction=0.3, camera=camera)
    rotation, direction = errors_deg(estimate(as_matches(scene), algorithm=algorithm), scene)
    assert rotation < 0.2
    assert direction < 1.5


def test_without_undistortion_the_same_matches_would_be_a_degree_off() -> None:
    scene = make_scene(noise_px=0.3, camera=BARREL)
    distorted = replace(as_matches(scene), camera=replace(BARREL, distortion=()))
    assert max(errors_deg(estimate(as_matches(scene)), scene)) < 1
    assert max(errors_deg(estimate(distorted), scene)) > 1.5


def test_a_pose_carries_the_keys_and_counts_of_its_matches() -> None:
    scene = make_scene(noise_px=0.2, outlier_fraction=0.25, num_points=200)
    pose = estimate(as_matches(scene, stream="left", seq=9))
    assert (pose.stream, pose.seq, pose.stamp_ns) == ("left", 9, 900)
    assert (pose.seq_prev, pose.stamp_ns_prev) == (8, 800)
    assert pose.num_matches == 200
    assert pose.inliers is not None
    assert pose.num_inliers == pose.inliers.sum()
    assert pose.inliers[scene.is_true].mean() > 0.98
    assert pose.inliers[~scene.is_true].mean() < 0.1
    assert pose.T_cur_prev is not None
    assert np.linalg.norm(pose.T_cur_prev[:3, 3]) == pytest.approx(1)
    assert pose.T_cur_prev[3].tolist() == [0, 0, 0, 1]
    assert (pose.label, pose.scale, pose.reason) == ("general", None, None)
    assert pose.T_cur_prev_alt is None
    assert pose.covariance is not None and pose.covariance.shape == (5, 5)


def test_the_rows_of_matches_say_which_keypoints_belong_together() -> None:
    scene = make_scene(noise_px=0.2)
    whole = as_matches(scene)
    order = np.random.default_rng(0).permutation(300)
    shuffled = replace(
        whole,
        keypoints_cur=whole.keypoints_cur[order],
        matches=np.column_stack([order, np.arange(300)])[np.argsort(order)].astype(np.int32),
    )
    assert np.array_equal(estimate(whole).T_cur_prev, estimate(shuffled).T_cur_prev)


def test_the_homography_maps_undistorted_pixels_of_a_plane() -> None:
    scene = make_scene(noise_px=0.2, plane_fraction=1.0, camera=BARREL)
    pose = estimate(as_matches(scene))
    assert pose.H_cur_prev is not None
    exact = make_scene(plane_fraction=1.0, camera=BARREL)
    assert transfer_distance(pose.H_cur_prev, *exact.ideal).max() < 0.5


def test_the_threshold_of_the_homography_is_a_setting() -> None:
    scene = make_scene(noise_px=0.3, plane_fraction=0.5)
    tight = estimate(as_matches(scene), homography_threshold_px=1.0)
    loose = estimate(as_matches(scene), homography_threshold_px=10.0)
    assert not np.array_equal(tight.H_cur_prev, loose.H_cur_prev)


def test_a_turn_has_no_translation_and_a_still_camera_is_the_identity() -> None:
    turn = estimate(
        as_matches(make_scene(translation=(0.0, 0.0, 0.0), noise_px=0.2, camera=BARREL))
    )
    assert turn.label == "rotation"
    assert turn.T_cur_prev is not None and not turn.T_cur_prev[:3, 3].any()
    assert turn.covariance is not None and turn.covariance.shape == (3, 3)
    assert turn.reason is not None and turn.reason.startswith("translation_not_observable: ")
    still = (0.0, 0.0, 0.0)
    pose = estimate(as_matches(make_scene(translation=still, rotation_deg=still, noise_px=0.2)))
    assert pose.label == "static"
    assert np.array_equal(pose.T_cur_prev, np.eye(4))
    assert pose.inliers is not None and pose.num_inliers == pose.inliers.sum() > 280


def test_a_plane_keeps_the_other_motion_that_explains_it() -> None:
    poses = [
        estimate(as_matches(make_scene(seed, plane_fraction=1.0, noise_px=0.2)))
        for seed in range(5)
    ]
    assert {pose.label for pose in poses} == {"planar"}
    others = [pose.T_cur_prev_alt for pose in poses if pose.T_cur_prev_alt is not None]
    assert others
    for other in others:
        assert np.linalg.norm(other[:3, 3]) == pytest.approx(1)


@pytest.mark.parametrize("num_matches", [0, 6, 7])
def test_too_few_matches_are_a_reason_and_no_pose(num_matches: int) -> None:
    whole = as_matches(make_scene())
    pose = estimate(
        replace(
            whole,
            matches=whole.matches[:num_matches],
            match_scores=whole.match_scores[:num_matches],
        )
    )
    assert pose.label == "lost"
    assert pose.reason == f"too_few_matches: {num_matches} < 8"
    assert pose.T_cur_prev is None
    assert pose.H_cur_prev is None
    assert (pose.num_matches, pose.num_inliers) == (num_matches, 0)
    assert pose.inliers is not None and pose.inliers.shape == (num_matches,)


def test_matches_by_chance_are_a_reason_and_no_pose() -> None:
    pose = estimate(as_matches(make_scene(outlier_fraction=1.0)))
    assert pose.T_cur_prev is None
    assert pose.label == "lost"
    assert pose.reason is not None and pose.reason.startswith("too_few_inliers: ")
    assert pose.num_inliers == 0


def test_keypoints_that_are_not_finite_are_no_inliers() -> None:
    whole = as_matches(make_scene(noise_px=0.2))
    keypoints = whole.keypoints_cur.copy()
    keypoints[17] = np.nan
    pose = estimate(replace(whole, keypoints_cur=keypoints))
    assert pose.inliers is not None
    assert not pose.inliers[17]
    assert pose.num_inliers > 280
    assert pose.num_matches == 300


def test_the_inliers_are_shown_in_the_status_line() -> None:
    shown: dict[str, float] = {}
    pose = estimate(as_matches(make_scene(noise_px=0.2)), Resources(report=shown.__setitem__))
    assert shown == {"inliers": pose.num_inliers}


def test_the_seed_of_a_pair_is_mixed_from_run_stream_and_frames() -> None:
    scene = make_scene(noise_px=1.0, outlier_fraction=0.5)
    first = estimate(as_matches(scene), Resources(seed=1))
    again = estimate(as_matches(scene), Resources(seed=1))
    assert np.array_equal(first.T_cur_prev, again.T_cur_prev)
    others = [
        estimate(as_matches(scene), Resources(seed=2)),
        estimate(as_matches(scene, stream="other"), Resources(seed=1)),
        estimate(as_matches(scene, seq=2), Resources(seed=1)),
    ]
    assert all(not np.array_equal(first.T_cur_prev, other.T_cur_prev) for other in others)


def test_an_unknown_estimator_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as error:
        estimate(as_matches(make_scene()), algorithm="posselib")
    assert str(error.value) == (
        "unknown estimator 'posselib'. Did you mean 'poselib'? Allowed: poselib, magsac"
    )


def test_a_threshold_without_sense_is_an_error() -> None:
    with pytest.raises(ValueError) as error:
        Pose.Params(homography_threshold_px=0.0)
    assert str(error.value) == "homography_threshold_px must be more than 0, not 0.0"
