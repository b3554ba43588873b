"""`posestream evaluate` names what is missing or does not fit, and what to do about it."""

from pathlib import Path

import pytest
from run_folders import Run, walk

from nodes.commands import run_input
from nodes.commands.evaluate import evaluate_run, footnotes
from pipeline.errors import ConfigError, InputError


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path)
    monkeypatch.setattr(run_input, "read_config", lambda path: {"nodes": made.nodes})
    return made


def test_a_folder_that_does_not_exist_is_named_with_a_near_one(run: Run) -> None:
    with pytest.raises(InputError) as caught:
        evaluate_run(run.folder.with_name("runn"))
    assert str(caught.value) == (f"no such run folder: {run.folder}n. Did you mean '{run.folder}'?")


def test_a_folder_without_poses_is_no_run_folder(run: Run) -> None:
    with pytest.raises(InputError) as caught:
        evaluate_run(run.dataset)
    assert str(caught.value) == f"{run.dataset} is not a run folder: it holds no poses.jsonl"


def test_a_run_without_pairs_has_nothing_to_score(run: Run) -> None:
    (run.folder / "poses.jsonl").touch()
    with pytest.raises(InputError, match=r"poses.jsonl is empty: there is no pair of frames"):
        evaluate_run(run.folder)


@pytest.mark.parametrize(
    "line", ['{"stream": "cam"', "[]", '{"stream": "cam"}', '{"T_cur_prev": [1], "stream": "c"}']
)
def test_a_damaged_row_is_named_with_file_and_line(run: Run, line: str) -> None:
    run.write_truth(walk())
    run.write(walk())
    with (run.folder / "poses.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"poses.jsonl:11: not a row of poses.jsonl: "):
        evaluate_run(run.folder)


def test_without_ground_truth_the_message_says_how_to_name_it(run: Run) -> None:
    run.write(walk())
    with pytest.raises(ConfigError) as caught:
        evaluate_run(run.folder)
    assert str(caught.value) == (
        f"no ground truth is known for stream 'cam' ({run.dataset}): "
        "name a TUM file with --groundtruth FILE"
    )
    assert caught.value.exit_code == 2


def test_without_a_configuration_ground_truth_has_to_be_given(run: Run) -> None:
    (run.folder / "config.yaml").unlink()
    truth = run.write_truth(walk())
    run.write(walk())
    with pytest.raises(ConfigError, match="no ground truth is known for stream 'cam'"):
        evaluate_run(run.folder)
    assert evaluate_run(run.folder, truth)["streams"]["cam"]["num_scored"] == 10


def test_ground_truth_of_another_time_is_told_with_both_spans(run: Run) -> None:
    truth = run.dataset / "groundtruth.txt"
    truth.write_text("1.5 0 0 0 0 0 0 1\n2.5 0 0 0 0 0 0 1\n")
    run.write(walk())
    with pytest.raises(InputError) as caught:
        evaluate_run(run.folder)
    assert str(caught.value) == (
        "0 of 10 pairs of stream 'cam' have ground truth at both times: the ground truth covers "
        "1.500 s to 2.500 s, the run covers 1600000000.033 s to 1600000000.333 s"
    )
    assert caught.value.exit_code == 3


def test_a_bad_line_of_ground_truth_is_named_with_file_and_line(run: Run) -> None:
    truth = run.write_truth(walk())
    truth.write_text(truth.read_text() + "7 8 9\n")
    run.write(walk())
    with pytest.raises(InputError, match=r"groundtruth.txt:14: expected .*, not '7 8 9'"):
        evaluate_run(run.folder, truth)


def test_one_file_for_several_streams_is_refused(run: Run) -> None:
    truth = run.write_truth(walk())
    for stream in ("left", "right"):
        run.write(walk(), stream=stream, is_only=False)
    with pytest.raises(ConfigError, match=r"is one file, but the run has 2 streams: .*left.tum"):
        evaluate_run(run.folder, truth)
    with pytest.raises(InputError, match=r"holds no ground truth of 'left': no left.tum, left.txt"):
        evaluate_run(run.folder, run.dataset)


def test_a_ground_truth_that_does_not_exist_is_named(run: Run) -> None:
    run.write(walk())
    with pytest.raises(InputError, match=r"no such ground truth: .*/truth.txt"):
        evaluate_run(run.folder, run.folder / "truth.txt")


def test_a_run_with_a_trajectory_is_told_how_to_draw_it_without_truth(run: Run) -> None:
    run.write(walk())
    run.write_trajectory([(0, i, T) for i, T in enumerate(walk())])
    with pytest.raises(ConfigError) as caught:
        evaluate_run(run.folder, plots=True)
    assert str(caught.value).endswith(
        "name a TUM file with --groundtruth FILE, or draw the path itself: "
        "posestream compare RUN --plot path.png"
    )


COUNTED = (
    ". Its images have no times: they are counted at 12.5 Hz from 0 s. Give them a timestamps.txt "
    "(seconds, one a line), or run again with --set cam.params.options.fps=HZ"
)


def _mismatch(run: Run) -> str:
    """Return what is said of a ground truth of another time."""
    run.write(walk())
    truth = run.folder / "truth.txt"
    truth.write_text("1.5 0 0 0 0 0 0 1\n2.5 0 0 0 0 0 0 1\n")
    with pytest.raises(InputError, match="0 of 10 pairs of stream 'cam' have ground truth") as e:
        evaluate_run(run.folder, truth)
    return str(e.value)


@pytest.mark.parametrize("source", ["dataset", "folder"])
def test_counted_frames_that_miss_the_truth_are_said_to_be_counted(run: Run, source: str) -> None:
    frames = run.dataset / "frames"
    frames.mkdir()
    path = run.dataset if source == "dataset" else frames
    params = {"source": source, "options": {"path": str(path), "fps": 12.5}}
    run.nodes["cam"]["params"] = params
    assert _mismatch(run).endswith(COUNTED)
    (run.dataset / "timestamps.txt").write_text("1.0\n")
    assert "counted" not in _mismatch(run)


def test_a_video_is_not_said_to_be_counted(run: Run) -> None:
    (run.dataset / "video.mp4").touch()
    assert "counted" not in _mismatch(run)


def _reason(run: Run) -> str:
    """Return why the movement of the picture is unknown, as the footnote has it."""
    result = evaluate_run(run.folder)
    (note,) = [line for line in footnotes(result) if line.startswith("cam: ")]
    return note.partition("moves, since ")[2].partition(";")[0]


def test_the_one_reason_why_the_movement_is_unknown_is_named(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk(), matches=False)
    assert _reason(run) == "the run left no matches.npz"
    (run.folder / "matches.npz").write_bytes(b"PK and no table of contents")
    assert _reason(run) == "matches.npz is unfinished"
    (run.dataset / "intrinsics.yaml").unlink()
    assert _reason(run) == "the input has no calibration, and matches.npz is unfinished"
    run.write(walk())
    assert _reason(run) == "the input has no calibration"


def test_pairs_without_matches_are_the_reason_where_all_else_is_there(run: Run) -> None:
    run.write_truth([*walk(), walk()[-1]])
    run.write(walk())
    poses = run.folder / "poses.jsonl"
    last = poses.read_text().splitlines()[-1]
    later = last.replace('"seq_prev": 9, "seq_cur": 10', '"seq_prev": 10, "seq_cur": 11')
    poses.write_text(poses.read_text() + later + "\n")
    assert _reason(run) == "they have no matches"
    assert evaluate_run(run.folder)["streams"]["cam"]["num_flow_unknown"] == 1


def test_where_the_movement_is_known_there_is_no_footnote_about_it(run: Run) -> None:
    run.write_truth(walk())
    run.write(walk())
    result = evaluate_run(run.folder)
    assert result["streams"]["cam"]["unknown_flow_reason"] is None
    assert not [line for line in footnotes(result) if line.startswith("cam: ")]
