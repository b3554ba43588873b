"""`compare --plot` draws over the truth where there is one, else over the first run's segments."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from run_folders import NUM_FRAMES, Run, walk
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from nodes.commands import run_input
from nodes.commands.compare import compare, plot_runs
from nodes.commands.overlays import overlays
from nodes.commands.palette import BLUE, ORANGE, PALE
from nodes.commands.path_plot import MAX_PANELS, draw_paths, lay_over, paths_of
from nodes.commands.scoring import unscored_streams
from nodes.commands.trajectory_scoring import ScoredTrajectory
from nodes.vision.se3 import from_rotation_translation
from pipeline.errors import ConfigError, InputError

APP = typer.Typer()
APP.command("compare")(compare)
OTHER_WORLD = from_rotation_translation(
    Rotation.from_rotvec([0.3, -1.2, 0.5]).as_matrix(), np.array([3.0, -2, 7])
)

Placed = Sequence[tuple[int, int, np.ndarray]]


class Runs:
    """Runs of one input without ground truth."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = Run(folder)
        self.folder = folder
        self.configs: dict[Path, Any] = {}
        monkeypatch.setattr(
            run_input, "read_config", lambda path: {"nodes": self.configs[path.parent]}
        )

    def add(self, name: str, placed: Placed) -> Path:
        self.made.folder = self.folder / name
        self.made.folder.mkdir()
        (self.made.folder / "config.yaml").write_text("")
        self.configs[self.made.folder] = dict(self.made.nodes)
        self.made.write(walk())
        self.made.write_trajectory(placed)
        return self.made.folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(tmp_path, monkeypatch)


def _elsewhere(path: Sequence[np.ndarray], scale: float) -> list[np.ndarray]:
    """Return a path in another world and unit."""
    moved = [OTHER_WORLD @ T for T in path]
    for T in moved:
        T[:3, 3] *= scale
    return moved


def _numbered(path: Sequence[np.ndarray], frames: Sequence[int], segment: int = 0) -> Placed:
    return [(segment, i, path[i]) for i in frames]


def _trajectory(run: Path) -> ScoredTrajectory:
    trajectory = unscored_streams(run)["cam"].trajectory
    assert trajectory is not None
    return trajectory


def _legend(*trajectories: ScoredTrajectory) -> list[str]:
    names = ("first", "second")
    figure = draw_paths(dict(zip(names, trajectories, strict=False)), "video.mp4")
    names_of: list[str] = figure.axes[0].get_legend_handles_labels()[1]
    return names_of


def _share_of(path: Path, colour: str) -> float:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    picture = cv2.imread(str(path))
    return float((np.abs(picture[:, :, ::-1].astype(int) - rgb).max(axis=2) < 8).mean())


# ---------------------------------------------------------------- geometry


def test_a_path_in_another_world_and_unit_is_laid_over_exactly(runs: Runs) -> None:
    path = walk()
    first = runs.add("first", _numbered(path, range(2, NUM_FRAMES)))
    second = runs.add("second", _numbered(_elsewhere(path, 7.0), range(1, 9)))
    (reference,), (other,) = (paths_of(_trajectory(run)) for run in (first, second))
    laid = lay_over(other, reference)
    assert laid is not None
    assert len(laid.distances) == 7  # frames 2 to 8
    assert laid.distances.max() < 1e-9
    assert np.allclose(laid.positions, [T[:3, 3] for T in path[1:9]], atol=1e-9)


def test_paths_with_two_common_frames_cannot_be_laid_over(runs: Runs) -> None:
    first = runs.add("first", _numbered(walk(), range(6)))
    second = runs.add("second", _numbered(walk(), range(4, NUM_FRAMES)))
    (reference,), (other,) = (paths_of(_trajectory(run)) for run in (first, second))
    assert lay_over(other, reference) is None


def test_a_segment_that_stands_still_is_no_path(runs: Runs) -> None:
    still = [np.eye(4)] * NUM_FRAMES
    placed = [*_numbered(still, range(7)), *_numbered(walk(), range(7, NUM_FRAMES), 1)]
    assert [path.number for path in paths_of(_trajectory(runs.add("first", placed)))] == [1]


# ---------------------------------------------------------------- the picture


def test_one_segment_is_drawn_in_its_own_unit(runs: Runs) -> None:
    run = runs.add("first", _numbered(walk(), range(2, NUM_FRAMES)))
    figure = draw_paths({"mine": _trajectory(run)}, "video.mp4")
    (ax,) = figure.axes
    assert ax.get_title() == "video.mp4: path from above, no ground truth is known"
    assert ax.get_xlabel() == "along the largest extent (units of mine's longest segment)"
    assert ax.get_aspect() == 1
    assert ax.get_legend_handles_labels()[1] == ["mine: segment 0, 9 poses, 82% of frames", "start"]


