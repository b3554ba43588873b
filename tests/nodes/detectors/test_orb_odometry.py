"""Binary descriptors all the way: matched, rejoined, and a covered camera is found again by them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.detector import Detector
from nodes.matcher import Matcher
from nodes.messages import Features, Frame, Matches, Trajectory
from nodes.odometry import Odometry
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.text_files import read_tum
from nodes.vision.alignment import align
from pipeline.node import Resources

FILM = [*range(0, 120, 4), *[None] * 6, *range(120, 60, -4)]
"""Which frame of the recording is shown when; None is a covered camera."""


def follow(folder: Path) -> Iterator[Trajectory | None]:
    """Yield what the odometry says of each frame of the film; None for the first."""
    chain = Detector(Detector.Params(algorithm="orb")), Matcher(), Odometry()
    for node in chain:
        node.open(Resources())
    detector, matcher, odometry = chain
    camera = read_calibration(folder / "intrinsics.yaml")
    images = sorted((folder / "frames").iterdir())
    black = np.zeros((camera.height, camera.width), np.uint8)
    for seq, index in enumerate(FILM):
        image = black if index is None else cv2.imread(str(images[index]), cv2.IMREAD_GRAYSCALE)
        frame = Frame(stream="cam", seq=seq, stamp_ns=seq * 10**8, image=image, camera=camera)
        (features,) = detector.process(frame)
        assert isinstance(features, Features)
        assert features.descriptors.dtype == np.uint8
        (matches,) = matcher.process(features)
        yield (
            next(iter(odometry.process(matches, features)))
            if isinstance(matches, Matches)
            else None
        )


@pytest.mark.data
def test_a_covered_camera_finds_its_way_back_by_binary_descriptors(
    data_dir: Callable[[str], Path],
) -> None:
    folder = data_dir("redkitchen")
    placed = list(follow(folder))
    truth = read_tum(folder / "groundtruth.txt")[1][:, :3, 3]
    rows = [i for i, p in enumerate(placed) if p is not None and p.T_world_cam is not None]
    assert {placed[i].segment for i in rows} == {0}  # type: ignore[union-attr]
    assert len([i for i in rows if i >= 36]) >= 12  # after the cover is gone
    assert not [i for i in rows if 30 <= i < 36]
    found = np.array([placed[i].T_world_cam[:3, 3] for i in rows])  # type: ignore[union-attr,index]
    true = truth[[FILM[i] or 0 for i in rows]]
    errors = np.linalg.norm(align(found, true, with_scale=True).apply(found) - true, axis=1)
    assert errors.max() < 0.05
