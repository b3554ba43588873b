"""Labels and covariances in the mass: synthetic pairs by the thousand, and real recordings."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from motion_pairs import LabelledPair, make_pair, make_pairs
from two_view_scene import VGA, make_scene

from nodes.detectors.sift import Sift
from nodes.estimators.lo_ransac import LoRansac
from nodes.matchers.brute_force import BruteForce
from nodes.sources.calibrations.reading import read_calibration
from nodes.vision.camera import Camera
from nodes.vision.covariance import squared_error
from nodes.vision.robust import Limits
from nodes.vision.selection import LabelledMotion, classify_motion

HOMOGRAPHY = Limits(3.0, max_iterations=1000)
MOVING = ("planar", "general")


def classify(points0: np.ndarray, points1: np.ndarray, K: np.ndarray = VGA.K) -> LabelledMotion:
    motion = LoRansac().estimate(points0, points1, K, 1)
    return classify_motion(motion, points0, points1, K, HOMOGRAPHY, 1)


def classify_pair(pair: LabelledPair) -> LabelledMotion:
    return classify(pair.points0, pair.points1, pair.camera.K)


def test_labels_are_right_on_100_synthetic_pairs() -> None:
    pairs = list(make_pairs(7, 20))
    wrong = [(i, p.label) for i, p in enumerate(pairs) if classify_pair(p).label != p.label]
    assert wrong == []


@pytest.mark.long
def test_labels_are_right_on_99_percent_of_1000_pairs_and_parallax_is_published() -> None:
    right, published = [], []
    for pair in make_pairs(7, 200):
        label = classify_pair(pair).label
        right.append(label == pair.label)
        if pair.label == "general" and pair.parallax_px >= 2:
            published.append(label in MOVING)
    assert np.mean(right) >= 0.99
    assert len(published) > 150
    assert np.mean(published) >= 0.99


def num_false_translations(first: int, last: int) -> int:
    pairs = (make_pair("rotation", np.random.default_rng([7, 1, i])) for i in range(first, last))
    return sum(classify_pair(pair).label in MOVING for pair in pairs)


def test_none_of_100_turns_publishes_a_translation() -> None:
    assert num_false_translations(0, 100) == 0


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_none_of_10000_turns_publishes_a_translation() -> None:
    assert num_false_translations(0, 10_000) == 0


def test_the_errors_of_a_turn_are_those_of_its_covariance() -> None:
    errors = normalised_errors("rotation", 60)
    assert abs(np.mean(errors) - 3) < 4 * np.sqrt(2 * 3 / len(errors))


@pytest.mark.long
@pytest.mark.parametrize(("label", "size"), [("rotation", 3), ("general", 5), ("planar", 5)])
def test_normalised_errors_are_in_their_95_percent_band(label: str, size: int) -> None:
    errors = normalised_errors(label, 540)
    assert len(errors) >= 500 or label == "planar"
    assert abs(np.mean(errors) - size) < 1.96 * np.sqrt(2 * size / len(errors))


def normalised_errors(label: str, num: int) -> list[float]:
    """Return squared errors in units of the covariance, over noise of 0.3-1 px, 0-40 % outliers.

    A plane whose other motion is the true one is left out.
    """
    errors = []
    for seed in range(num):
        rng = np.random.default_rng([11, seed])
        step = rng.normal(size=3)
        step *= 0.0 if label == "rotation" else 0.4 / np.linalg.norm(step)
        scene = make_scene(
            seed + 1000, rotation_deg=tuple(rng.uniform(-4, 4, 3)), translation=tuple(step),
            noise_px=(0.3, 0.5, 1.0)[seed % 3], outlier_fraction=(0.0, 0.2, 0.4)[seed // 3 % 3],
            plane_fraction=float(label == "planar"),
        )  # fmt: skip
        found = classify(*scene.ideal)
        assert found.label == label
        assert found.T_1_0 is not None and found.covariance is not None
        other = found.T_1_0_alt
        if other is None or other[:3, 3] @ scene.direction <= found.T_1_0[:3, 3] @ scene.direction:
            errors.append(squared_error(found.T_1_0, found.covariance, scene.T_cur_prev))
    return errors


def labels_of(images: list[np.ndarray], camera: Camera) -> list[str]:
    """Return the label of each pair of neighbours, as the graph `video` would find it."""
    found = [Sift().detect(image) for image in images]
    labels = []
    for prev, cur in pairwise(found):
        matches, _ = BruteForce().match(prev, cur)
        points0 = camera.undistorted_pixels(prev.keypoints[matches[:, 0]])
        points1 = camera.undistorted_pixels(cur.keypoints[matches[:, 1]])
        labels.append(classify(points0, points1, camera.K).label)
    return labels


@pytest.mark.data
@pytest.mark.long
def test_a_still_drone_is_static(data_dir) -> None:
    folder: Path = data_dir("euroc_static_stereo")
    images = [cv2.imread(str(path), 0) for path in sorted((folder / "frames").iterdir())]
    labels = labels_of(images, read_calibration(folder / "intrinsics.yaml"))
    assert len(labels) == 23
    assert labels.count("static") >= 0.95 * len(labels)
    assert not set(labels) & set(MOVING)


@pytest.mark.data
@pytest.mark.long
def test_people_before_a_still_camera_are_static(data_dir) -> None:
    capture = cv2.VideoCapture(str(data_dir("vid_static_people") / "video.avi"))
    images = [image for ok, image in iter(capture.read, (False, None)) if ok]
    labels = labels_of(images, Camera.assumed(images[0].shape[1], images[0].shape[0]))
    assert len(labels) == 99
    assert labels.count("static") >= 0.95 * len(labels)
    assert not set(labels) & set(MOVING)
