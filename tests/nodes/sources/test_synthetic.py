from functools import cache

import cv2
import numpy as np
import pytest

from nodes.sources.base import Selection
from nodes.sources.synthetic import Synthetic
from nodes.vision.se3 import inverse, rotation_angle
from pipeline.errors import ConfigError


@cache
def opened(**options: object) -> Synthetic:
    source = Synthetic(Synthetic.Options(**options))
    source.open(lambda text: None)
    return source


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def motion(source: Synthetic, prev: int, cur: int) -> np.ndarray:
    """Return the true T_cur_prev."""
    truth = source.groundtruth()[1]
    return inverse(truth[cur]) @ truth[prev]


def matched(source: Synthetic, prev: int, cur: int) -> tuple[np.ndarray, np.ndarray]:
    """Return SIFT matches between two frames as undistorted pixels."""
    sift = cv2.SIFT_create(800)
    found = [sift.detectAndCompute(grey(source.render(i)), None) for i in (prev, cur)]
    pairs = cv2.BFMatcher().knnMatch(found[0][1], found[1][1], 2)
    good = [a for a, b in pairs if a.distance < 0.75 * b.distance]
    assert len(good) > 200
    points_prev = np.array([found[0][0][m.queryIdx].pt for m in good])
    points_cur = np.array([found[1][0][m.trainIdx].pt for m in good])
    return tuple(source.camera.undistorted_pixels(p) for p in (points_prev, points_cur))


def sampson_px(source: Synthetic, prev: int, cur: int) -> np.ndarray:
    """Return the Sampson distances of SIFT matches under the true essential matrix, pixels."""
    T = motion(source, prev, cur)
    t = T[:3, 3]
    E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ T[:3, :3]
    K_inv = np.linalg.inv(source.camera.K)
    F = K_inv.T @ E @ K_inv
    p, c = (np.column_stack([x, np.ones(len(x))]) for x in matched(source, prev, cur))
    a, b = p @ F.T, c @ F
    return np.abs((c * a).sum(axis=1)) / np.sqrt((a[:, :2] ** 2 + b[:, :2] ** 2).sum(axis=1))


def warped_difference(source: Synthetic, H_cur_prev: np.ndarray, prev: int, cur: int) -> float:
    """Return the median absolute grey difference after one frame is mapped onto the other."""
    a, b = grey(source.render(prev)), grey(source.render(cur))
    size = (a.shape[1], a.shape[0])
    mapped = cv2.warpPerspective(a, H_cur_prev, size)
    inside = cv2.warpPerspective(np.full_like(a, 255), H_cur_prev, size) == 255
    assert inside.mean() > 0.5
    return float(np.median(cv2.absdiff(mapped, b)[inside]))


@pytest.mark.parametrize(
    "options", [{}, {"seed": 3}, {"distortion": (-0.28, 0.07, 2e-4, 1e-4)}, {"light": 0.5}], ids=str
)
def test_matches_lie_on_the_true_epipolar_lines(options: dict[str, object]) -> None:
    distances = sampson_px(opened(frames=40, **options), 20, 24)
    assert np.median(distances) < 0.15
    assert np.mean(distances < 1) > 0.75


def test_a_wrong_truth_would_be_seen() -> None:
    source = opened(frames=40)
    straight = Synthetic(Synthetic.Options(frames=40, fov_deg=63))
    straight._scene, straight._grain = source._scene, source._grain
    straight.render = source.render  # type: ignore[method-assign] another camera's pictures
    assert np.median(sampson_px(straight, 20, 24)) > 0.3


def test_a_pan_turns_about_the_centre_of_projection() -> None:
    source = opened(motion="rotation")
    K = source.camera.K
    R = motion(source, 30, 34)[:3, :3]
    assert np.degrees(rotation_angle(R)) > 5
    assert not motion(source, 0, 59)[:3, 3].any()
    H = K @ R @ np.linalg.inv(K)
    assert warped_difference(source, H, 30, 34) <= 3 < warped_difference(source, np.eye(3), 30, 34)


def test_a_pan_covers_90_degrees_by_default() -> None:
    source = Synthetic(Synthetic.Options(motion="rotation"))
    axes = source.groundtruth()[1][:, :3, 2]
    yaw = np.degrees(np.arctan2(axes[:, 0], axes[:, 2]))
    assert abs((yaw[-1] - yaw[0]) - 88.5) < 1e-6
    np.testing.assert_allclose(np.diff(yaw), 1.5, atol=1e-6)


def test_a_planar_scene_obeys_the_homography_of_its_plane() -> None:
    source = opened(motion="planar")
    K, T_cur_prev = source.camera.K, motion(source, 10, 13)
    T_world_prev = source.groundtruth()[1][10]
    normal = T_world_prev[:3, :3].T @ [0, 0, 1]  # the wall is z = 3 in the world
    distance = 3 - T_world_prev[2, 3]
    H = K @ (T_cur_prev[:3, :3] + np.outer(T_cur_prev[:3, 3], normal) / distance) @ np.linalg.inv(K)
    assert np.linalg.norm(T_cur_prev[:3, 3]) > 0.1
    R_only = K @ T_cur_prev[:3, :3] @ np.linalg.inv(K)
    assert warped_difference(source, H, 10, 13) <= 3
    points_prev, points_cur = matched(source, 10, 13)
    for homography, bound in ((H, 0.3), (R_only, np.inf)):
        mapped = cv2.perspectiveTransform(points_prev[None], homography)[0]
        error = np.median(np.linalg.norm(mapped - points_cur, axis=1))
        assert error < bound and (bound < 1 or error > 3)


