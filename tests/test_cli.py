"""What a user meets on the command line: exact words and exit codes, on good and on bad input."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import pipeline
from pipeline import remote
from pipeline.cli import app
from pipeline.graph import Graph

ROOT = Path(__file__).parent.parent


def posestream(
    *arguments: str, cwd: Path, first: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command, without its status lines, in a folder; modules of `first` come first."""
    ours = str(Path(pipeline.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [first, ours, *sys.path]))
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]


PICTURE = cv2.resize(
    np.random.default_rng(1).integers(0, 255, (60, 90, 3), np.uint8), (720, 480),
    interpolation=cv2.INTER_CUBIC,
)  # fmt: skip


def view(index: int, width: int = 320, height: int = 240) -> np.ndarray:
    return np.ascontiguousarray(PICTURE[20 : 20 + height, 8 * index : 8 * index + width])


def write_video(path: Path, frames: int, codec: str) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 25, (320, 240))
    for index in range(frames):
        writer.write(view(index))
    writer.release()


def write_images(folder: Path, *images: np.ndarray | bytes) -> None:
    folder.mkdir()
    for index, image in enumerate(images):
        path = folder / f"{index:03d}.png"
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            cv2.imwrite(str(path), image)


# ------------------------------------------------------------------ first steps


def test_alone_it_prints_three_commands(tmp_path: Path) -> None:
    done = posestream(cwd=tmp_path)
    assert done.returncode == 0
    assert len(re.findall(r"^  posestream ", done.stdout, re.MULTILINE)) == 3


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_neither_cv2_nor_torch(flag: str, tmp_path: Path) -> None:
    code = (
        "import sys, os, pipeline.cli as cli\n"
        f"sys.argv = ['posestream', {flag!r}]\n"
        "os._exit = lambda code: sys.exit(code)\n"
        "try: cli.main()\n"
        "finally: print([m for m in ('cv2', 'torch', 'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


BUILT_IN = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_graph_passes_check(name: str, tmp_path: Path) -> None:
    done = posestream("check", name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name}: ok, ")


def test_nodes_and_graph_tell_what_there_is(tmp_path: Path) -> None:
    assert "mosaic" in posestream("nodes", cwd=tmp_path).stdout
    assert "nfeatures = 1000" in posestream("nodes", "detector", cwd=tmp_path).stdout
    assert "pose: RelativePose" in posestream("graph", "video", cwd=tmp_path).stdout
    assert posestream("graph", "video", "--mermaid", cwd=tmp_path).stdout.startswith("flowchart")


def test_a_choice_is_shown_by_its_values(tmp_path: Path) -> None:
    shown = posestream("nodes", "detector", cwd=tmp_path).stdout
    assert (
        "device = 'auto'    where to run; auto takes a GPU if there is one [auto|cpu|cuda]" in shown
    )
    assert "Literal" not in shown


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), *sys.path])
    done = subprocess.run(
        f"'{sys.executable}' -m pipeline graph demo | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


@pytest.fixture
def without_extras(tmp_path: Path) -> str:
    """Return a folder that makes the packages of the extras look as if they were missing."""
    for name in ("kornia", "onnxruntime"):
        text = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (tmp_path / "fakes" / name).mkdir(parents=True)
        (tmp_path / "fakes" / name / "__init__.py").write_text(text)
    return str(tmp_path / "fakes")


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("aliked", "detector 'aliked' needs the package kornia: pip install 'posestream[kornia]'"),
        ("xfeat", "detector 'xfeat' needs the package onnxruntime: pip install 'posestream[onnx]'"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    tmp_path: Path, without_extras: str, detector: str, message: str
) -> None:
    setting = f"detector.params.algorithm={detector}"
    done = posestream("run", "synthetic", "--set", setting, cwd=tmp_path, first=without_extras)
    assert (done.returncode, last_line(done).endswith(message)) == (4, True), done.stderr
    listed = posestream("nodes", "detector", cwd=tmp_path, first=without_extras)
    assert (listed.returncode, message in listed.stdout) == (0, True), listed.stderr


def test_missing_weights_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    done = posestream(
        "run", "synthetic", "--config", "superpoint", cwd=tmp_path,
        XDG_CACHE_HOME=str(tmp_path), POSESTREAM_WEIGHTS="",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "posestream weights fetch superpoint --accept-licence" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_what_it_took_its_input_for(tmp_path: Path) -> None:
    write_video(tmp_path / "pan.avi", 12, "MJPG")
    done = posestream("run", "pan.avi", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert "pan.avi: video of 12 frames, 320x240, uncalibrated" in done.stderr
    assert re.search(
        r"^complete: [\d.]+ fps, inliers \d+, landmarks \d+, poses 11, missing 0$",
        done.stderr,
        re.M,
    )
    assert last_line(done) == (
        "results in out: config.yaml matches.npz poses.jsonl stats.json trajectory.tum"
    )
    assert [row["seq_cur"] for row in rows(tmp_path / "out")] == list(range(1, 12))
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["state"] == "complete"
    assert set(stats["hashes"]) >= {"config.yaml", "poses.jsonl", "trajectory.tum"}
    assert stats["streams"]["capture"]["frames_captured"] == 12
    assert stats["streams"]["capture"]["results"] == 11
    assert stats["streams"]["capture"]["skips"] == 1


def test_the_webcam_graph_keeps_up_by_dropping_and_counts_what_it_drops(tmp_path: Path) -> None:
    done = posestream(
        "run", "synthetic", "--config", "webcam", "--set", "capture.pace=60", "--out", "out",
        "--set", "detector.workers=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    stream = stats["streams"]["capture"]
    assert stream["frames_captured"] == 60
    assert stream["results"] + stream["skips"] + stream["gaps"] == 60
    assert stream["gaps"] > 10
    assert stats["dropped"]["capture.frame>detector.frame"] == stream["gaps"]
    assert (tmp_path / "out" / "tracks.mp4").stat().st_size > 10_000


# ------------------------------------------------------------------ bad input


def make_inputs(folder: Path) -> None:
    """Make one input of each kind of trouble."""
    write_video(folder / "video.avi", 40, "MJPG")
    write_video(folder / "video.mp4", 40, "mp4v")
    (folder / "cut.avi").write_bytes((folder / "video.avi").read_bytes()[:200_000])
    (folder / "cut.mp4").write_bytes((folder / "video.mp4").read_bytes()[:60_000])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    (folder / "no_images").mkdir()
    write_images(folder / "images", view(0), view(1))
    (folder / "bad.yaml").write_text(
        "fx: 500\nfy: wide\ncx: 160\ncy: 120\nwidth: 320\nheight: 240\n"
    )
    (folder / "file").write_text("")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "vidoe.avi"], 3, "no such file: vidoe.avi. Did you mean 'video.avi'?"),
        (["run", "text.mp4"], 3, "text.mp4 is not a video that can be decoded"),
        (["run", "empty.mp4"], 3, "empty.mp4 is empty (0 bytes)"),
        (["run", "no_images"], 3, "no_images holds no image (0 other files; images are: bmp jpeg jpg pgm png pnm ppm tif tiff webp)"),
        (["run", "cut.mp4"], 3, "cut.mp4 is cut off: the index of the video (its moov box, usually at the end) is missing, so nothing can be decoded; copy or record the file again"),
        (["run", "camera:77"], 3, "camera 77 cannot be opened; cameras found: none"),
        (["run", "images", "--camera", "bad.yaml"], 3, "{inputs}/bad.yaml: fy must be a positive number, not 'wide'"),
        (["run", "images", "--camera", "none.yaml"], 3, "no such calibration file: none.yaml"),
        (["run", "images", "--out", "file/out"], 2, "cannot write the run folder file/out: Not a directory"),
        (["run", "two_streams", "--config", "pairs"], 2, "two_streams is a graph itself: --config pairs has no use for it"),
        (["run", "images", "--config", "vdieo"], 2, "unknown graph 'vdieo'. Did you mean 'video'? Allowed: demo, klt, klt_pairs, network_camera, pairs, panorama, superpoint, two_machines, two_streams, video, webcam, or a YAML file"),
        (["run", "images", "--placement", "threds"], 2, "--placement threds: unknown placement. Did you mean 'threads'? Allowed: threads, processes"),
        (["run", "images", "--set", "detector.params.algorithm=sfit"], 2, "--set detector.params.algorithm=sfit: unknown detector 'sfit'. Did you mean 'sift'? Allowed: sift, orb, superpoint, superpoint-small, aliked, xfeat"),
        (["run", "images", "--set", "detectr.workers=2"], 2, "--set detectr.workers=2: unknown node or key 'detectr'. Did you mean 'detector'? Allowed: capture, detector, matcher, calibrator, pose, odometry, recorder, visualiser, name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed"),
        (["check", "vide"], 2, "unknown graph 'vide'. Did you mean 'video'? Allowed: demo, klt, klt_pairs, network_camera, pairs, panorama, superpoint, two_machines, two_streams, video, webcam, or a YAML file"),
        (["check", "nothing.yaml"], 2, "nothing.yaml: no such file"),
        (["nodes", "detectr"], 2, "unknown node type 'detectr'. Did you mean 'detector'? Allowed: capture, detector, matcher, tracker, calibrator, pose, odometry, mosaic, recorder, visualiser"),
        (["evaluate", "no_images"], 3, "no_images is not a run folder: it holds no poses.jsonl"),
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'? (posestream --help lists the commands)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_the_cure(
    inputs: Path, arguments: list[str], code: int, message: str
) -> None:
    done = posestream(*arguments, cwd=inputs)
    assert last_line(done) == f"error: {message.format(inputs=inputs)}"
    assert done.returncode == code
    assert "Traceback" not in done.stderr


GROUPS = """\
nodes:
  cam:      {type: capture, params: {source: synthetic}}
  detector: {type: detector, inputs: {frame: cam.frame}}
place: {detector: gpu}
hosts: {main: "tcp://127.0.0.1:5700", gpu: "tcp://127.0.0.1:5720"}
"""


@pytest.mark.parametrize(
    ("graph", "group", "message"),
    [
        (GROUPS, "gpx", "--group gpx: unknown group. Did you mean 'gpu'? Allowed: gpu"),
        (GROUPS, "main", "--group main: that is the run itself: leave --group out"),
        (GROUPS[: GROUPS.index("hosts")], "gpu", "--group gpu: the graph has no hosts: all of it runs on one machine"),
    ],
)  # fmt: skip
def test_a_group_that_cannot_be_served_is_refused(
    tmp_path: Path, graph: str, group: str, message: str
) -> None:
    (tmp_path / "g.yaml").write_text(graph)
    done = posestream("run", "g.yaml", "--group", group, cwd=tmp_path)
    assert (last_line(done), done.returncode) == (f"error: {message}", 2)


def test_a_group_is_served_with_the_run_folder_and_its_exit_code_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(graph: Graph, group: str, out: Path, say: Callable[[str], None]) -> int:
        say(f"serving {group} of {graph.name} into {out}")
        return 6

    monkeypatch.setattr(remote, "serve", serve)
    (tmp_path / "g.yaml").write_text(GROUPS)
    command = ["run", str(tmp_path / "g.yaml"), "--group", "gpu", "--out", "out"]
    assert CliRunner().invoke(app, [*command, "--json"]).stdout == (
        '{"event": "note", "text": "serving gpu of g into out"}\n'
    )
    assert CliRunner().invoke(app, command).exit_code == 6


def test_an_input_for_a_graph_without_a_place_for_it_is_refused(inputs: Path) -> None:
    done = posestream("run", "images", "--config", "two_streams", cwd=inputs)
    assert done.returncode == 2
    assert last_line(done) == (
        "error: graph 'two_streams' has no node 'capture' to put an input in"
    )


def test_a_second_run_into_a_folder_leaves_nothing_of_the_first_but_foreign_files(
    inputs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    video = "visualiser.params.viewer=video"
    assert (
        posestream("run", "images", "--out", str(out), "--set", video, cwd=inputs).returncode == 0
    )
    (out / "notes.txt").write_text("mine")
    (out / "evaluation.json").write_text("{}")
    assert (out / "tracks.mp4").exists()
    assert posestream("run", "images", "--out", str(out), cwd=inputs).returncode == 0
    assert not (out / "tracks.mp4").exists()
    assert not (out / "evaluation.json").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_debug_shows_the_trace(inputs: Path) -> None:
    done = posestream("run", "text.mp4", "--debug", cwd=inputs)
    assert "Traceback" in done.stderr
    assert last_line(done) == "error: text.mp4 is not a video that can be decoded"


def test_a_graph_with_many_errors_gets_them_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "name: bad\n"
        "nodes:\n"
        "  capture:  {type: captrue}\n"
        "  detector: {type: detector, inputs: {frame: capture.frame}, worker: 2}\n"
        "  matcher:  {type: matcher, inputs: {features: detector.feature}}\n"
        "  pose:     {type: pose, inputs: {matches: detector.features}}\n"
        "  mosaic:   {type: mosaic, inputs: {frame: other.frame, pose: pose.pose}}\n"
        "  detector: {type: detector}\n"
    )
    done = posestream("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "bad.yaml:3: nodes.capture.type: unknown node type 'captrue'. Did you mean 'capture'? Allowed: capture, detector, matcher, tracker, calibrator, pose, odometry, mosaic, recorder, visualiser, module:Class",
        "bad.yaml:4: nodes.detector.worker: unknown key. Did you mean 'workers'? Allowed: type, params, inputs, join, batch, workers, pace",
        "bad.yaml:5: nodes.matcher.inputs.features: detector has no output 'feature'. Did you mean 'features'? Allowed: features",
        "bad.yaml:6: nodes.pose.inputs.matches: pose.matches takes Matches, but detector.features gives Features",
        "bad.yaml:7: nodes.mosaic.inputs.frame: unknown node 'other'. Did you mean 'matcher'? Allowed: capture, detector, matcher, pose, mosaic",
        "bad.yaml:8: nodes.detector: given twice, first in line 4",
        "error: 6 problems in the configuration",
    ]


def test_an_exact_join_of_a_sparse_output_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "configs" / "panorama.yaml").read_text()
    (tmp_path / "bad.yaml").write_text(text.replace("join: none, ", ""))
    done = posestream("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert last_line(done) == (
        "error: bad.yaml:9: nodes.recorder.inputs.mosaic: mosaic.mosaic is sparse: it has no answer "
        "for every message, so that join: exact would wait for ever. Write join: none"
    )


