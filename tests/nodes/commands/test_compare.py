"""`posestream compare` tells which run is nearer to the truth, and refuses what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from run_folders import Run, walk
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from nodes.commands import run_input
from nodes.commands.compare import compare, run_names
from nodes.commands.comparison import METRICS, Comparison, read_runs
from nodes.commands.evaluate import evaluate_run
from nodes.vision.evaluation import relative_pose
from pipeline.errors import ConfigError, InputError

APP = typer.Typer()
APP.command("compare")(compare)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two runs of one dataset: exact poses, and rotations that are 2 degrees off."""
    configs = {}
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": configs[path.parent]})
    made = Run(tmp_path)
    made.write_truth(walk())
    path = walk()
    turn = Rotation.from_euler("y", 2, degrees=True).as_matrix()
    wrong = {seq: relative_pose(path[seq - 1], path[seq]) for seq in range(1, len(path))}
    for T in wrong.values():
        T[:3, :3] = turn @ T[:3, :3]
    for name, poses, shift in (("exact", {}, 0.0), ("turned", wrong, 0.02)):
        made.folder = tmp_path / name
        made.folder.mkdir()
        (made.folder / "config.yaml").write_text("")
        configs[made.folder] = made.nodes
        made.write(path, wrong=poses)
        placed = [T.copy() for T in path]
        placed[5][1, 3] += shift
        made.write_trajectory([(0, i, T) for i, T in enumerate(placed)])
    return [tmp_path / "exact", tmp_path / "turned"]


@pytest.fixture
def untrue(runs: list[Path], tmp_path: Path) -> list[Path]:
    """The two runs, of an input without ground truth, with three poses lost in the second."""
    (tmp_path / "dataset" / "groundtruth.txt").unlink()
    poses = runs[1] / "poses.jsonl"
    rows = [json.loads(line) for line in poses.read_text().splitlines()]
    for row in rows[:3]:
        row.update(T_cur_prev=None, label="lost")
    poses.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for run, num_keyframes in zip(runs, (3, 5), strict=True):
        (run / "keyframes.jsonl").write_text("{}\n" * num_keyframes)
        statistics = {"fps": 10.0 * num_keyframes, "latency_ms": {"p50": 300.0, "p95": 1e4}}
        (run / "stats.json").write_text(json.dumps({"streams": {"cam": statistics}}))
    return runs


