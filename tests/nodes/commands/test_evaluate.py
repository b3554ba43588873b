"""`posestream evaluate` finds the errors put into a run, and says what it cannot score."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from run_folders import INTRINSICS, Run, walk
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from nodes.commands import run_input
from nodes.commands.evaluate import evaluate, evaluate_run
from nodes.vision.evaluation import relative_pose
from nodes.vision.se3 import from_rotation_translation, inverse

APP = typer.Typer()
APP.command("evaluate")(evaluate)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": made.nodes})
    return made


def _turned(T: np.ndarray, degrees: float) -> np.ndarray:
    return from_rotation_translation(
        Rotation.from_euler("y", degrees, degrees=True).as_matrix() @ T[:3, :3], T[:3, 3]
    )


# ---------------------------------------------------------------- figures


def test_exact_poses_have_no_error(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk())
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert figures["num_pairs"] == figures["num_scored"] == figures["num_direction_scored"] == 10
    assert figures["coverage"] == 1.0
    assert figures["rotation_p90_deg"] < 1e-5
    assert figures["direction_p90_deg"] < 1e-5
    assert figures["auc_5_deg"] == pytest.approx(1, abs=1e-5)
    assert figures["num_flow_unknown"] == 0


def test_one_degree_put_in_is_one_degree_found(run: Run) -> None:
    path = walk()
    steps = [relative_pose(a, b) for a, b in pairwise(path)]
    run.write_truth(path)
    run.write(path, wrong={seq: _turned(T, 1) for seq, T in enumerate(steps, 1)})
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert figures["rotation_median_deg"] == pytest.approx(1, abs=1e-5)
    assert figures["direction_median_deg"] == pytest.approx(0, abs=1e-5)


def test_missing_poses_count_as_180_degrees(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk(), wrong=dict.fromkeys(range(1, 7)))
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert (figures["coverage"], figures["num_missing"]) == (0.4, 6)
    assert figures["rotation_median_deg"] == figures["direction_median_deg"] == 180
    assert figures["auc_20_deg"] == pytest.approx(0.4, abs=1e-5)


def test_where_the_picture_hardly_moves_only_the_rotation_is_scored(run: Run) -> None:
    path = walk(step_m=0.01)  # 500 px * 0.01 m / 4 m = 1.25 px
    run.write_truth(path)
    run.write(path)
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert (figures["num_direction_scored"], figures["num_small_flow"]) == (0, 10)
    assert figures["direction_median_deg"] is None
    assert figures["small_flow_rotation_median_deg"] < 1e-5
    assert figures["direction_all_pairs_median_deg"] < 1e-4


@pytest.mark.parametrize("damage", ["absent", "unfinished"])
def test_without_matches_every_direction_is_scored_and_the_count_says_so(
    run: Run, damage: str
) -> None:
    run.write_truth(walk(step_m=0.01))
    run.write(walk(step_m=0.01), matches=False)
    if damage == "unfinished":
        (run.folder / "matches.npz").write_bytes(b"PK\x03\x04 and no table of contents")
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert figures["num_direction_scored"] == figures["num_flow_unknown"] == 10


def test_pairs_without_ground_truth_are_counted_and_left_out(run: Run) -> None:
    run.write_truth(walk()[:6])
    run.write(walk())
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert (figures["num_pairs"], figures["num_scored"]) == (10, 5)
    assert figures["num_without_groundtruth"] == 5


def test_a_row_without_a_previous_frame_is_left_out(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk())
    poses = run.folder / "poses.jsonl"
    first = json.loads(poses.read_text().splitlines()[0])
    first.update(seq_prev=None, stamp_ns_prev=None, T_cur_prev=None)
    poses.write_text(json.dumps(first) + "\n" + poses.read_text())
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert (figures["num_pairs"], figures["num_scored"]) == (11, 10)
    assert figures["coverage"] == pytest.approx(10 / 11)


def test_the_figures_are_kept_in_the_run_folder(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk())
    result = evaluate_run(run.folder)
    assert json.loads((run.folder / "evaluation.json").read_text()) == result
    assert (result["min_flow_px"], result["missing_pose_deg"]) == (2.0, 180.0)


# ---------------------------------------------------------------- streams and files


def test_every_stream_is_scored_by_itself(run: Run) -> None:
    path = walk()
    run.add_input("left")
    run.add_input("right")
    run.write_truth(path)
    run.write(path, stream="left", is_only=False)
    run.write(path, stream="right", is_only=False, wrong=dict.fromkeys(range(1, 11)))
    streams = evaluate_run(run.folder)["streams"]
    assert streams["left"]["coverage"] == 1
    assert streams["right"]["coverage"] == 0


def test_a_stream_without_ground_truth_does_not_hide_the_other(run: Run) -> None:
    run.add_input("left")
    run.write_truth(walk())
    run.write(walk(), stream="left", is_only=False)
    run.write(walk(), stream="right", is_only=False)
    result = evaluate_run(run.folder)
    assert list(result["streams"]) == ["left"]
    assert "no ground truth is known for stream 'right'" in result["not_scored"]["right"]


def test_a_given_file_comes_before_what_lies_beside_the_input(run: Run) -> None:
    wrong = [inverse(T) for T in walk()]
    run.write_truth(wrong)
    given = run.write_truth(walk(), "given.txt")
    run.write(walk())
    assert evaluate_run(run.folder, given)["streams"]["cam"]["rotation_p90_deg"] < 1e-5


@pytest.mark.parametrize("name", ["cam.tum", "cam.txt", "groundtruth.txt"])
def test_a_given_folder_holds_the_file_of_the_stream(run: Run, name: str) -> None:
    run.nodes.clear()
    run.write_truth(walk(), name)
    run.write(walk())
    assert evaluate_run(run.folder, run.dataset)["streams"]["cam"]["num_scored"] == 10


def test_the_calibration_named_in_the_run_comes_before_the_one_beside_the_input(run: Run) -> None:
    run.write_truth(walk(step_m=0.01))  # too short a step to see, as in the test above
    run.write(walk(step_m=0.01))
    wrong = run.folder / "wrong.yaml"  # to such a lens the rotation explains too little
    wrong.write_text(INTRINSICS.replace("fx: 500", "fx: 100").replace("fy: 500", "fy: 100"))
    run.nodes["cam"]["params"]["camera"] = str(wrong)
    assert evaluate_run(run.folder)["streams"]["cam"]["num_direction_scored"] == 10


# ---------------------------------------------------------------- the command


def test_the_command_prints_a_table_in_plain_words(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk(), wrong={3: None})
    done = CliRunner().invoke(APP, [str(run.folder)])
    assert done.exit_code == 0
    rows = (line.partition("  ") for line in done.stdout.splitlines())
    values = {what: value.strip() for what, _, value in rows}
    assert values["errors against ground truth"] == "cam"
    assert values["pairs of frames"] == "10"
    assert values["... with a pose"] == "90.0%"
    assert values["rotation: 90 % are below"] == "18.000 deg"
    assert values["AUC at 5 / 10 / 20 deg (1 is best)"] == "0.90 / 0.90 / 0.90"
    assert "A missing pose counts as 180 deg." in done.stdout


def test_the_command_says_which_streams_it_could_not_score(run: Run) -> None:
    run.add_input("left")
    run.write_truth(walk())
    for stream in ("left", "right"):
        run.write(walk(), stream=stream, is_only=False, matches=False)
    done = CliRunner().invoke(APP, [str(run.folder)])
    assert "left: for 10 pairs it is not known how far the picture moves" in done.stdout
    assert "right is not scored: no ground truth is known" in done.stdout


def test_the_command_prints_json_on_demand(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk())
    done = CliRunner().invoke(APP, [str(run.folder), "--json"])
    assert json.loads(done.stdout)["streams"]["cam"]["num_scored"] == 10


def test_the_help_of_the_command_imports_neither_cv2_nor_scipy() -> None:
    code = (
        "import sys, nodes.commands.evaluate; "
        "print([m for m in ('cv2', 'scipy', 'torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_configuration_that_a_run_leaves_leads_to_its_ground_truth(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_truth(walk())
    run.write(walk())
    (run.folder / "config.yaml").write_text(
        "nodes:\n"
        f"  cam: {{type: capture, params: {{source: dataset, options: {{path: {run.dataset}}}}}}}\n"
        "  recorder: {type: recorder, inputs: {frame: cam.frame}}\n"
    )
    figures = evaluate_run(run.folder)["streams"]["cam"]
    assert (figures["num_scored"], figures["num_flow_unknown"]) == (10, 0)
    assert figures["groundtruth"] == str(run.dataset)
