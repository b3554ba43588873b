"""Unit steps chain into the path that they came from."""

import numpy as np
from scipy.spatial.transform import Rotation

from nodes.vision.evaluation import relative_pose
from nodes.vision.se3 import from_rotation_translation, inverse, rotation_angle
from nodes.vision.trajectory import StepChain


def _path(num_frames: int) -> list[np.ndarray]:
    """Return T_world_cam of a random walk with steps of length 1."""
    rng = np.random.default_rng(0)
    path = [np.eye(4)]
    for _ in range(num_frames - 1):
        R = Rotation.from_rotvec(rng.normal(0, 0.2, 3)).as_matrix()
        t = rng.normal(size=3)
        path.append(path[-1] @ from_rotation_translation(R, t / np.linalg.norm(t)))
    return path


def test_a_chain_of_exact_steps_returns_the_path() -> None:
    path = _path(200)
    chain = StepChain()
    placed = []
    for seq in range(1, 200):
        placed += chain.add(seq - 1, seq, relative_pose(path[seq - 1], path[seq]))
    assert [camera.seq for camera in placed] == list(range(200))
    assert {camera.segment for camera in placed} == {0}
    error = inverse(path[-1]) @ placed[-1].T_world_cam
    assert np.linalg.norm(error[:3, 3]) < 1e-9
    assert np.degrees(rotation_angle(error[:3, :3])) < 1e-9


def test_a_missing_pose_begins_a_segment_at_the_identity() -> None:
    chain = StepChain()
    step = from_rotation_translation(np.eye(3), np.array([1.0, 0, 0]))
    chain.add(0, 1, step)
    prev, cur = chain.add(2, 3, step)
    assert (prev.segment, prev.seq, cur.segment, cur.seq) == (1, 2, 1, 3)
    assert np.array_equal(prev.T_world_cam, np.eye(4))
    assert np.allclose(cur.T_world_cam[:3, 3], [-1, 0, 0])


def test_a_step_from_a_frame_that_was_not_placed_begins_a_segment() -> None:
    chain = StepChain()
    chain.add(0, 1, np.eye(4))
    assert [camera.segment for camera in chain.add(4, 5, np.eye(4))] == [1, 1]


def test_a_step_over_frames_that_were_dropped_continues_the_segment() -> None:
    chain = StepChain()
    chain.add(0, 1, np.eye(4))
    assert [(c.segment, c.seq) for c in chain.add(1, 9, np.eye(4))] == [(0, 9)]
