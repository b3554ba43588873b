"""The suites features and tracking: figures of known pictures, and rows that say what they lack."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

Load = Callable[[str], ModuleType]

WIDTH, HEIGHT = 320, 240
SHIFT = np.array([[1.0, 0, 15], [0, 1, -6], [0, 0, 1]])
K = np.array([[300.0, 0, 159.5], [0, 300, 119.5], [0, 0, 1]])
TURN_DEG = 3.0


def picture() -> np.ndarray:
    """Return blocks of many sizes with corners everywhere, (H, W) uint8."""
    rng = np.random.default_rng(5)
    image = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for _ in range(500):
        x, y, w, h = rng.integers((0, 0, 5, 5), (WIDTH, HEIGHT, 30, 30)).tolist()
        cv2.rectangle(image, (x, y), (x + w, y + h), int(rng.integers(0, 256)), -1)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8))


def write_frames(folder: Path, homographies: list[np.ndarray]) -> None:
    """Write the picture, warped by each homography."""
    (folder / "frames").mkdir(parents=True)
    for seq, H in enumerate(homographies):
        warped = cv2.warpPerspective(picture(), H, (WIDTH, HEIGHT), borderValue=128.0)
        cv2.imwrite(str(folder / f"frames/{seq:06d}.png"), warped)


def write_turn(folder: Path, num_frames: int) -> None:
    """Write a recording of a camera that turns about its upright axis and stays where it is."""
    turns = [
        Rotation.from_euler("y", TURN_DEG * seq, degrees=True)
        for seq in range(num_frames)  # R_world_cam
    ]
    write_frames(folder, [K @ R.inv().as_matrix() @ np.linalg.inv(K) for R in turns])
    poses = [[seq, 0, 0, 0, *R.as_quat()] for seq, R in enumerate(turns)]
    np.savetxt(folder / "groundtruth.txt", poses, "%.9f")
    np.savetxt(folder / "timestamps.txt", np.arange(num_frames), "%.3f")
    (folder / "intrinsics.yaml").write_text(
        f"width: {WIDTH}\nheight: {HEIGHT}\nfx: 300\nfy: 300\ncx: 159.5\ncy: 119.5\n"
        "distortion_model: none\ndistortion_coeffs: [0, 0, 0, 0]\n"
    )


def test_detectors_are_judged_over_all_pairs_and_by_set(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, settings = load("benchmarks.features"), load("benchmarks.settings")
    near = SHIFT + np.array([[0, 0, 2.0], [0, 0, 0], [0, 0, 0]])  # within 3 px, not within 1
    for name, H in {"hom_a": near, "hom_b": np.diag([-1.0, 1, 1])}.items():
        write_frames(tmp_path / name, [np.eye(3), SHIFT])
        np.savetxt(tmp_path / name / "H_1_2", H)
    monkeypatch.setattr(features, "SETS", ("hom_a", "hom_b"))
    kept = {name: features.ENTRIES[name] for name in ("sift", "orb", "aliked (t16)")}
    monkeypatch.setattr(features, "ENTRIES", kept)
    monkeypatch.setenv("POSESTREAM_WEIGHTS", str(tmp_path))
    findings = features.run(settings.Settings(tmp_path, quick=True))
    sift, orb, aliked = (row for row in findings.rows if row.table == "All pairs")
    assert aliked.missing == "needs the weights ALIKED/aliked-t16.pth"
    assert set(sift.figures) == set(orb.figures) == set(features.TOTALS)
    assert [sift.figures[f"H@{px}"].median for px in (1, 3, 5)] == [0, 0.5, 0.5]
    assert sift.figures["time"].median > 0
    by_set = {row.table: row.figures for row in findings.rows if row.name == "sift"}
    right = by_set["Homography accuracy at 3 px, by set"]
    assert {name: figure.median for name, figure in right.items()} == {"a": 1.0, "b": 0.0}
    matched = by_set["Mean matching accuracy at 3 px, by set"]
    assert matched["a"].median > 0.8 > 0.1 > matched["b"].median
    both = (matched["a"].median + matched["b"].median) / 2
    assert sift.figures["MMA@3"].median == pytest.approx(both)


def test_missing_sets_are_a_row_that_names_one(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        load("benchmark").main(["features", "--quick", "--device", "cpu", "--data", str(tmp_path)])
        == 0
    )
    assert "not measured: " in (said := capsys.readouterr().out)
    assert "has no folder 'hom_graf'" in said
    assert str(tmp_path.parent) not in said


def test_networks_run_where_the_suite_is_told(load: Load, tmp_path: Path) -> None:
    features, settings = load("benchmarks.features"), load("benchmarks.settings")
    here = settings.Settings(tmp_path, device="cpu")
    one = features.ENTRIES["superpoint-small, 2 octaves"].build("two", here)
    assert (one.label, one.max_keypoints) == ("two", 1000)
    options = one.detector.options
    assert (options.device, options.max_keypoints, options.octaves) == ("cpu", 1000, 2)


def test_a_detector_is_tracked_and_a_missing_recording_says_so(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking, settings = load("benchmarks.tracking"), load("benchmarks.settings")
    write_turn(tmp_path / "turn", 4)
    monkeypatch.setattr(tracking, "CLIPS", (tracking.Clip("turn"), tracking.Clip("absent")))
    monkeypatch.setattr(tracking, "DETECTORS", {"sift": tracking.DETECTORS["sift"]})
    findings = tracking.run(settings.Settings(tmp_path, repeats=1, quick=True))
    turn, absent = findings.rows
    assert (absent.table, absent.missing) == ("absent", "needs the recording absent")
    assert (turn.name, turn.table, turn.missing) == ("sift", "turn", "")
    figures = {name: figure.median for name, figure in turn.figures.items()}
    assert figures["matches"] > 50
    assert 0.5 < figures["inliers"] <= 1
    assert figures["poses"] == 1
    assert figures["rotation"] < 0.2  # of TURN_DEG
    assert figures["rate"] > 0.5
    assert "direction" not in figures  # the camera stays where it is


def test_a_run_without_ground_truth_shows_matches_and_poses_only(
    load: Load, tmp_path: Path
) -> None:
    pose = np.eye(4).tolist()
    rows = [
        {"num_matches": matches, "num_inliers": inliers, "T_cur_prev": T, "label": label}
        for matches, inliers, T, label in (
            (100, 80, pose, "general"),
            (10, 9, pose, "general"),
            (40, 10, pose, "rotation"),
            (0, 0, None, "lost"),
        )
    ]
    (tmp_path / "poses.jsonl").write_text(
        "".join(
            json.dumps({"stream": "capture", "stamp_ns_prev": i, "stamp_ns_cur": i + 1, **row})
            + "\n"
            for i, row in enumerate(rows)
        )
    )
    found = load("benchmarks.tracking").judged(tmp_path)
    assert found == {"matches": 25.0, "inliers": pytest.approx((0.8 + 0.25) / 2), "poses": 0.75}


def test_only_faint_texture_has_the_row_with_a_lower_threshold(load: Load, tmp_path: Path) -> None:
    tracking, settings = load("benchmarks.tracking"), load("benchmarks.settings")
    here = settings.Settings(tmp_path)
    rows = {
        clip.title: [one.name for one in tracking._contestants(here, clip)]
        for clip in tracking.CLIPS
    }
    faint = [title for title, names in rows.items() if "sift, contrastThreshold 0.01" in names]
    assert faint == ["sinus_a"]
    assert all(names[:3] == ["sift", "orb", "superpoint-small"] for names in rows.values())
    assert "redkitchen, every 5th frame" in rows


@pytest.mark.parametrize("suite", ["features", "tracking"])
@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_suite_runs_on_real_data(
    load: Load, suite: str, data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    data = str(data_dir("hom_graf").parent)
    arguments = [suite, "--quick", "--device", "cpu", "--data", data, "--record", str(records)]
    assert load("benchmark").main(arguments) == 0
    (record,) = load("benchmarks.record").load(records)
    assert {row.name: row.missing for row in record.rows if row.missing} == {}
    assert len({row.table for row in record.rows}) == {"features": 3, "tracking": 2}[suite]
