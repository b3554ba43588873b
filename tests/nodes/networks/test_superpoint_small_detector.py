"""The detector `superpoint-small`: it runs as installed, and is as small as promised."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from two_view_scene import texture

from nodes.detectors import DETECTORS
from nodes.detectors.superpoint import SuperPoint
from nodes.detectors.superpoint_small import SuperPointSmall
from nodes.networks import weights
from nodes.networks.state_dicts import load_superpoint
from nodes.networks.superpoint import Widths
from pipeline.errors import MissingDependencyError


@pytest.fixture(autouse=True)
def nothing_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_it_needs_no_setting_and_nothing_to_download() -> None:
    found = DETECTORS.create("superpoint-small").detect(texture(0, 120, 160))
    assert len(found.scores) > 50
    assert found.descriptors.shape[1] == 64


def test_its_settings_are_those_of_superpoint() -> None:
    small, original = SuperPointSmall.Options(), SuperPoint.Options()
    assert isinstance(small, SuperPoint.Options)
    assert small.weights == "superpoint-small"
    assert small.max_keypoints == original.max_keypoints
    with pytest.raises(ValueError, match="octaves must be from 1 to 4, not 0"):
        SuperPointSmall.Options(octaves=0)


def test_the_shipped_network_needs_at_most_a_twelfth_of_the_arithmetic() -> None:
    small = load_superpoint(weights.locate("superpoint-small"))
    assert multiplications(small.widths) <= multiplications(Widths()) / 12
    assert not small.batch_norm


def multiplications(widths: Widths) -> float:
    """Return those for each pixel of an image."""
    w1, w2, w3, w4 = widths.blocks
    encoder = 9 * (w1 * (1 + w1) + w2 * (w1 + w2) / 4 + w3 * (w2 + w3) / 16 + w4 * (w3 + w4) / 64)
    heads = widths.heads * (9 * w4 * 2 + 65 + widths.descriptor) / 64
    return float(encoder + heads)


def test_a_file_lost_from_the_package_is_said_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHIPPED_FOLDER", tmp_path)
    with pytest.raises(MissingDependencyError, match="pip install --force-reinstall posestream"):
        DETECTORS.create("superpoint-small")


def test_superpoint_with_the_same_settings_is_the_same() -> None:
    image, options = texture(0, 120, 160), asdict(SuperPointSmall.Options(device="cpu"))
    given = DETECTORS.create("superpoint", options).detect(image)
    found = DETECTORS.create("superpoint-small", {"device": "cpu"}).detect(image)
    assert np.array_equal(found.keypoints, given.keypoints)
    assert np.array_equal(found.descriptors, given.descriptors)
