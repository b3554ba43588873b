"""The detector `superpoint`: its weights, its settings, and what it adds to the network."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from generated_networks import generated_superpoint
from two_view_scene import texture

from nodes.detectors import DETECTORS
from nodes.detectors.superpoint import SIZE_PX, SuperPoint
from nodes.networks.state_dicts import save_superpoint
from nodes.vision.keypoints import canonical_order
from pipeline.errors import ConfigError, InputError, MissingDependencyError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    save_superpoint(generated_superpoint(), path)
    return str(path)


def detector(weights: str, **options: object) -> SuperPoint:
    found = DETECTORS.create("superpoint", {"weights": weights, "device": "cpu", **options})
    assert isinstance(found, SuperPoint)
    return found


def test_without_weights_the_command_that_fetches_them_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="posestream weights fetch superpoint"):
        DETECTORS.create("superpoint")
    with pytest.raises(ConfigError, match="weights 'superpiont' are neither a file nor known"):
        detector("superpiont")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.pth").write_bytes(b"\xff\xd8\xff\xe0 no weights")
    with pytest.raises(InputError) as error:
        detector(str(tmp_path / "photo.pth"))
    message = f"{tmp_path / 'photo.pth'}: cannot be read as weights: it is cut off or damaged"
    assert str(error.value) == message


def test_keypoints_have_the_size_of_a_cell_and_no_angle(weights: str) -> None:
    found = detector(weights).detect(texture(0, 120, 160))
    assert len(found.scores) > 100
    assert (found.sizes == SIZE_PX).all()
    assert np.isnan(found.angles).all()
    assert found.sizes.dtype == found.angles.dtype == np.float32


def test_a_keypoint_of_a_reduced_image_is_as_much_larger(weights: str) -> None:
    found = detector(weights, octaves=3).detect(texture(0, 120, 160))
    assert set(found.sizes) == {SIZE_PX, 2 * SIZE_PX, 4 * SIZE_PX}
    assert found.sizes.dtype == np.float32
    assert canonical_order(found).tolist() == list(range(len(found.scores)))


def test_colour_is_taken_by_its_luma(weights: str) -> None:
    colour = np.dstack([texture(seed, 120, 160) for seed in range(3)])
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)
    found, expected = detector(weights).detect(colour), detector(weights).detect(grey)
    assert np.array_equal(found.keypoints, expected.keypoints)
    (batched,) = detector(weights).detect_batch([colour], [None])
    assert np.array_equal(batched.descriptors, expected.descriptors)


def test_every_setting_of_the_choice_has_its_effect(weights: str) -> None:
    image = texture(0, 120, 160)
    usual = detector(weights).detect(image)
    assert len(detector(weights, max_keypoints=10).detect(image).scores) == 10
    assert detector(weights, threshold=0.1).detect(image).scores.min() >= 0.1
    assert len(detector(weights, nms_radius_px=1).detect(image).scores) > len(usual.scores)
    assert detector(weights, border_px=30).detect(image).keypoints.min() >= 30
    between = detector(weights, subpixel=True).detect(image)
    assert np.array_equal(between.scores, usual.scores)
    assert not np.array_equal(between.keypoints, usual.keypoints)
    short = detector(weights, precision="bfloat16").detect(image)
    assert not np.array_equal(short.scores, usual.scores)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_keypoints": 0}, "max_keypoints must be at least 1, not 0"),
        ({"threshold": 2.0}, "threshold must be at least 0.0001 and less than 1, not 2.0"),
        ({"nms_radius_px": 65}, "nms_radius_px must be from 0 to 16, not 65"),
        ({"border_px": -1}, "border_px must be at least 0, not -1"),
        ({"octaves": 5}, "octaves must be from 1 to 4, not 5"),
    ],
)
def test_settings_without_sense_are_errors(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as error:
        SuperPoint.Options(**options)  # type: ignore[arg-type]
    assert str(error.value) == message
