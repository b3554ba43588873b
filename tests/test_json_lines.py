"""`--json`: every line is an object with the fields that are documented, and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.graph import Graph
from pipeline.json_lines import EVENTS, emit
from pipeline.run_events import RunEvents
from pipeline.stats import NodeStats

ROOT = Path(__file__).parent.parent
BROKEN = """\
from collections.abc import Iterator
from nodes.messages import Frame
from pipeline.node import Node
class Breaks(Node):
    def process(self, frame: Frame) -> Iterator[None]:
        if frame.seq == 2:
            raise RuntimeError("no more")
        yield from ()
"""


def start(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(cwd), str(ROOT), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments, "--json"],
        cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def events(text: str) -> list[dict[str, Any]]:
    """Return the events of a text, after a look at the fields of each."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        known, given = set(EVENTS[event["event"]]), set(event) - {"event"}
        optional = {"params", "plugins"} if event["event"] == "node_type" else set()
        if known != {"..."}:
            assert given <= known and known - given <= optional, event["event"]
    return found


def names(found: Sequence[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in found]


# ---------------------------------------------------------------- run


def test_a_run_is_told_from_its_input_to_its_balances(tmp_path: Path) -> None:
    small = ["capture.params.options.frames=8", "capture.params.options.width=160"]
    sets = [word for each in small for word in ("--set", each)]
    done = start("run", "synthetic", "--config", "klt_pairs", *sets, "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = events(done.stdout)
    assert names(found)[:2] == ["recognised", "started"]
    assert found[0] == {
        "event": "recognised", "input": "synthetic", "kind": "synthetic scene with exact poses",
    }  # fmt: skip
    assert found[1]["nodes"]["recorder"] == "recorder"
    result = found[-1]
    assert (result["event"], result["state"], result["exit_code"]) == ("result", "complete", 0)
    assert (result["folder"], result["failure"]) == ("out", None)
    assert result["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    (balance,) = [b for b in result["balances"] if b["sink"] == "recorder.pose"]
    assert balance == {
        "stream": "capture", "sink": "recorder.pose", "frames": 8, "results": 7, "skips": 1,
        "errors": 0, "gaps": 0, "unfinished": 0,
    }  # fmt: skip


def test_a_failure_names_node_stream_and_frame(tmp_path: Path) -> None:
    (tmp_path / "breaking.py").write_text(BROKEN)
    (tmp_path / "g.yaml").write_text(
        "nodes:\n"
        "  cam: {type: capture, params: {source: synthetic, options: {width: 160, height: 120}}}\n"
        "  bad: {type: 'breaking:Breaks', inputs: {frame: cam.frame}}\n"
    )
    done = start("run", "g.yaml", "--out", "out", cwd=tmp_path)
    result = events(done.stdout)[-1]
    assert (done.returncode, result["exit_code"], result["state"]) == (6, 6, "failed")
    assert result["failure"] == (
        "node 'bad' failed at stream 'cam', frame 2: RuntimeError: no more"
    )
    assert done.stderr == f"error: {result['failure']}\n"


def test_a_run_that_nobody_reads_goes_on_to_its_end(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "run", "synthetic", "--config", "klt_pairs"]
    command += ["--set", "capture.params.options.frames=8", "--out", "out", "--json"]
    path = os.pathsep.join([str(ROOT), *sys.path])
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:  # fmt: skip
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["state"] == "complete"


class Told:
    """The nodes of a run, as the engine shows them from time to time."""

    def __init__(self) -> None:
        self.nodes = {"cam": NodeStats()}
        self.events = RunEvents(Graph("g", {}, ()))

    def at(self, seconds: float, state: str = "", *warnings: str) -> None:
        self.nodes["cam"].state = state
        self.nodes["cam"].warnings.extend(warnings)
        self.nodes["cam"].gauges["inliers"] = float("nan")
        self.events.update(self.nodes, seconds)


def test_states_and_warnings_come_once_and_numbers_each_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = Told()
    told.at(0.2)
    told.at(0.4, "signal lost", "the cable is loose")
    told.at(0.6, "signal lost")
    told.at(1.05, "", "the cable is loose")
    told.at(1.9)
    told.at(2.0)
    found = events(capsys.readouterr().out)
    assert found[:3] == [
        {"event": "state", "node": "cam", "state": "signal lost"},
        {"event": "warning", "text": "the cable is loose"},
        {"event": "state", "node": "cam", "state": ""},
    ]
    assert [(e["event"], e["seconds"]) for e in found[3:]] == [("status", 1.05), ("status", 2.0)]
    assert found[-1]["reported"] == {"inliers": None}  # NaN is no JSON
    assert (found[-1]["latency_ms"], found[-1]["expected"]) == (None, None)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "code", "problems"),
    [
        (["run", "vidoe.avi"], 3, ["no such file: vidoe.avi"]),
        (["rnu"], 2, ["No such command 'rnu'. Did you mean 'run'? (posestream --help lists the commands)"]),
        (["evaluate", "nothing"], 3, ["no such run folder: nothing"]),
        (["check", "g.yaml"], 2, [
            "g.yaml:1: nodes.cam.type: unknown node type 'captur'. Did you mean 'capture'? Allowed: capture, detector, matcher, tracker, calibrator, pose, odometry, mosaic, recorder, visualiser, module:Class",
            "g.yaml:2: sed: unknown key. Did you mean 'seed'? Allowed: name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed",
        ]),
    ],
)  # fmt: skip
def test_an_error_is_an_event_with_all_problems_and_a_line_for_people(
    arguments: list[str], code: int, problems: list[str], tmp_path: Path
) -> None:
    (tmp_path / "g.yaml").write_text("nodes: {cam: {type: captur}}\nsed: 3\n")
    done = start(*arguments, cwd=tmp_path)
    assert events(done.stdout) == [{"event": "error", "exit_code": code, "problems": problems}]
    assert done.returncode == code
    last = problems[0] if len(problems) == 1 else "2 problems in the configuration"
    assert done.stderr.splitlines()[-1] == f"error: {last}"


# ---------------------------------------------------------------- other commands


def test_check_graph_and_nodes_tell_what_they_know(tmp_path: Path) -> None:
    (checked,) = events(start("check", "klt_pairs", cwd=tmp_path).stdout)
    assert checked == {
        "event": "checked", "graph": "klt_pairs", "name": "klt_pairs", "nodes": 5, "links": 5,
    }  # fmt: skip
    drawn = events(start("graph", "klt_pairs", cwd=tmp_path).stdout)
    assert names(drawn) == ["node"] * 5 + ["link"] * 5
    assert drawn[5] == {
        "event": "link", "from": "capture.frame", "to": "tracker.frame", "policy": "lossless",
        "window": 4, "streams": ["capture"],
    }  # fmt: skip
    (pose,) = events(start("nodes", "pose", cwd=tmp_path).stdout)
    assert pose["inputs"] == [{"name": "matches", "message": "Matches", "optional": False}]
    assert pose["params"]["properties"]["algorithm"]["enum"] == ["poselib", "magsac"]
    assert "threshold_px" in pose["plugins"]["estimator.magsac"]["properties"]


def test_all_node_types_and_weights_are_a_line_each(tmp_path: Path) -> None:
    types = events(start("nodes", cwd=tmp_path).stdout)
    assert set(names(types)) == {"node_type"}
    assert [event["name"] for event in types][:3] == ["capture", "detector", "matcher"]
    weights = events(start("weights", "list", cwd=tmp_path).stdout)
    assert set(names(weights)) == {"weights"}
    assert weights[0]["state"] == "shipped"


def test_an_event_holds_only_what_json_has(capsys: pytest.CaptureFixture[str]) -> None:
    emit("note", text=Path("a") / "b", inner={1: (float("inf"), 2.5)})
    assert json.loads(capsys.readouterr().out) == {
        "event": "note", "text": "a/b", "inner": {"1": [None, 2.5]},
    }  # fmt: skip
