"""`posestream evaluate` on trajectories: coverage, segments, and the errors that were put in."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from run_folders import NUM_FRAMES, Run, walk
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from nodes.commands import run_input
from nodes.commands.evaluate import evaluate, evaluate_run
from nodes.vision.se3 import from_rotation_translation

APP = typer.Typer()
APP.command("evaluate")(evaluate)
OTHER_WORLD = from_rotation_translation(
    Rotation.from_rotvec([1.0, -2.0, 0.5]).as_matrix(), np.array([5.0, 6.0, 7.0])
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": made.nodes})
    made.write_truth(walk())
    made.write(walk())
    return made


def _estimated(scale: float, world: np.ndarray = OTHER_WORLD) -> list[np.ndarray]:
    """Return the true path in another world and scale."""
    path = [world @ T for T in walk()]
    for T in path:
        T[:3, 3] *= scale
    return path


def _trajectory(run: Run, **kwargs: bool) -> dict:
    return evaluate_run(run.folder, plots=False, **kwargs)["streams"]["cam"]["trajectory"]


def test_a_path_in_another_world_and_scale_has_no_sim3_error(run: Run) -> None:
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(4.0))])
    figures = _trajectory(run)
    assert (figures["num_frames"], figures["num_placed"], figures["num_segments"]) == (11, 11, 1)
    assert figures["coverage"] == figures["coverage_from_bootstrap"] == 1
    assert figures["first_placed"] == 0
    assert figures["path_m"] == pytest.approx(1.0)
    assert figures["scale"] == pytest.approx(0.25)
    assert figures["ate_sim3_rmse"] == pytest.approx(0, abs=1e-9)
    assert figures["ate_se3_rmse"] > 0.5
    assert figures["rpe_1_translation_rmse"] == pytest.approx(0, abs=1e-9)
    assert figures["rpe_10_rotation_median_deg"] == pytest.approx(0, abs=1e-5)


def test_one_displaced_pose_is_found_in_metres(run: Run) -> None:
    path = _estimated(1.0, np.eye(4))
    path[5] = path[5].copy()
    path[5][1, 3] += 0.011
    run.write_trajectory([(0, i, T) for i, T in enumerate(path)])
    figures = _trajectory(run)
    assert figures["ate_sim3_max"] == pytest.approx(0.0089, abs=1e-4)  # a part is aligned away
    assert figures["ate_sim3_rmse"] == pytest.approx(0.0030, abs=2e-4)
    assert figures["ate_percent_of_path"] == pytest.approx(0.30, abs=0.02)


def test_frames_without_a_place_lower_the_coverage_since_the_first(run: Run) -> None:
    path = _estimated(2.0)
    run.write_trajectory([(0, i, path[i]) for i in (3, 4, 6, 7, 8, 9, 10)])
    figures = _trajectory(run)
    assert (figures["num_placed"], figures["first_placed"]) == (7, 3)
    assert figures["coverage"] == pytest.approx(7 / 11)
    assert figures["coverage_from_bootstrap"] == pytest.approx(7 / 8)
    assert figures["rpe_10_translation_median"] is None


def test_every_segment_is_aligned_by_itself_and_the_longest_leads(run: Run) -> None:
    first, second = _estimated(4.0), _estimated(0.1, np.eye(4))
    placed = [(0, i, first[i]) for i in range(4)] + [(1, i, second[i]) for i in range(5, 11)]
    run.write_trajectory(placed)
    figures = _trajectory(run)
    assert figures["num_segments"] == 2
    assert [s["segment"] for s in figures["segments"]] == [0, 1]
    assert [s["num_poses"] for s in figures["segments"]] == [4, 6]
    assert [(s["first_frame"], s["last_frame"]) for s in figures["segments"]] == [(0, 3), (5, 10)]
    assert [s["scale"] for s in figures["segments"]] == pytest.approx([0.25, 10])
    assert [s["path_m"] for s in figures["segments"]] == pytest.approx([0.3, 0.5])
    assert max(s["ate_sim3_rmse"] for s in figures["segments"]) < 1e-9
    assert (figures["num_poses"], figures["scale"]) == (6, pytest.approx(10))


def test_two_poses_have_no_error_rather_than_a_perfect_one(run: Run) -> None:
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(1.0)[:2])])
    figures = _trajectory(run)
    assert (figures["num_placed"], figures["ate_sim3_rmse"]) == (2, None)
    assert figures["segments"][0]["rpe_1_translation_median"] is None


def test_a_camera_that_truly_stands_still_has_no_error_rather_than_a_perfect_one(run: Run) -> None:
    run.write_truth([np.eye(4)] * NUM_FRAMES)
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(1.0))])
    figures = _trajectory(run)
    assert (figures["path_m"], figures["ate_sim3_rmse"], figures["scale"]) == (0, None, None)


def test_an_estimate_that_stands_still_is_as_wrong_as_the_path_is_wide(run: Run) -> None:
    run.write_trajectory([(0, i, np.eye(4)) for i in range(NUM_FRAMES)])
    positions = np.array(walk())[:, :3, 3]
    spread = np.sqrt(((positions - positions.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert _trajectory(run)["ate_sim3_rmse"] == pytest.approx(spread)


def test_poses_without_ground_truth_count_as_placed_and_are_not_scored(run: Run) -> None:
    run.write_truth(walk()[:6])
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(4.0))])
    figures = _trajectory(run)
    assert (figures["num_placed"], figures["num_poses"]) == (11, 11)
    assert figures["path_m"] == pytest.approx(0.5)
    assert figures["ate_sim3_rmse"] == pytest.approx(0, abs=1e-9)


def test_a_run_without_trajectory_says_so(run: Run) -> None:
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert figures["trajectory"] is None
    assert figures["trajectory_note"] == "the run wrote no trajectory"
    assert not list(run.folder.glob("*.png"))


def test_a_trajectory_of_no_frames_covers_nothing(run: Run) -> None:
    run.write_trajectory([])
    figures = _trajectory(run)
    assert (figures["coverage"], figures["num_segments"], figures["segments"]) == (0, 0, [])
    assert figures["first_placed"] is figures["coverage_from_bootstrap"] is None
    assert figures["ate_sim3_rmse"] is None
    assert not list(run.folder.glob("*.png"))


def test_segments_that_a_killed_run_left_under_their_numbers_are_read(run: Run) -> None:
    run.write_trajectory([(3, i, T) for i, T in enumerate(_estimated(4.0))])
    (run.folder / "trajectory.tum").rename(run.folder / "trajectory_cam_3.tum")
    figures = _trajectory(run)
    assert [s["segment"] for s in figures["segments"]] == [3]
    assert figures["num_placed"] == 11


def test_streams_have_trajectories_of_their_own(run: Run) -> None:
    (run.folder / "poses.jsonl").unlink()
    path = _estimated(4.0)
    for stream, num in (("left", 11), ("right", 5)):
        run.add_input(stream)
        run.write(walk(), stream=stream, is_only=False)
        placed = [(0, i, path[i]) for i in range(num)] + [(1, 10, path[10])] * (num < 11)
        run.write_trajectory(placed, stream, is_only=False)
    streams = evaluate_run(run.folder)["streams"]
    assert streams["left"]["trajectory"]["num_placed"] == 11
    assert streams["right"]["trajectory"]["num_placed"] == 6
    assert streams["right"]["trajectory"]["num_segments"] == 2
    names = sorted(path.name for path in run.folder.glob("*.png"))
    assert names == [
        "errors_left.png",
        "errors_right.png",
        "trajectory_left.png",
        "trajectory_right.png",
    ]


def test_labels_are_counted_and_their_covariances_judged(run: Run) -> None:
    run.write(walk(), wrong={3: None}, covariance=np.eye(5) * 1e-4)
    labels = evaluate_run(run.folder)["streams"]["cam"]["labels"]
    assert list(labels) == ["general", "lost"]
    assert (labels["general"]["num_pairs"], labels["general"]["share"]) == (9, 0.9)
    assert labels["general"]["rotation_median_deg"] < 1e-5
    assert (labels["general"]["num_nees"], labels["general"]["nees_within_95"]) == (9, 1)
    assert labels["general"]["nees_mean"] < 1e-6  # exact poses that claim to be less sure
    assert (labels["lost"]["num_pairs"], labels["lost"]["rotation_median_deg"]) == (1, None)


def test_the_table_tells_of_labels_and_trajectory(run: Run) -> None:
    run.write(walk(), wrong={3: None}, covariance=np.eye(5) * 1e-4)
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(4.0)[1:], 1)])
    done = CliRunner().invoke(APP, [str(run.folder)])
    assert done.exit_code == 0, done.output
    rows = (line.partition("  ") for line in done.stdout.splitlines())
    values = {what: value.strip() for what, _, value in rows}
    assert values["general / planar"] == "90.0% / 0"
    assert values["rotation / static / lost"] == "0 / 0 / 10.0%"
    assert values["trajectory: frames with a place"] == "90.9%"
    assert values["... from the first one on"] == "100.0% (frame 1)"
    assert values["longest: poses, true path"] == "10, 0.9 m"
    assert float(values["ATE, SE(3): scale unknown: use Sim(3)"].removesuffix(" m")) > 0.5
    assert values["NEES median / its expectation: general"] == "0.00"
    assert "values above 1 are expected even with exact truth" in done.stdout
    assert f"look at {run.folder / 'trajectory.png'}" in done.stdout


@pytest.mark.parametrize(("label", "size"), [("planar", 5), ("rotation", 3)])
def test_the_nees_of_other_labels_is_told_too(run: Run, label: str, size: int) -> None:
    run.write(walk(), label=label, covariance=np.eye(size) * 1e-4)
    done = CliRunner().invoke(APP, [str(run.folder)])
    lines = [line for line in done.stdout.splitlines() if line.startswith("NEES median")]
    assert [line.rpartition("  ")[0].strip() for line in lines] == [
        f"NEES median / its expectation: {label}"
    ]


def test_without_a_covariance_there_is_no_word_of_nees(run: Run) -> None:
    run.write(walk())
    assert "NEES" not in CliRunner().invoke(APP, [str(run.folder)]).stdout


def test_json_is_all_that_is_printed_on_demand(run: Run) -> None:
    run.write_trajectory([(0, i, T) for i, T in enumerate(_estimated(4.0))])
    done = CliRunner().invoke(APP, [str(run.folder), "--json", "--no-plots"])
    assert json.loads(done.stdout)["streams"]["cam"]["trajectory"]["coverage"] == 1
    assert not list(run.folder.glob("*.png"))