def _compare(*arguments: object) -> str:
    done = CliRunner().invoke(APP, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_better_value_is_marked_and_the_ratio_is_to_the_first(runs: list[Path]) -> None:
    for run in runs:
        (run / "stats.json").write_text(
            json.dumps({"streams": {"cam": {"fps": 8 * len(run.name)}}})
        )
    lines = (line.partition("  ") for line in _compare(*runs[::-1]).splitlines())
    rows = {title: values.split() for title, _, values in lines}
    assert rows["cam"] == ["turned", "exact", "ratio"]
    assert rows["... general"] == ["100.0%", "100.0%", "1.00"]
    assert "... planar" not in rows  # no run has such a pair
    assert not any("NEES" in title for title in rows)
    assert rows["rotation: median"][:3] == ["2.000", "deg", "*"]
    assert rows["rotation: median"][-1] == "0.00"
    assert rows["... with a pose"] == ["100.0%", "100.0%", "1.00"]
    assert rows["AUC at 5 deg"][1] == "*"
    assert rows["speed"] == ["*", "48.0", "fps", "40.0", "fps", "0.83"]
    assert rows["... its ATE, Sim(3)"][2] == "*"


def test_three_runs_have_two_ratios(runs: list[Path]) -> None:
    data = json.loads(_compare(*runs, runs[0], "--json"))
    assert len(data["runs"]) == 3
    rotation = data["streams"]["cam"]["rotation_median_deg"]
    assert rotation["values"][1] == pytest.approx(2)
    assert rotation["best"] == str(runs[0])  # two share their name, so all have their paths
    assert rotation["better"] == "lower"


def test_a_run_that_was_not_evaluated_is(runs: list[Path]) -> None:
    evaluate_run(runs[0], plots=False)
    before = (runs[0] / "evaluation.json").stat().st_mtime_ns
    _compare(*runs)
    assert (runs[1] / "evaluation.json").is_file()
    assert (runs[0] / "evaluation.json").stat().st_mtime_ns == before


def test_an_evaluation_from_before_trajectories_is_made_anew(runs: list[Path]) -> None:
    old = {"streams": {"cam": {"rotation_median_deg": 99}}, "not_scored": {}}
    (runs[0] / "evaluation.json").write_text(json.dumps(old))
    assert read_runs(runs, None)[0]["cam"]["rotation_median_deg"] < 1


def test_runs_of_different_inputs_are_refused_with_both_named(
    runs: list[Path], tmp_path: Path
) -> None:
    for run in runs:
        evaluate_run(run, plots=False)
    path = runs[1] / "evaluation.json"
    path.write_text(path.read_text().replace(str(tmp_path / "dataset"), "kitti00"))
    with pytest.raises(ConfigError) as caught:
        _compare(*runs)
    assert str(caught.value) == (
        f"only runs of the same input can be compared: {runs[0]} is of cam ({tmp_path}/dataset), "
        f"{runs[1]} of cam (kitti00)"
    )
    assert caught.value.exit_code == 2


def test_without_ground_truth_what_is_known_is_compared(untrue: list[Path], tmp_path: Path) -> None:
    data = json.loads(_compare(*untrue, "--json"))
    rows = {path: row["values"] for path, row in data["streams"]["cam"].items()}
    assert rows == {
        "num_pairs": [10, 10],
        "coverage": [1.0, 0.7],
        "labels/general/share": [1.0, 0.7],
        "labels/lost/share": [0.0, 0.3],
        "trajectory/coverage": [1.0, 1.0],
        "trajectory/coverage_from_bootstrap": [1.0, 1.0],
        "trajectory/num_segments": [1, 1],
        "trajectory/num_poses": [11, 11],
        "num_keyframes": [3, 5],
        "fps": [30.0, 50.0],
        "latency_ms/p50": [300.0, 300.0],
    }
    assert not list(tmp_path.rglob("evaluation.json"))


def test_a_footnote_says_that_no_truth_is_known(untrue: list[Path], tmp_path: Path) -> None:
    assert _compare(*untrue).splitlines()[-2:] == [
        "* the best; ratios are to the first run",
        f"no ground truth is known for {tmp_path}/dataset: errors are not compared; "
        "name a TUM file with --groundtruth FILE",
    ]


def test_with_ground_truth_there_is_no_footnote(runs: list[Path]) -> None:
    assert _compare(*runs).splitlines()[-1] == "* the best; ratios are to the first run"
    assert json.loads(_compare(*runs, "--json"))["notes"] == []


def test_where_one_run_has_ground_truth_the_footnote_names_the_other(
    runs: list[Path], tmp_path: Path
) -> None:
    evaluate_run(runs[0], plots=False)
    (tmp_path / "dataset" / "groundtruth.txt").unlink()
    data = json.loads(_compare(*runs, "--json"))
    assert data["streams"]["cam"]["rotation_median_deg"]["values"][1] is None
    assert data["notes"][0].startswith(f"no ground truth is known for {tmp_path}/dataset in turned")


def test_a_stream_without_ground_truth_is_compared_beside_one_that_has_it(
    runs: list[Path], tmp_path: Path
) -> None:
    for run in runs:
        text = (run / "poses.jsonl").read_text()
        (run / "poses_cam.jsonl").write_text(text)
        (run / "poses_other.jsonl").write_text(text.replace('"cam"', '"other"'))
        (run / "poses.jsonl").unlink()
    for _ in range(2):  # also from the evaluation that the first time has left
        data = json.loads(_compare(*runs, "--json"))
        assert data["streams"]["cam"]["rotation_median_deg"]["values"][1] == pytest.approx(2)
        assert data["streams"]["other"]["num_pairs"]["values"] == [10, 10]
        assert "rotation_median_deg" not in data["streams"]["other"]
        assert data["notes"][0].startswith("no ground truth is known for other: ")


def test_runs_without_ground_truth_of_different_inputs_are_refused(
    untrue: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def video(path: Path) -> dict[str, Any]:
        (file := tmp_path / f"{path.parent.name}.mp4").touch()
        params = {"source": "video", "options": {"path": str(file)}}
        return {"nodes": {"cam": {"type": "capture", "params": params}}}

    monkeypatch.setattr(run_input, "read_config", video)
    with pytest.raises(ConfigError, match=r"is of cam \(.*exact.mp4\), .*\(.*turned.mp4\)") as e:
        _compare(*untrue)
    assert e.value.exit_code == 2


def test_truth_that_does_not_fit_is_no_missing_truth(runs: list[Path], tmp_path: Path) -> None:
    given = tmp_path / "later.txt"
    given.write_text("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 0 1\n")
    with pytest.raises(InputError, match="0 of 10 pairs of stream 'cam' have ground truth"):
        _compare(*runs, "--groundtruth", given)


def test_one_run_cannot_be_compared_but_drawn(runs: list[Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        _compare(runs[0])
    assert str(caught.value) == (
        "compare needs two run folders or more, not 1; to draw the path of one, "
        "add --plot exact.png"
    )


def test_the_trajectories_are_drawn_over_each_other(runs: list[Path], tmp_path: Path) -> None:
    plot = tmp_path / "both.png"
    assert f"look at {plot}" in _compare(*runs, "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"--plot writes a PNG: .*both.jpg should end in .png"):
        _compare(*runs, "--plot", tmp_path / "both.jpg")


def test_a_given_ground_truth_scores_all_runs_anew(runs: list[Path], tmp_path: Path) -> None:
    _compare(*runs)
    given = tmp_path / "given.txt"
    given.write_text((tmp_path / "dataset" / "groundtruth.txt").read_text())
    plot = tmp_path / "both.png"
    _compare(*runs, "--groundtruth", given)
    evaluation = json.loads((runs[0] / "evaluation.json").read_text())
    assert evaluation["streams"]["cam"]["groundtruth"] == str(given)
    (tmp_path / "dataset" / "groundtruth.txt").unlink()
    _compare(*runs, "--plot", plot)  # remembers where the truth is
    assert plot.exists()


def test_nothing_is_best_among_equals_and_a_missing_value_never_is() -> None:
    metric = next(m for m in METRICS if m.path == "rotation_median_deg")
    assert Comparison(metric, [1.0, 1.0]).best is None
    assert Comparison(metric, [None, 1.0]).best is None
    assert Comparison(metric, [3.0, None, 1.0]).best == 2
    assert Comparison(metric, [0.0, 1.0]).ratios == [None, None]
    assert Comparison(metric, [2.0, 1.0, None]).ratios == [1.0, 0.5, None]
    assert np.array_equal(run_names([Path("a/x"), Path("b/y")]), ["x", "y"])
    assert run_names([Path("a/x"), Path("b/x")]) == ["a/x", "b/x"]