def test_a_static_camera_sees_the_same_but_for_the_noise() -> None:
    source = opened(motion="static")
    poses = source.groundtruth()[1]
    assert (poses == poses[0]).all()
    first, second = (source.render(i).astype(float) for i in (0, 1))
    difference = (second - first)[(first > 20) & (first < 235)]
    assert abs(float(difference.mean())) < 0.05
    assert 2.3 < float(difference.std()) < 3.3  # sqrt(2) times the noise of 2 grey levels


def test_the_general_path_moves_and_turns_in_every_frame() -> None:
    source = Synthetic(Synthetic.Options(frames=500))
    T = np.array([motion(source, i, i + 1) for i in range(0, 499, 7)])
    steps_m = np.linalg.norm(T[:, :3, 3], axis=1)
    turns_deg = np.degrees([rotation_angle(R) for R in T[:, :3, :3]])
    assert steps_m.min() > 0.045 and steps_m.max() < 0.06
    assert turns_deg.min() > 0.1 and turns_deg.max() < 3


def test_speed_stretches_the_path() -> None:
    fast = Synthetic(Synthetic.Options(speed=2.0)).groundtruth()[1]
    slow = Synthetic(Synthetic.Options()).groundtruth()[1]
    np.testing.assert_array_equal(fast[:30], slow[::2])


@pytest.mark.parametrize("options", [{}, {"noise": 0.0}])
def test_a_seed_repeats_bit_for_bit_and_another_does_not(options: dict[str, float]) -> None:
    small = {"width": 160, "height": 120, **options}
    again = Synthetic(Synthetic.Options(**small))
    again.open(lambda text: None)
    np.testing.assert_array_equal(opened(**small).render(7), again.render(7))
    assert (opened(seed=1, **small).render(7) != again.render(7)).mean() > 0.5


def test_a_frame_does_not_depend_on_the_selection() -> None:
    source = opened(width=160, height=120)
    every = {p.index: p.image for p in source.frames(Selection(stop=7))}
    for picture in source.frames(Selection(2, 7, 2)):
        np.testing.assert_array_equal(picture.image, every[picture.index])


def test_times_and_truth_belong_to_the_frames() -> None:
    source = opened(width=160, height=120, frames=4, fps=20.0)
    stamps_ns, T_world_cam = source.groundtruth()
    assert stamps_ns.tolist() == [0, 50_000_000, 100_000_000, 150_000_000]
    assert [p.stamp_ns for p in source.frames(Selection())] == stamps_ns.tolist()
    assert T_world_cam.shape == (4, 4, 4) and T_world_cam.dtype == np.float64
    np.testing.assert_allclose(
        T_world_cam[:, :3, :3] @ T_world_cam[:, :3, :3].mT,
        np.tile(np.eye(3), (4, 1, 1)),
        atol=1e-12,
    )


def test_the_camera_has_the_field_of_view_asked_for() -> None:
    camera = Synthetic(Synthetic.Options(width=320, height=240, fov_deg=90.0)).camera
    assert camera.calibrated
    edge = camera.undistort([[-0.5, 119.5], [319.5, 119.5]])
    np.testing.assert_allclose(np.degrees(np.arctan(edge[:, 0])), [-45, 45])


@pytest.mark.parametrize("seed", range(4))
def test_no_path_leads_through_a_box(seed: int) -> None:
    source = Synthetic(Synthetic.Options(seed=seed, frames=90, width=32, height=24, noise=0.0))
    source.open(lambda text: None)
    assert source._scene is not None
    for pose in source.groundtruth()[1][::6]:
        assert source._scene.depth(source.camera, pose).min() > 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"motion": "flying"},
            "motion must be one of general, rotation, planar, static, tube, not 'flying'",
        ),
        ({"frames": 0}, "frames must be from 1 to 1000000000, not 0"),
        ({"fov_deg": 180.0}, "fov_deg must be from 10 to 120, not 180.0"),
        ({"distortion": (0.1,)}, "distortion must be 0, 4 or 5 numbers, not (0.1,)"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Synthetic.Options(**options)
    assert str(caught.value) == message


def test_a_distortion_without_inverse_is_refused() -> None:
    source = Synthetic(Synthetic.Options(distortion=(-2.0, 0.0, 0.0, 0.0)))
    with pytest.raises(ConfigError) as caught:
        source.open(lambda text: None)
    assert str(caught.value) == (
        "synthetic (general): distortion (-2.0, 0.0, 0.0, 0.0) leaves pixels that see nothing"
    )


def test_the_mask_of_the_tube_is_the_round_picture_of_an_endoscope() -> None:
    source = opened(motion="tube", width=160, height=120, noise=0.0)
    mask = source.mask
    assert mask is not None and set(np.unique(mask)) == {0, 255}
    image = source.render(5)
    assert 0.45 < (mask > 0).mean() < 0.6
    assert mask[60, 80] and not mask[0, 0]
    y, x = np.mgrid[:120, :160]
    outside = np.hypot(x - 79.5, y - 59.5) > 60
    assert not image[outside].any() and not mask[outside].any()
    whole = source._scene.render(source.camera, source.pose(5))  # type: ignore[union-attr]
    np.testing.assert_array_equal(image[mask > 0], whole[mask > 0])
    assert opened(width=160, height=120).mask is None


def test_the_tube_is_repeated_by_its_seed_whatever_was_rendered_before() -> None:
    small = {"motion": "tube", "width": 160, "height": 120}
    again = Synthetic(Synthetic.Options(**small))
    again.open(lambda text: None)
    again.render(3)
    np.testing.assert_array_equal(opened(**small).render(7), again.render(7))
