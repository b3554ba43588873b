"""Real frames taken away, covered and brought back: relocalised or a new segment, never a jump."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from nodes.detector import Detector
from nodes.matcher import Matcher
from nodes.messages import Frame, Matches, Trajectory
from nodes.odometry import Odometry
from nodes.sources.calibrations.reading import read_calibration
from nodes.sources.text_files import read_tum
from nodes.tracker import Tracker
from nodes.vision.alignment import align
from nodes.vision.images import limit_threads
from pipeline.node import Resources

Film = Sequence[int | None]
"""Which frame of the recording is shown when; None is a covered camera."""
STEP = 4
WALK = list(range(0, 240, STEP))


def follow(folder: Path, film: Film, by: str) -> list[Trajectory | None]:
    """Return what the odometry says of each frame of a film; None where it was not asked."""
    limit_threads(1)
    chain = [Tracker()] if by == "klt" else [Detector(), Matcher()]
    odometry = Odometry()
    for node in (*chain, odometry):
        node.open(Resources())
    camera = read_calibration(folder / "intrinsics.yaml")
    images = sorted((folder / "frames").iterdir())
    placed: list[Trajectory | None] = []
    for seq, index in enumerate(film):
        image = (
            np.zeros((camera.height, camera.width), np.uint8)
            if index is None
            else cv2.imread(str(images[index]), cv2.IMREAD_GRAYSCALE)
        )
        frame = Frame(stream="cam", seq=seq, stamp_ns=seq * 10**8, image=image, camera=camera)
        features = None if by == "klt" else next(iter(chain[0].process(frame)))
        (matches,) = chain[-1].process(frame if features is None else features)
        if not isinstance(matches, Matches):
            placed.append(None)
            continue
        placed.append(next(iter(odometry.process(matches, features))))
    return placed


def largest_error(
    placed: Sequence[Trajectory | None], film: Film, truth: npt.NDArray[np.float64]
) -> float:
    """Return the largest distance in metres from the true path, each segment aligned by itself."""
    errors = [0.0]
    for segment in {p.segment for p in placed if p and p.T_world_cam is not None}:
        rows = [
            i
            for i, p in enumerate(placed)
            if p and p.T_world_cam is not None and p.segment == segment
        ]
        found = np.array([placed[i].T_world_cam[:3, 3] for i in rows])  # type: ignore[union-attr,index]
        true = truth[[film[i] or 0 for i in rows]]
        aligned = align(found, true, with_scale=True).apply(found)
        errors += list(np.linalg.norm(aligned - true, axis=1))
    return max(errors)


@pytest.fixture
def kitchen(data_dir: Callable[[str], Path]) -> Path:
    return data_dir("redkitchen")


def positions(folder: Path) -> npt.NDArray[np.float64]:
    return read_tum(folder / "groundtruth.txt")[1][:, :3, 3]


@pytest.mark.data
def test_a_covered_camera_is_relocalised_at_a_known_place(kitchen: Path) -> None:
    film = [*WALK[:40], *[None] * 6, *WALK[37:]]
    placed = follow(kitchen, film, "sift")
    assert all(p is not None and p.T_world_cam is None for p in placed[41:46])
    after = [p for p in placed[46:50] if p is not None and p.T_world_cam is not None]
    assert {p.segment for p in after} == {0}
    assert all(p.segment == 0 for p in placed if p is not None and p.T_world_cam is not None)
    assert largest_error(placed, film, positions(kitchen)) < 0.1


@pytest.mark.data
@pytest.mark.parametrize("by", ["sift", "klt"])
@pytest.mark.parametrize(
    "film",
    [
        pytest.param([*WALK[:35], *WALK[55:]], id="frames removed"),
        pytest.param([*WALK[:35], *[None] * 4, *WALK[50:]], id="covered, then elsewhere"),
        pytest.param([*WALK[:30], *WALK[59:30:-1]], id="brought to the end, then back"),
    ],
)
def test_a_kidnapped_camera_never_jumps_within_a_segment(
    kitchen: Path, film: Film, by: str
) -> None:
    placed = follow(kitchen, film, by)
    assert sum(p is not None and p.T_world_cam is not None for p in placed) > 0.5 * len(film)
    assert largest_error(placed, film, positions(kitchen)) < 0.1
