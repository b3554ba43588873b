"""From rendered pictures to a pose: through a fisheye as exactly as through a pinhole."""

import cv2
import numpy as np
import pytest
from two_view_scene import as_matches, make_scene

from nodes.detectors.sift import Sift
from nodes.matchers.brute_force import BruteForce
from nodes.messages import Features, Matches
from nodes.pose import Pose
from nodes.vision import room
from nodes.vision.camera import Camera
from nodes.vision.lens import Lens
from nodes.vision.paths import general
from nodes.vision.scene import Scene
from nodes.vision.se3 import direction_angle, inverse, rotation_angle
from pipeline.messages import Item
from pipeline.node import Resources
from pipeline.wire import decode, encode

PINHOLE = Camera(640, 480, 554.3, 554.3, 319.5, 239.5)
KANNALA_BRANDT = (-0.013, 0.019, -0.015, 0.004)
FISHEYE = Camera(640, 480, 300.0, 300.0, 319.5, 239.5, KANNALA_BRANDT, model="fisheye")
WIDE = Camera(640, 480, 230.0, 230.0, 319.5, 239.5, KANNALA_BRANDT, model="fisheye")
"""200 degrees from corner to corner."""


@pytest.fixture(scope="module")
def gallery() -> Scene:
    return Scene(room.gallery(np.random.default_rng(0)))


def errors_deg(matches: Matches, T_cur_prev: np.ndarray) -> tuple[float, float]:
    """Return the errors of rotation and direction of the pose node."""
    node = Pose()
    node.open(Resources())
    (pose,) = node.process(matches)
    assert pose.label == "general", pose.reason
    rotation = rotation_angle(pose.T_cur_prev[:3, :3].T @ T_cur_prev[:3, :3])
    direction = direction_angle(pose.T_cur_prev[:3, 3], T_cur_prev[:3, 3])
    return float(np.degrees(rotation)), float(np.degrees(direction))


@pytest.mark.parametrize("camera", [PINHOLE, FISHEYE, WIDE], ids=["pinhole", "fisheye", "wide"])
def test_a_rendered_pose_is_within_0_05_deg_and_its_direction_within_half_a_degree(
    gallery: Scene, camera: Camera
) -> None:
    lens = None if camera.is_ideal else Lens(camera)
    poses = [general(time, np.arange(5.0)) for time in (4.0, 6.0)]
    found = []
    for T_world_cam in poses:
        image = gallery.render(lens.pinhole if lens else camera, T_world_cam)
        image = lens.distort(image) if lens else image
        found.append(Sift().detect(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)))
    matches, scores = BruteForce().match(*found)
    numbers = [np.arange(len(one.keypoints)) for one in found]
    rotation, direction = errors_deg(
        Matches(
            stream="cam", seq=1, stamp_ns=1, seq_prev=0, stamp_ns_prev=0,
            keypoints_prev=found[0].keypoints, keypoints_cur=found[1].keypoints,
            ids_prev=numbers[0], ids_cur=numbers[1], matches=matches, match_scores=scores,
            camera=camera,
        ),
        inverse(poses[1]) @ poses[0],
    )  # fmt: skip
    assert rotation < 0.05
    assert direction < 0.5


def test_a_fisheye_taken_for_a_pinhole_would_be_degrees_off() -> None:
    scene = make_scene(noise_px=0.3, camera=FISHEYE)
    right = as_matches(scene)
    assert max(errors_deg(right, scene.T_cur_prev)) < 1
    wrong = Matches(**{**vars(right), "camera": FISHEYE.ideal})
    assert max(errors_deg(wrong, scene.T_cur_prev)) > 3


def test_a_fisheye_travels_inside_a_message() -> None:
    empty = np.zeros(0, np.float32)
    features = Features(
        stream="cam", seq=3, stamp_ns=5, keypoints=empty.reshape(0, 2), scores=empty, sizes=empty,
        angles=empty, descriptors=empty.reshape(0, 128), camera=FISHEYE,
    )  # fmt: skip
    item, _ = decode(encode(Item.data(features, 0), 0, 0), {"Features": Features})
    assert isinstance(item.message, Features)
    assert item.message.camera == FISHEYE
