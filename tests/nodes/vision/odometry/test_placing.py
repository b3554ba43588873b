import numpy as np
import pytest
from known_map import known_map, look, pixels_of, scatter, walk

from nodes.vision.odometry.placing import place
from nodes.vision.odometry.view import View
from nodes.vision.se3 import from_rotation_vector, inverse

GATE_PX = 2.5
CAMERA_AT = from_rotation_vector(np.radians([2.0, -3.0, 1.0]), np.array([0.3, -0.1, 0.2]))


def test_exact_landmarks_give_the_exact_place_and_all_agree() -> None:
    points = scatter(80)
    T_cam_world, rows = place(known_map(points, walk(2)), look(points, CAMERA_AT), GATE_PX, 0)
    assert T_cam_world is not None
    assert np.abs(T_cam_world - inverse(CAMERA_AT)).max() < 1e-6
    assert rows.tolist() == list(range(80))


def test_wrong_observations_neither_agree_nor_matter() -> None:
    points = scatter(100)
    view = look(points, CAMERA_AT)
    wrong = np.arange(0, 100, 2)
    view.pixels[wrong] += np.random.default_rng(1).uniform(30, 60, (50, 2))
    T_cam_world, rows = place(known_map(points, walk(2)), view, GATE_PX, 0)
    assert T_cam_world is not None
    assert np.abs(T_cam_world - inverse(CAMERA_AT)).max() < 1e-5
    assert rows.tolist() == list(range(1, 100, 2))


def test_rows_are_those_of_the_view_though_some_tracks_have_no_landmark() -> None:
    points = scatter(60)
    known = known_map(points, walk(2))
    known.forget(np.arange(0, 60, 3))
    view = look(points, CAMERA_AT)
    view.pixels[4] += 40
    _, rows = place(known, view, GATE_PX, 0)
    assert rows.tolist() == [i for i in range(60) if i % 3 and i != 4]


def test_all_that_agree_count_and_not_the_sample_only() -> None:
    points, rng = scatter(200), np.random.default_rng(2)
    errors = []
    for _ in range(20):
        pixels = pixels_of(points, CAMERA_AT) + rng.normal(0, 0.5, (200, 2))
        found, _ = place(known_map(points, walk(2)), View(9, np.arange(200), pixels), GATE_PX, 0)
        assert found is not None
        errors.append(np.linalg.norm(inverse(found)[:3, 3] - CAMERA_AT[:3, 3]))
    # 0.5 px at 6 units are 6 mm a point; least squares leave about a fifth of it.
    assert np.median(errors) < 0.004


@pytest.mark.parametrize("num", [0, 2, 5])
def test_too_few_landmarks_place_nothing(num: int) -> None:
    points = scatter(num)
    T_cam_world, rows = place(known_map(points, walk(2)), look(points, CAMERA_AT), GATE_PX, 0)
    assert T_cam_world is None
    assert rows.tolist() == []


def test_pixels_that_have_nothing_to_do_with_the_landmarks_place_nothing_that_many_agree_with() -> (
    None
):
    points = scatter(100)
    pixels = np.random.default_rng(3).uniform((0, 0), (640, 480), (100, 2))
    _, rows = place(known_map(points, walk(2)), View(9, np.arange(100), pixels), GATE_PX, 0)
    assert len(rows) < 15
