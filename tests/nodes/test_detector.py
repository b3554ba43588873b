"""The detector node, and SIFT."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from two_view_scene import texture

from nodes.detector import Detector
from nodes.detectors.sift import Sift, root_descriptors
from nodes.messages import Features, Frame
from nodes.vision.camera import Camera
from pipeline.errors import ConfigError
from pipeline.node import Resources


def frame(image: np.ndarray, mask: np.ndarray | None = None, seq: int = 3) -> Frame:
    camera = Camera.assumed(image.shape[1], image.shape[0])
    return Frame(stream="cam", seq=seq, stamp_ns=77, image=image, camera=camera, mask=mask)


def detector(**params: object) -> Detector:
    node = Detector(Detector.Params(**params))
    node.open(Resources())
    return node


def detect(image: np.ndarray, mask: np.ndarray | None = None, **options: object) -> Features:
    (features,) = detector(options=Sift.Options(**options)).process(frame(image, mask))
    return features


def centred(point: cv2.KeyPoint) -> tuple[float, float]:
    """Return where a keypoint of OpenCV's SIFT is, which puts all a quarter of a pixel too far."""
    x, y = np.float32(point.pt) - np.float32(0.25)
    return float(x), float(y)


def mirrored(features: Features, width: int) -> np.ndarray:
    return features.keypoints * np.float32([-1, 1]) + np.float32([width - 1, 0])


def test_features_carry_key_time_and_camera_of_their_frame() -> None:
    image = frame(texture())
    (features,) = detector().process(image)
    assert (features.stream, features.seq, features.stamp_ns) == ("cam", 3, 77)
    assert features.camera is image.camera


def test_the_defaults_are_opencv_s_best_1000() -> None:
    image = texture(0, 480, 640)
    points, descriptors = cv2.SIFT.create(1000).detectAndCompute(image, None)
    features = detect(image)
    assert len(features.keypoints) == 1000 <= len(points)
    rows = {(*centred(p), p.size, p.response): d for p, d in zip(points, descriptors, strict=True)}
    for (x, y), size, score, descriptor in zip(
        features.keypoints, features.sizes, features.scores, features.descriptors, strict=True
    ):
        assert (x, y, size, score) in rows
        assert np.array_equal(descriptor, np.rint(descriptor))
    assert np.all(np.diff(features.scores) <= 0)


def test_angles_are_opencv_s_in_radians() -> None:
    image = texture()
    points = cv2.SIFT.create(0).detect(image, None)
    expected = sorted((*centred(p), np.radians(p.angle)) for p in points)
    features = detect(image, nfeatures=0)
    found = sorted(zip(*features.keypoints.T, features.angles, strict=True))
    assert np.allclose(found, expected, atol=1e-5)


def test_keypoints_follow_the_picture_when_it_is_shifted() -> None:
    wide = texture(0, 240, 340)
    left, right = detect(wide[:, :320], nfeatures=0), detect(wide[:, 20:], nfeatures=0)
    shifted = left.keypoints - np.float32([20, 0])
    distance = np.linalg.norm(shifted[:, None] - right.keypoints[None], axis=2).min(axis=1)
    well_inside = (shifted > 30).all(axis=1) & (shifted < [270, 210]).all(axis=1)
    assert well_inside.sum() > 100
    assert np.mean(distance[well_inside] < 0.2) > 0.95


@pytest.mark.parametrize("half_resolution", [False, True])
@pytest.mark.parametrize("size", [(240, 320), (241, 323)])
def test_keypoints_of_a_mirrored_picture_are_mirrored_without_bias(
    size: tuple[int, int], half_resolution: bool
) -> None:
    image = texture(0, *size)
    width = 2 * (size[1] // 2) if half_resolution else size[1]
    image = np.ascontiguousarray(image[:, :width])  # half the size leaves an odd column out
    found = detect(image, half_resolution=half_resolution)
    other = detect(np.ascontiguousarray(image[:, ::-1]), half_resolution=half_resolution)
    apart = found.keypoints[:, None] - mirrored(other, width)[None]
    nearest = apart[np.arange(len(apart)), np.linalg.norm(apart, axis=2).argmin(axis=1)]
    nearest = nearest[np.linalg.norm(nearest, axis=1) < 0.5]
    assert len(nearest) > 0.8 * len(found.keypoints) > 30
    assert np.abs(nearest.mean(axis=0)).max() < 0.03  # a quarter of a pixel would give 0.5


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, 0.0), (1.0, 1.0), (0.25, 1.75)])
def test_at_half_resolution_a_blob_is_where_it_was_drawn(x: float, y: float) -> None:
    centre = np.array([101.0 + x, 77.0 + y])
    pixels = np.stack(np.meshgrid(np.arange(200), np.arange(160)), axis=-1)
    square = ((pixels - centre) ** 2).sum(axis=-1)
    image = np.rint(40 + 180 * np.exp(-square / (2 * 5.0**2))).astype(np.uint8)
    found = detect(image, half_resolution=True)
    apart = np.linalg.norm(found.keypoints - centre, axis=1)
    assert apart.min() < 0.08  # a wrong mapping is a quarter of a pixel off, or half of one
    full = detect(image)
    nearest = np.linalg.norm(full.keypoints - centre, axis=1).argmin()
    assert found.sizes[apart.argmin()] == pytest.approx(full.sizes[nearest], rel=0.1)


