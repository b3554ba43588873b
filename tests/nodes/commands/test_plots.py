"""Plots show the path, its segments and what is missing, and equal runs give equal bytes."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from run_folders import NUM_FRAMES, Run, walk

from nodes.commands import run_input
from nodes.commands.error_plot import draw_errors
from nodes.commands.evaluate import evaluate_run
from nodes.commands.palette import BLUE, ORANGE, VERMILION
from nodes.commands.scoring import score_run
from nodes.commands.trajectory_plot import MAX_NAMED, broken, draw_trajectory
from nodes.commands.trajectory_scoring import ScoredTrajectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": made.nodes})
    made.write_truth(walk())
    made.write(walk(), wrong={6: None})
    return made


def _two_segments(run: Run) -> None:
    path = walk()
    run.write_trajectory([(int(i > 5), i, path[i]) for i in (1, 2, 3, 5, 7, 8, 9, 10)])


def _scored(run: Run) -> ScoredTrajectory:
    trajectory = score_run(run.folder).streams["cam"].trajectory
    assert trajectory is not None
    return trajectory


def _share_of(picture: np.ndarray, colour: str) -> float:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(picture[:, :, ::-1].astype(int) - rgb).max(axis=2) < 8).mean())


def test_the_picture_shows_both_segments_and_what_is_missing(run: Run) -> None:
    _two_segments(run)
    evaluate_run(run.folder)
    picture = cv2.imread(str(run.folder / "trajectory.png"))
    assert picture.shape[1] == 1430
    for colour in (BLUE, ORANGE, VERMILION):
        assert _share_of(picture, colour) > 1e-4
    assert _share_of(cv2.imread(str(run.folder / "errors.png")), VERMILION) > 1e-3  # lost


def test_the_legend_counts_poses_and_names_the_frames_without_one(run: Run) -> None:
    _two_segments(run)
    figure = draw_trajectory(_scored(run), "cam")
    (ax,) = figure.axes
    names = ax.get_legend_handles_labels()[1]
    assert names[0] == "ground truth"
    assert names[1].startswith("segment 0: 4 poses, ATE ")
    assert names[3:] == ["no pose: 3 of 11 frames", "start"]
    assert ax.get_aspect() == 1
    assert ax.get_title() == "cam: trajectory from above, segments aligned by Sim(3)"


def test_a_line_is_broken_where_frames_have_no_place() -> None:
    frames, values = broken(np.array([1, 2, 3, 5]), np.arange(8.0).reshape(4, 2))
    assert np.array_equal(frames, [1, 2, 3, np.nan, 5], equal_nan=True)
    assert np.isnan(values[3]).all()
    assert values[[0, 1, 2, 4]].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_many_segments_and_short_ones_are_summed_up_in_the_legend(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.commands.trajectory_plot.MAX_NAMED", 1)
    path = walk()
    run.write_trajectory([(i // 4, i, path[i]) for i in range(9)])  # 4, 4 and 1 poses
    names = draw_trajectory(_scored(run), "cam").axes[0].get_legend_handles_labels()[1]
    assert sum(name.startswith("segment") for name in names) == 1 < MAX_NAMED
    assert names[-2:] == [
        "and 1 more segments",
        "not drawn: 1 segments of too few poses to align",
    ]


def test_equal_runs_give_equal_bytes(run: Run) -> None:
    _two_segments(run)
    evaluate_run(run.folder)
    pictures = [path.read_bytes() for path in sorted(run.folder.glob("*.png"))]
    evaluate_run(run.folder)
    assert [path.read_bytes() for path in sorted(run.folder.glob("*.png"))] == pictures
    assert len(pictures) == 2
    assert b"matplotlib" not in pictures[0][:200]


def test_without_a_trajectory_the_errors_of_pairs_are_drawn_on_demand(run: Run) -> None:
    evaluate_run(run.folder, plots=True)
    assert [path.name for path in run.folder.glob("*.png")] == ["errors.png"]
    figure = draw_errors(score_run(run.folder).streams["cam"])
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "rotation of\npairs (deg)",
        "direction of\npairs (deg)",
        "matches",
        "label",
    ]


def test_times_are_seconds_since_the_first_frame(run: Run) -> None:
    _two_segments(run)
    figure = draw_errors(score_run(run.folder).streams["cam"])
    assert len(figure.axes) == 5
    (_, last) = figure.axes[-1].get_xlim()
    assert last == pytest.approx(1.01 * (NUM_FRAMES - 1) / 30, rel=1e-3)
    assert figure.axes[-1].patches[0].get_x() == 0
    band = [name.get_text() for name in figure.axes[-1].get_legend().get_texts()]
    assert band == ["general", "lost"]


def test_a_run_of_lost_pairs_alone_is_drawn(run: Run) -> None:
    run.write(walk(), wrong=dict.fromkeys(range(1, NUM_FRAMES)))
    evaluate_run(run.folder, plots=True)
    assert (run.folder / "errors.png").stat().st_size > 10_000


def test_the_commands_do_not_import_matplotlib_before_they_draw() -> None:
    code = (
        "import sys, nodes.commands.evaluate, nodes.commands.compare; "
        "print([m for m in ('cv2', 'scipy', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