def test_wrong_links_are_named_with_both_ends(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "name: bad\n"
        "nodes:\n"
        "  capture:  {type: capture}\n"
        "  detector: {type: detector, inputs: {frame: capture.frame}}\n"
        "  matcher:  {type: matcher, inputs: {features: detector.features}}\n"
        "  pose:     {type: pose, inputs: {matches: detector.features}}\n"
        "  pose2:    {type: pose, inputs: {matches: matcher.matches}}\n"
        "  mosaic:   {type: mosaic, inputs: {frame: capture.frame, pose: pose2.pose}}\n"
    )
    done = posestream("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: bad.yaml:6: nodes.pose.inputs.matches: "
        "pose.matches takes Matches, but detector.features gives Features"
    ]


# ------------------------------------------------------------------ what input does to a run


def test_one_frame_is_a_valid_empty_result_with_a_warning(tmp_path: Path) -> None:
    write_images(tmp_path / "one", view(0))
    done = posestream("run", "one", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert f"warning: {tmp_path}/one gives one frame: there is no motion to see" in done.stderr
    assert rows(tmp_path / "out") == []


def test_a_truncated_avi_keeps_what_came_before_the_cut(inputs: Path, tmp_path: Path) -> None:
    done = posestream("run", "cut.avi", "--out", str(tmp_path), cwd=inputs)
    assert done.returncode == 3
    cut = r"cut.avi is cut off after 11 of 40 frames: 200000 of \d+ bytes are there"
    assert re.search(rf"^truncated \({inputs}/{cut}\): ", done.stderr, re.MULTILINE)
    assert len(rows(tmp_path)) > 5
    assert json.loads((tmp_path / "stats.json").read_text())["state"] == "truncated"


def test_blank_frames_are_rows_with_a_reason(tmp_path: Path) -> None:
    write_images(tmp_path / "blank", *[np.zeros((240, 320, 3), np.uint8)] * 4)
    assert posestream("run", "blank", "--out", "out", cwd=tmp_path).returncode == 0
    found = rows(tmp_path / "out")
    assert [row["T_cur_prev"] for row in found] == [None] * 3
    assert {row["reason"] for row in found} == {"too_few_matches: 0 < 8"}


def test_frames_that_change_size_are_a_declared_gap(tmp_path: Path) -> None:
    small = [view(index, 200, 150) for index in range(3, 6)]
    write_images(tmp_path / "sizes", view(0), view(1), view(2), *small)
    done = posestream("run", "sizes", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    found = rows(tmp_path / "out")
    assert [row["T_cur_prev"] is None for row in found] == [False, False, True, False, False]
    assert found[2]["reason"] == "size_changed: 320x240 -> 200x150"
    stats = json.loads((tmp_path / "out" / "stats.json").read_text())
    assert stats["streams"]["capture"]["gaps"] == 1


def test_an_unreadable_image_is_an_error_row_and_with_strict_exit_code_3(tmp_path: Path) -> None:
    write_images(tmp_path / "damaged", view(0), view(1), b"not an image", view(3))
    done = posestream("run", "damaged", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert "warning: capture: frames that could not be decoded: 1" in done.stderr
    found = rows(tmp_path / "out")
    assert [(row["seq_prev"], row["seq_cur"]) for row in found] == [(0, 1), (1, 2), (1, 3)]
    assert found[1]["reason"].startswith("unreadable: ")
    assert found[1]["T_cur_prev"] is None
    assert (
        json.loads((tmp_path / "out/stats.json").read_text())["streams"]["capture"]["errors"] == 1
    )
    strict = posestream("run", "damaged", "--strict", cwd=tmp_path)
    assert strict.returncode == 3
    assert last_line(strict) == "error: with --strict every frame must be decoded"


def test_camera_files_and_settings_reach_the_run(tmp_path: Path) -> None:
    write_images(tmp_path / "images", *[view(index) for index in range(4)])
    (tmp_path / "mine.yaml").write_text(
        "camera_model: pinhole\nwidth: 320\nheight: 240\nfx: 300\nfy: 300\ncx: 160\ncy: 120\n"
        "distortion_model: none\n"
    )
    done = posestream(
        "run", "images", "--camera", "mine.yaml", "--set", "pose.params.algorithm=magsac",
        "--set", "capture.params.step=2", "--placement", "processes", "--out", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "uncalibrated" not in done.stderr
    text = (tmp_path / "out" / "config.yaml").read_text()
    assert "algorithm: magsac" in text
    assert [(row["seq_prev"], row["seq_cur"]) for row in rows(tmp_path / "out")] == [(0, 2)]
