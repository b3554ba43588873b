"""The picture of the errors shows what was measured, and says where nothing could be."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from run_folders import NUM_FRAMES, Run, walk
from scipy.spatial.transform import Rotation

from nodes.commands import run_input
from nodes.commands.error_plot import SMALLEST_DEG, draw_errors
from nodes.commands.scoring import score_run
from nodes.vision.evaluation import relative_pose


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": made.nodes})
    return made


def _panels(run: Run) -> tuple[Axes, Axes]:
    """Return the panels of rotation and direction."""
    rotation, direction, *_ = draw_errors(score_run(run.folder).streams["cam"]).axes
    return rotation, direction


def _drawn(ax: Axes) -> dict[str, int]:
    """Return the entries of the legend and how many dots each has."""
    return {str(line.get_label()): len(line.get_xdata()) for line in ax.lines}


def _turned(path: list[np.ndarray], degrees: float) -> dict[int, np.ndarray]:
    """Return the poses of the first three pairs with a rotation put on top."""
    turn = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    poses = {seq: relative_pose(path[seq - 1], path[seq]) for seq in (1, 2, 3)}
    for T in poses.values():
        T[:3, :3] = turn @ T[:3, :3]
    return poses


def test_errors_too_small_for_the_scale_lie_on_its_edge_and_say_so(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk(), wrong=_turned(walk(), 0.5))
    rotation, _ = _panels(run)
    measured, below = rotation.lines
    assert np.allclose(measured.get_ydata(), 0.5, atol=1e-4)
    assert (below.get_label(), len(below.get_xdata())) == ("below 0.001", 7)
    assert not np.any(below.get_ydata())  # of the height of the panel
    assert below.get_transform() == rotation.get_xaxis_transform()
    assert rotation.get_ylim()[0] == SMALLEST_DEG


def test_errors_that_were_all_measured_have_a_scale_of_their_own(run: Run) -> None:
    run.write_truth(walk())
    path = walk()
    wrong = _turned(path, 0.5)
    run.write(path, wrong={**dict.fromkeys(range(1, NUM_FRAMES)), **wrong})
    rotation, _ = _panels(run)
    assert list(_drawn(rotation).values()) == [3]
    assert 0.1 < rotation.get_ylim()[0] < 0.5


def test_a_still_camera_has_no_direction_and_errors_below_the_scale(run: Run) -> None:
    still = [np.eye(4)] * NUM_FRAMES
    run.write_truth(still)
    run.write(still, label="static")
    rotation, direction = _panels(run)
    assert _drawn(rotation) == {"below 0.001": 10}
    assert rotation.get_ylim() == (SMALLEST_DEG, 1)
    assert [text.get_text() for text in direction.texts] == [
        "the picture does not move beside its rotation"
    ]
    assert not direction.lines
    assert not len(direction.get_yticks())


def test_lost_pairs_alone_leave_panels_that_say_so(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk(), wrong=dict.fromkeys(range(1, NUM_FRAMES)))
    for ax in _panels(run):
        assert [text.get_text() for text in ax.texts] == ["no pair has a pose"]
        assert not len(ax.get_yticks())


def test_directions_are_told_apart_by_whether_the_picture_moves(run: Run) -> None:
    path = walk(step_m=0.01)  # 1.25 px
    run.write_truth(path)
    turned = {seq: np.diag([-1.0, -1, 1, 1]) @ T for seq, T in _turned(path, 0).items()}
    run.write(path, wrong=turned)
    _, direction = _panels(run)
    assert _drawn(direction) == {"picture hardly\nmoves: not scored": 3, "below 0.001": 7}
