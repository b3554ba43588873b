"""What every detector of the registry promises; one whose weights are missing is skipped."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from generated_networks import generated_superpoint
from two_view_scene import texture

from nodes.detector import Detector
from nodes.detectors import DETECTORS
from nodes.messages import Features, Frame
from nodes.networks.state_dicts import save_superpoint
from nodes.vision.camera import Camera
from nodes.vision.keypoints import Keypoints, canonical_order
from pipeline.errors import MissingDependencyError
from pipeline.node import Resources

ARRAYS = ("keypoints", "scores", "sizes", "angles", "descriptors")
PICTURES = {
    "texture": texture(0, 120, 160),
    "colour": np.dstack([texture(seed, 120, 160) for seed in range(3)]),
    "black": np.zeros((120, 160), np.uint8),
    "white": np.full((120, 160, 3), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (120, 160), np.uint8),
    "1 x 1": np.full((1, 1), 9, np.uint8),
    "1 x 1 colour": np.full((1, 1, 3), 9, np.uint8),
    "one row": np.random.default_rng(0).integers(0, 256, (1, 160), np.uint8),
    "one column": np.random.default_rng(0).integers(0, 256, (120, 1), np.uint8),
    "17 x 13": texture(0, 13, 17),
}


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of SuperPoint weights that find keypoints, if not good ones."""
    path = tmp_path_factory.mktemp("weights") / "superpoint.safetensors"
    save_superpoint(generated_superpoint(), path)
    return path


@pytest.fixture(params=DETECTORS.names())
def node(
    request: pytest.FixtureRequest, untrained: Path, monkeypatch: pytest.MonkeyPatch
) -> Detector:
    options = {}
    if request.param == "superpoint":  # on a GPU a batch differs from single frames by rounding
        options = {"weights": str(untrained), "device": "cpu"}
    elif request.param == "superpoint-small":
        options = {"device": "cpu"}
    if "POSESTREAM_WEIGHTS" not in os.environ:
        shared = Path(__file__).parents[3] / "shared"
        data = Path(os.environ.get("POSESTREAM_DATA", shared / "data"))
        monkeypatch.setenv("POSESTREAM_WEIGHTS", str(data.parent / "weights"))
    try:
        node = Detector(Detector.Params(algorithm=request.param, options=options))
        node.open(Resources())
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return node


def frame(name: str, mask: np.ndarray | None = None) -> Frame:
    image = PICTURES[name]
    camera = Camera.assumed(image.shape[1], image.shape[0])
    return Frame(stream="cam", seq=0, stamp_ns=0, image=image, camera=camera, mask=mask)


def detect(node: Detector, name: str, mask: np.ndarray | None = None) -> Features:
    (features,) = node.process(frame(name, mask))
    return features


def assert_equal(a: Features, b: Features) -> None:
    for name in ARRAYS:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes(), name


@pytest.mark.parametrize("name", PICTURES)
def test_shapes_dtypes_and_bounds_hold_for_every_picture(node: Detector, name: str) -> None:
    features = detect(node, name)  # the message itself checks shapes and dtypes
    height, width = PICTURES[name].shape[:2]
    assert (features.keypoints > -0.5).all()
    assert (features.keypoints < [width - 0.5, height - 0.5]).all()
    assert np.isfinite(features.scores).all()
    assert (features.sizes > 0).all()
    angles = features.angles[~np.isnan(features.angles)]
    assert ((angles >= 0) & (angles <= 2 * np.pi)).all()
    assert len(features.keypoints) <= 10_000


@pytest.mark.parametrize("name", ["black", "white", "1 x 1", "1 x 1 colour"])
def test_a_picture_without_content_has_no_keypoints_of_the_usual_width(
    node: Detector, name: str
) -> None:
    features, usual = detect(node, name), detect(node, "texture")
    assert features.keypoints.shape == (0, 2)
    assert features.descriptors.shape == (0, usual.descriptors.shape[1])
    assert features.descriptors.dtype == usual.descriptors.dtype


def test_texture_has_keypoints_in_canonical_order(node: Detector) -> None:
    features = detect(node, "texture")
    found = Keypoints(*(getattr(features, name) for name in ARRAYS))
    assert len(found.keypoints) > 50
    assert canonical_order(found).tolist() == list(range(len(found.keypoints)))


def test_descriptors_are_bytes_integers_or_of_unit_norm(node: Detector) -> None:
    descriptors = detect(node, "texture").descriptors
    if descriptors.dtype == np.float32 and not np.array_equal(descriptors, np.rint(descriptors)):
        assert np.allclose(np.linalg.norm(descriptors, axis=1), 1, atol=1e-5)


def test_no_keypoint_lies_outside_the_mask(node: Detector) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[40:, 60:] = 1
    x, y = np.rint(detect(node, "texture", mask).keypoints).T
    assert len(x) > 20
    assert (x >= 60).all()
    assert (y >= 40).all()
    assert len(detect(node, "texture", np.zeros_like(mask)).keypoints) == 0


def test_an_image_is_not_written_to(node: Detector) -> None:
    before = PICTURES["colour"].copy()
    detect(node, "colour")
    assert np.array_equal(PICTURES["colour"], before)


def test_calls_and_threads_give_the_same_to_the_last_bit(node: Detector) -> None:
    names = ["texture", "noise", "colour", "17 x 13"] * 4
    expected = {name: detect(node, name) for name in names}
    with ThreadPoolExecutor(4) as pool:
        for name, found in zip(names, pool.map(lambda n: detect(node, n), names), strict=True):
            assert_equal(found, expected[name])


def test_a_batch_is_as_single_frames_to_the_last_bit(node: Detector) -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[40:, 60:] = 1
    frames = [frame(name) for name in ("texture", "black", "17 x 13", "noise", "texture")]
    frames.insert(1, frame("texture", mask))
    batch = list(node.process_batch(frames))
    assert len(batch) == len(frames)
    for one, found in zip(frames, batch, strict=True):
        (alone,) = node.process(one)
        assert_equal(found, alone)