def test_at_half_resolution_the_mask_is_that_of_the_whole_image() -> None:
    mask = np.zeros((240, 320), np.uint8)
    mask[:, 160:] = 1
    features = detect(texture(), mask, half_resolution=True, nfeatures=40)
    assert len(features.keypoints) == 40
    assert features.keypoints[:, 0].min() >= 159.5


def test_a_red_and_a_grey_picture_of_the_same_luma_have_the_same_keypoints() -> None:
    colour = np.dstack([texture(0), texture(1), texture(2)])
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    assert np.array_equal(detect(colour).descriptors, detect(grey).descriptors)
    assert not np.array_equal(detect(colour).descriptors, detect(colour[..., ::-1]).descriptors)


def test_with_a_mask_the_best_inside_it_are_found_as_many_as_without() -> None:
    image = texture(0, 480, 640)
    mask = np.zeros((480, 640), np.uint8)
    mask[:, 320:] = 255
    features = detect(image, mask, nfeatures=300)
    assert len(features.keypoints) == 300
    assert features.keypoints[:, 0].min() >= 319.5
    everything = detect(image, nfeatures=0)
    inside = everything.keypoints[:, 0] >= 319.5
    assert np.array_equal(features.keypoints, everything.keypoints[inside][:300])
    assert np.array_equal(features.descriptors, everything.descriptors[inside][:300])


def test_a_mask_that_allows_nothing_leaves_nothing() -> None:
    features = detect(texture(), np.zeros((240, 320), np.uint8))
    assert features.keypoints.shape == (0, 2)
    assert features.descriptors.shape == (0, 128)


def test_root_sift_is_the_root_of_the_shares_and_of_unit_norm() -> None:
    raw, root = detect(texture()), detect(texture(), root_sift=True)
    assert np.array_equal(raw.keypoints, root.keypoints)
    expected = np.sqrt(raw.descriptors / raw.descriptors.sum(axis=1, keepdims=True))
    assert np.allclose(root.descriptors, expected)
    assert np.allclose(np.linalg.norm(root.descriptors, axis=1), 1, atol=1e-6)
    assert root.descriptors.dtype == np.float32


def test_an_empty_descriptor_stays_empty() -> None:
    assert not root_descriptors(np.zeros((1, 128), np.float32)).any()


@pytest.mark.parametrize(
    "options",
    [{"nOctaveLayers": 5}, {"contrastThreshold": 0.12}, {"edgeThreshold": 3.0}, {"sigma": 2.5}],
)
def test_every_setting_reaches_opencv(options: dict[str, float]) -> None:
    expected = {centred(p) for p in cv2.SIFT.create(0, **options).detect(texture(), None)}
    usual = {centred(p) for p in cv2.SIFT.create(0).detect(texture(), None)}
    found = {(x, y) for x, y in detect(texture(), nfeatures=0, **options).keypoints.tolist()}
    assert found == expected != usual


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nfeatures": -1}, "nfeatures must be at least 0, not -1"),
        ({"nOctaveLayers": 0}, "nOctaveLayers must be from 1 to 20, not 0"),
        ({"contrastThreshold": -0.1}, "contrastThreshold must be from 0 to 1, not -0.1"),
        ({"edgeThreshold": 1.0}, "edgeThreshold must be more than 1, not 1.0"),
        ({"sigma": 0.0}, "sigma must be from 0.5 to 10 pixels, not 0.0"),
    ],
)
def test_settings_without_sense_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Sift.Options(**options)
    assert str(error.value) == message


def test_an_unknown_detector_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as error:
        detector(algorithm="sfit")
    assert str(error.value) == (
        "unknown detector 'sfit'. Did you mean 'sift'? Allowed: sift, orb, superpoint, superpoint-small, aliked, xfeat"
    )


def test_opencv_uses_the_threads_that_the_node_was_given() -> None:
    before = cv2.getNumThreads()
    try:
        Detector().open(Resources(threads=2))
        assert cv2.getNumThreads() == 2
        Detector().open(Resources(threads=1))
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)


@pytest.mark.data
def test_inside_the_circle_of_an_endoscope_as_many_keypoints_are_found_as_asked_for(
    data_dir: Callable[[str], Path],
) -> None:
    folder = data_dir("sinus_a")
    image = cv2.imread(str(sorted((folder / "frames").iterdir())[0]), cv2.IMREAD_GRAYSCALE)
    mask = cv2.imread(str(folder / "mask.png"), cv2.IMREAD_GRAYSCALE)
    features = detect(image, mask, nfeatures=60)
    x, y = np.rint(features.keypoints).astype(int).T
    assert len(x) == 60
    assert (mask[y, x] != 0).all()


def test_a_detector_is_told_how_many_images_come_at_once(tmp_path: Path) -> None:
    node = Detector()
    node.open(Resources(batch=6))
    assert node._detector.batch_size == 6