def test_the_legend_tells_how_far_two_runs_are_apart(runs: Runs) -> None:
    path = walk()
    first = runs.add("first", _numbered(path, range(NUM_FRAMES)))
    bent = [T.copy() for T in path]
    bent[5][1, 3] += 0.011
    second = runs.add("second", _numbered(_elsewhere(bent, 0.1), range(NUM_FRAMES)))
    apart = _legend(_trajectory(first), _trajectory(second))[1]
    assert apart.startswith("second: 0.00297 ")  # a part of 0.011 / sqrt(11) is aligned away
    assert apart.endswith(" apart (RMS), 11 common frames")


def test_every_segment_of_the_first_run_has_a_picture_and_a_unit_of_its_own(runs: Runs) -> None:
    path = walk()
    parts = [*_numbered(path, range(4)), *_numbered(_elsewhere(path, 3.0), range(4, 10), 1)]
    first = runs.add("first", parts)
    second = runs.add("second", _numbered(path, range(NUM_FRAMES)))
    figure = draw_paths({"a": _trajectory(first), "b": _trajectory(second)}, "video.mp4")
    assert [ax.get_title() for ax in figure.axes] == [
        "segment 1 from above",
        "segment 0 from above",
    ]
    assert "longest segment" in figure.axes[0].get_xlabel()
    assert "a's segment 0" in figure.axes[1].get_xlabel()
    apart = [ax.get_legend_handles_labels()[1][1] for ax in figure.axes]
    assert [text.rpartition(", ")[2] for text in apart] == ["6 common frames", "4 common frames"]


def test_what_is_not_drawn_is_counted(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nodes.commands.path_plot.MAX_PANELS", 1)
    path = walk()
    parts = [*_numbered(path, range(6)), *_numbered(path, range(6, 10), 1)]
    first = runs.add("first", parts)
    second = runs.add("second", _numbered(path, range(7, NUM_FRAMES)))
    assert MAX_PANELS > 1
    legend = _legend(_trajectory(first), _trajectory(second))
    assert legend[-2:] == [
        "not drawn: 1 segment of first, short or without common frames",
        "not drawn: 1 segment of second, short or without common frames",
    ]


# ---------------------------------------------------------------- the command


def test_compare_draws_runs_without_truth_over_each_other(runs: Runs, tmp_path: Path) -> None:
    path = walk()
    bent = [T.copy() for T in path]
    bent[5][1, 3] += 0.1
    first = runs.add("first", _numbered(path, range(NUM_FRAMES)))
    second = runs.add("second", _numbered(bent, range(NUM_FRAMES)))
    plot = tmp_path / "both.png"
    done = CliRunner().invoke(APP, [str(first), str(second), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert f"look at {plot}" in done.stdout
    assert _share_of(plot, BLUE) > 1e-4
    assert _share_of(plot, ORANGE) > 1e-4
    assert _share_of(plot, PALE) < 1e-2  # no ground truth
    before = plot.read_bytes()
    assert list(plot_runs({"first": first, "second": second}, plot)) == [plot]
    assert plot.read_bytes() == before


@pytest.mark.parametrize("has_truth", [False, True])
def test_one_run_is_drawn_beside_a_table_of_its_own(
    runs: Runs, tmp_path: Path, has_truth: bool
) -> None:
    run = runs.add("first", _numbered(walk(), range(NUM_FRAMES)))
    if has_truth:
        runs.made.write_truth(walk())
    plot = tmp_path / "one.png"
    done = CliRunner().invoke(APP, [str(run), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert done.stdout.split()[:2] == ["cam", "first"]
    assert "the best" not in done.stdout
    assert (_share_of(plot, PALE) > 1e-2) == has_truth


def test_where_one_run_has_no_truth_all_are_drawn_without(runs: Runs) -> None:
    truth = runs.made.write_truth(walk())
    first = runs.add("first", _numbered(walk(), range(NUM_FRAMES)))
    second = runs.add("second", _numbered(walk(), range(NUM_FRAMES)))
    named = {"first": first, "second": second}
    truth = truth.rename(first / "truth.txt")  # known to the first run alone
    known = {"input": str(runs.made.dataset), "groundtruth": str(truth)}
    (first / "evaluation.json").write_text(
        json.dumps({"streams": {"cam": known}, "not_scored": {}})
    )
    title = overlays(named, None)["cam"]().axes[0].get_title()
    assert title == "dataset, cam: path from above, no ground truth is known"
    title = overlays(named, truth)["cam"]().axes[0].get_title()
    assert title == "dataset, cam: trajectories from above, segments aligned by Sim(3)"


@pytest.mark.parametrize("has_odometry", [False, True])
def test_a_run_that_placed_no_frame_has_nothing_to_draw(
    runs: Runs, tmp_path: Path, has_odometry: bool
) -> None:
    run = runs.add("first", [])
    if not has_odometry:
        (run / "trajectory.tum").unlink()
    with pytest.raises(ConfigError, match="no trajectory to draw"):
        list(plot_runs({"first": run}, tmp_path / "one.png"))


def test_a_folder_that_is_no_run_is_named_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        list(plot_runs({"first": tmp_path / "nothing"}, tmp_path / "one.png"))
