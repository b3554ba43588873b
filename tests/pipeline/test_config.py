"""A configuration becomes a graph, or one line for each thing that is wrong with it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graph_nodes
import pytest
from graph_nodes import Camera, Colour, FileReader, Finder, Grid, LiveReader
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.config import plugins
from pipeline.config.strict_yaml import MAX_BYTES, write_yaml
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.graph import Batch, Graph, InputRef, JoinRule, Policy

SMALL = "nodes: {left: {type: camera}}"

GRAPH = """\
name: cameras
nodes:
  left:  {type: camera, params: {options: {path: left.mp4}}}
  right: {type: camera, params: {reader: live, options: {device: 1}}}
  find:
    type: finder
    inputs: {frame: [left.frame, right.frame]}
    batch: {size: 4, wait_ms: 5}
    params: {threshold: 1e-4}
  match: {type: matcher, inputs: {points: find.points}}
  view:
    type: view
    join: latest
    inputs:
      frame: [left.frame, {from: right.frame, policy: lossless}]
      pairs: match.pairs
limits: {hang_s: 5}
place: {view: window}
seed: 3
"""


class Installed:
    """Stands for the entry point of an installed package."""

    value = "graph_nodes:NODES"

    def load(self) -> Any:
        return graph_nodes.NODES


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "entry_points", lambda group: [Installed()])
        yield


def load(text: str, *sets: str, placement: str | None = None) -> Graph:
    return config.load_text(text, "g.yaml", sets, placement=placement)


def problems(text: str, *sets: str, placement: str | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, *sets, placement=placement)
    return caught.value.problems


# ------------------------------------------------------------------ what a graph holds


def test_a_configuration_becomes_the_graph_that_it_describes() -> None:
    graph = load(GRAPH)
    assert (graph.name, graph.hang_s, graph.seed, graph.carrier) == ("cameras", 5.0, 3, "shm")
    assert graph.place == {"view": "window"}
    assert list(graph.nodes) == ["left", "right", "find", "match", "view"]
    find, view = graph.nodes["find"], graph.nodes["view"]
    assert (find.type, find.node_class) == ("finder", Finder)
    assert find.params == Finder.Params(threshold=1e-4)
    assert (find.batch, find.workers, find.join) == (Batch(4, 5.0), 1, JoinRule.EXACT)
    assert view.join is JoinRule.LATEST
    assert view.inputs == {
        "frame": (
            InputRef("left", "frame", Policy.LOSSLESS),
            InputRef("right", "frame", Policy.LOSSLESS),
        ),
        "pairs": (InputRef("match", "pairs", Policy.LOSSLESS),),
    }


def test_options_are_those_of_the_plugin_that_is_named() -> None:
    graph = load(GRAPH)
    assert graph.nodes["left"].params == Camera.Params("file", FileReader.Options("left.mp4"))
    assert graph.nodes["right"].params == Camera.Params("live", LiveReader.Options(1))


def test_options_that_are_absent_or_null_are_the_defaults() -> None:
    for text in ("{}", "{options: }", "{options: {}}", ""):
        graph = load(f"nodes: {{left: {{type: camera, params: {text}}}}}")
        assert graph.nodes["left"].params == Camera.Params("file", FileReader.Options())


def test_null_where_a_plugin_is_named_is_the_null_plugin() -> None:
    for text in ("null", "'null'"):
        params = load(SMALL, f"left.params.reader={text}").nodes["left"].params
        assert params.reader == "null"


def test_every_type_of_setting_is_taken_from_yaml() -> None:
    text = """
nodes:
  left: {type: camera}
  find:
    type: finder
    inputs: {frame: left.frame}
    params:
      threshold: 2
      limit: 5
      mode: good
      colour: blue
      mask: mask.png
      folder: some/where
      label: 'yes'
      grid: {rows: 9, cells: [4, 5]}
      grids: [{rows: 1}, {}]
      sizes: [1, 2.5]
      weights: {a: 1}
"""
    params = load(text).nodes["find"].params
    assert params == Finder.Params(
        threshold=2.0, limit=5, mode="good", colour=Colour.BLUE, mask="mask.png",
        folder=Path("some/where"), label="yes", grid=Grid(9, (4, 5)), grids=(Grid(1), Grid()),
        sizes=(1.0, 2.5), weights={"a": 1.0},
    )  # fmt: skip
    assert type(params.threshold) is float
    assert type(params.mask) is str


def test_a_node_type_may_be_any_class_that_can_be_imported() -> None:
    graph = load("nodes: {a: {type: 'graph_nodes:Camera'}}")
    assert graph.nodes["a"].node_class is Camera
    assert graph.nodes["a"].type == "graph_nodes:Camera"


def test_keys_that_nothing_follows_have_their_defaults() -> None:
    graph = load("nodes: {left: {type: camera, params: , inputs: , pace: }}\nlimits:\nplace:\n")
    assert graph.hang_s == 30.0
    assert graph.nodes["left"].pace == "fastest"


def test_nodes_are_in_the_order_of_the_data_and_else_of_the_file() -> None:
    text = """
nodes:
  view: {type: view, inputs: {frame: b.frame}}
  b: {type: camera}
  find: {type: finder, inputs: {frame: a.frame}}
  a: {type: camera}
"""
    assert list(load(text).nodes) == ["b", "view", "a", "find"]


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("runs/two cameras.yaml", "two_cameras"), ("x.y.yaml", "x.y"), ("-.yaml", "graph")],
)
def test_a_graph_without_a_name_is_named_after_its_file(file_name: str, name: str) -> None:
    assert config.load_text(SMALL, file_name).name == name


@pytest.mark.parametrize(
    ("pace", "reader", "policy"),
    [
        ("fastest", "file", Policy.LOSSLESS),
        ("recorded", "file", Policy.LATEST),
        ("12.5", "file", Policy.LATEST),
        ("fastest", "live", Policy.LATEST),
    ],
)
def test_links_from_a_source_with_a_pace_of_its_own_keep_the_newest(
    pace: str, reader: str, policy: Policy
) -> None:
    text = """
nodes:
  left: {type: camera}
  find: {type: finder, inputs: {frame: left.frame}}
  match: {type: matcher, inputs: {points: find.points}}
"""
    graph = load(text, f"left.pace={pace}", f"left.params.reader={reader}")
    assert [edge.policy for edge in graph.edges] == [policy, Policy.LOSSLESS]


# ------------------------------------------------------------------ --set and --placement


def test_set_changes_nodes_by_name_and_keys_of_the_top_level() -> None:
    graph = load(
        GRAPH, "find.params.threshold=0.5", "find.workers=2", "seed=7", "limits.hang_s=9",
        "left.params.options.step=3", "nodes.left.pace=30", "place={find: gpu}",
        "view.inputs.points=find.points", "find.params.sizes=[3, 4]", "seed=8",
    )  # fmt: skip
    assert graph.nodes["find"].params == Finder.Params(threshold=0.5, sizes=(3.0, 4.0))
    assert (graph.nodes["find"].workers, graph.seed, graph.hang_s) == (2, 8, 9.0)
    assert graph.nodes["left"].params.options == FileReader.Options("left.mp4", 3)
    assert graph.nodes["left"].pace == 30.0
    assert graph.place == {"find": "gpu"}
    assert list(graph.nodes["view"].inputs) == ["frame", "pairs", "points"]


def test_set_makes_the_mappings_that_are_missing() -> None:
    graph = load(SMALL, "left.params.options.step=3", "limits.hang_s=1")
    assert (graph.nodes["left"].params.options.step, graph.hang_s) == (3, 1.0)


def test_set_takes_the_place_of_a_value_with_its_problems() -> None:
    text = "nodes: {left: {type: camera, params: {options: {setp: 3}}}}"
    assert load(text, "left.params.options={step: 3}").nodes["left"].params.options.step == 3


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("find.params.treshold=1", "--set find.params.treshold=1: unknown key. Did you mean "
         "'threshold'? Allowed: threshold, limit, mode, colour, mask, folder, upright, label, "
         "grid, grids, sizes, weights, day"),
        ("fnd.workers=2", "--set fnd.workers=2: unknown node or key 'fnd'. Did you mean 'find'? "
         "Allowed: left, right, find, match, view, name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed"),
        ("find.paramz.threshold=1", "--set find.paramz.threshold=1: unknown key. Did you mean "
         "'params'? Allowed: type, params, inputs, join, batch, workers, pace"),
        ("limits.hang=1",
         "--set limits.hang=1: unknown key. Did you mean 'hang_s'? Allowed: hang_s"),
        ("find.params.threshold=-1", "--set find.params.threshold=-1: must be above 0, not -1"),
        ("find.params.limit=010", "--set find.params.limit=010: "
         "010 has a leading zero: write 10, or '010' for a text"),
        ("find.params.limit=ten",
         "--set find.params.limit=ten: must be a whole number, not 'ten'"),
        ("find.params.upright=yes",
         "--set find.params.upright=yes: must be true or false, not 'yes': write true"),
        ("find.params.grid={rows: x}", "--set find.params.grid={rows: x}: "
         "nodes.find.params.grid.rows: must be a whole number, not 'x'"),
        ("find.params.sizes=[1", "--set find.params.sizes=[1: not valid YAML: expected ',' or "
         "']', but got '<stream end>' (while parsing a flow sequence, begun in line 1)"),
        ("view.inputs.frame.policy=latest", "--set view.inputs.frame.policy=latest: "
         "nodes.view.inputs.frame is a list, which has no key 'policy'"),
        ("find", "--set find: "
         "write it as node.key=value, such as detector.params.algorithm=sift"),
        ("find..x=1", "--set find..x=1: "
         "write it as node.key=value, such as detector.params.algorithm=sift"),
        ("match.inputs.points=left.frame", "--set match.inputs.points=left.frame: "
         "match.points takes Points, but left.frame gives Frame"),
        ("match.inputs.points=match.pairs&" + "x" * 80,
         "--set match.inputs.points=match.pairs&xxxxxxxxxxxxxxxxxxxxxxxxx...: "
         f"match has no output 'pairs&{'x' * 80}'. Allowed: pairs"),
    ],
)  # fmt: skip
def test_a_problem_with_a_set_value_names_the_option(option: str, problem: str) -> None:
    assert problem in problems(GRAPH, option)


def test_placement_puts_all_nodes_into_this_process_or_each_into_its_own() -> None:
    assert load(GRAPH).place == {"view": "window"}
    assert load(GRAPH, placement="threads").place == {}
    names = ["left", "right", "find", "match", "view"]
    assert load(GRAPH, placement="processes").place == {name: name for name in names}


def test_an_unknown_placement_is_refused() -> None:
    assert problems(GRAPH, placement="thread") == (
        "--placement thread: unknown placement. Did you mean 'threads'? "
        "Allowed: threads, processes",
    )


# ------------------------------------------------------------------ what is refused


def entry(text: str) -> str:
    """Return a graph whose fourth line is an entry of `nodes`."""
    left, mark = "left: {type: camera}", "mark: {type: marker, inputs: {frame: left.frame}}"
    return f"nodes:\n  {left}\n  {mark}\n  {text}\n"


FINDER = "find: {type: finder, inputs: {frame: left.frame}, "
NODE_KEYS = "Allowed: type, params, inputs, join, batch, workers, pace"
FORMS = "must be node.output, a list of such, or {from: ..., policy: ...}"
CANNOT = "cannot be used"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # names and keys
        ("left: {type: camera}", "nodes.left: given twice, first in line 2"),
        ("Find: {type: camera}", "nodes.Find: the name of a node must be "
         "at most 40 of a-z, 0-9 and _, beginning with a letter"),
        ("find: 5", "nodes.find: must be a mapping, not 5"),
        ("find: {}", "nodes.find.type: is missing"),
        ("find: {type: 5}", "nodes.find.type: must be a text, not 5: write '5', with the quotes"),
        ("find: {type: camera, workrs: 1}",
         f"nodes.find.workrs: unknown key. Did you mean 'workers'? {NODE_KEYS}"),
        # types
        ("find: {type: fidner}", "nodes.find.type: unknown node type 'fidner'. Did you mean "
         "'finder'? Allowed: camera, finder, matcher, marker, reader, view, blend, writer, "
         "module:Class"),
        ("find: {type: 'absent_module:Find'}", "nodes.find.type: 'absent_module:Find' cannot be "
         "imported: ModuleNotFoundError: No module named 'absent_module'. "
         "Is its folder in PYTHONPATH?"),
        ("find: {type: 'graph_nodes:Find'}", "nodes.find.type: 'graph_nodes:Find' cannot be "
         "imported: AttributeError: module 'graph_nodes' has no attribute 'Find'"),
        ("find: {type: 'graph_nodes:Plain'}",
         "nodes.find.type: 'graph_nodes:Plain' is no subclass of pipeline.node.Node"),
        ("find: {type: 'graph_nodes:heavy'}",
         "nodes.find.type: 'graph_nodes:heavy' is no subclass of pipeline.node.Node"),
        ("find: {type: 'graph_nodes:TwoOutputs'}", "nodes.find.type: 'graph_nodes:TwoOutputs' "
         f"{CANNOT}: a source has one output, not 2"),
        ("find: {type: 'graph_nodes:SameOutputs'}", "nodes.find.type: 'graph_nodes:SameOutputs' "
         f"{CANNOT}: two of its outputs give the same message type"),
        ("find: {type: 'graph_nodes:NoMessage'}", "nodes.find.type: 'graph_nodes:NoMessage' "
         f"{CANNOT}: NoMessage.process: annotate 'number' with one message type"),
        ("find: {type: 'graph_nodes:NoProcess'}",
         f"nodes.find.type: 'graph_nodes:NoProcess' {CANNOT}: its process takes no message"),
        ("find: {type: 'graph_nodes:NoDataclass'}",
         f"nodes.find.type: 'graph_nodes:NoDataclass' {CANNOT}: its Params are no dataclass"),
        ("find: {type: 'graph_nodes:Uncheckable', inputs: {frame: left.frame}}",
         "nodes.find.params: Uncheckable.Params cannot be checked: Unable to generate "
         "pydantic-core schema for <class 'pipeline.node.Node'>"),
        # engine keys
        (FINDER + "workers: 0}", "nodes.find.workers: must be 1 to 256, not 0"),
        (FINDER + "workers: 1.5}", "nodes.find.workers: must be a whole number, not 1.5"),
        (FINDER + "batch: {size: 0}}", "nodes.find.batch.size: must be 1 to 1024, not 0"),
        (FINDER + "batch: {wait_ms: -1}}", "nodes.find.batch.wait_ms: must be 0 or more, not -1"),
        (FINDER + "batch: {sise: 2}}",
         "nodes.find.batch.sise: unknown key. Did you mean 'size'? Allowed: size, wait_ms"),
        (FINDER + "batch: 4}", "nodes.find.batch: must be a mapping, not 4"),
        (FINDER + "join: exct}", "nodes.find.join: unknown value 'exct'. Did you mean 'exact'? "
         "Allowed: exact, latest, none"),
        (FINDER + "join: no}", "nodes.find.join: unknown value 'no'. Did you mean 'none'? "
         "Allowed: exact, latest, none"),
        (FINDER + "pace: 30}", "nodes.find.pace: only a source has a pace, not Finder"),
        ("find: {type: camera, pace: 0}", "nodes.find.pace: must be above 0 Hz, not 0"),
        ("find: {type: camera, pace: record}", "nodes.find.pace: must be 'fastest', 'recorded' "
         "or a number, not 'record'. Did you mean 'recorded'?"),
        ("find: {type: camera, pace: [1]}",
         "nodes.find.pace: must be 'fastest', 'recorded' or a number, not a list"),
        # params
        (FINDER + "params: 5}", "nodes.find.params: must be a mapping, not 5"),
        (FINDER + "params: {threshold: true}}",
         "nodes.find.params.threshold: must be a number, not true"),
        (FINDER + "params: {threshold: 1_0}}",
         "nodes.find.params.threshold: must be a number, not '1_0'"),
        (FINDER + "params: {threshold: 0}}", "nodes.find.params.threshold: must be above 0, not 0"),
        (FINDER + "params: {threshold: .nan}}", "nodes.find.params.threshold: "
         ".nan is not a finite number: write '.nan' for a text"),
        (FINDER + "params: {upright: on}}",
         "nodes.find.params.upright: must be true or false, not 'on': write true"),
        (FINDER + "params: {upright: False}}",
         "nodes.find.params.upright: must be true or false, not 'False': write false"),
        (FINDER + "params: {upright: 1}}",
         "nodes.find.params.upright: must be true or false, not 1"),
        (FINDER + "params: {mode: good, upright: true}}",
         "nodes.find.params.upright: upright points cannot be good"),
        (FINDER + "params: {label: none}}", "nodes.find.params: a label is needed"),
        (FINDER + "params: {mode: fats}}", "nodes.find.params.mode: unknown value 'fats'. "
         "Did you mean 'fast'? Allowed: fast, good"),
        (FINDER + "params: {colour: green}}",
         "nodes.find.params.colour: unknown value 'green'. Allowed: red, blue"),
        (FINDER + "params: {label: 1.50}}",
         "nodes.find.params.label: must be a text, not 1.5: write '1.5', with the quotes"),
        (FINDER + "params: {label: }}", "nodes.find.params.label: must be a text, not null"),
        (FINDER + "params: {mask: 5}}",
         "nodes.find.params.mask: must be a text, not 5: write '5', with the quotes"),
        (FINDER + "params: {grid: {row: 5}}}", "nodes.find.params.grid.row: unknown key. "
         "Did you mean 'rows'? Allowed: rows, cells"),
        (FINDER + "params: {grids: [{}, {row: 5}]}}", "nodes.find.params.grids[1].row: "
         "unknown key. Did you mean 'rows'? Allowed: rows, cells"),
        (FINDER + "params: {grid: {cells: [5]}}}",
         "nodes.find.params.grid.cells: has too few entries"),
        (FINDER + "params: {grid: {cells: [5, 6, 7]}}}",
         "nodes.find.params.grid.cells: must have 2 entries, not 3"),
        (FINDER + "params: {sizes: 5}}", "nodes.find.params.sizes: must be a list, not 5"),
        (FINDER + "params: {sizes: [5, x]}}",
         "nodes.find.params.sizes[1]: must be a number, not 'x'"),
        (FINDER + "params: {day: 2026-02-31}}", "nodes.find.params.day: Input should be a valid "
         "date in the format YYYY-MM-DD, day value is outside expected range"),
        (FINDER + "params: {weights: {a: {}}}}",
         "nodes.find.params.weights.a: must be a number, not a mapping"),
        ("find: {type: matcher, inputs: {points: x.points}, params: {a: 1}}",
         "nodes.find.params.a: unknown key: there is nothing to set here"),
        # plug-ins
        ("find: {type: camera, params: {reader: fiel}}", "nodes.find.params.reader: "
         "unknown reader 'fiel'. Did you mean 'file'? Allowed: file, live, null, heavy, broken"),
        ("find: {type: camera, params: {reader: 5}}",
         "nodes.find.params.reader: must be a text, not 5: write '5', with the quotes"),
        ("find: {type: camera, params: {reader: broken}}", "nodes.find.params.reader: 'broken' "
         "cannot be imported: AttributeError: module 'graph_nodes' has no attribute 'Absent'"),
        ("find: {type: camera, params: {options: 5}}",
         "nodes.find.params.options: must be a mapping, not 5"),
        ("find: {type: camera, params: {options: {setp: 5}}}", "nodes.find.params.options.setp: "
         "unknown key. Did you mean 'step'? Allowed: path, step"),
        ("find: {type: camera, params: {options: {step: 0}}}",
         "nodes.find.params.options.step: must be 1 or more, not 0"),
        ("find: {type: camera, params: {reader: live, options: {step: 5}}}",
         "nodes.find.params.options.step: unknown key. Allowed: device"),
        ("find: {type: camera, params: {reader: 'null', options: {step: 5}}}",
         "nodes.find.params.options.step: unknown key: there is nothing to set here"),
        ("find: {type: writer, inputs: {points: x.y}, params: {readers: [file, liev]}}",
         "nodes.find.params.readers: unknown reader 'liev'. Did you mean 'live'? "
         "Allowed: file, live, null, heavy, broken"),
        ("find: {type: 'graph_nodes:Needy', inputs: {frame: left.frame}}",
         "nodes.find.params.rate: is missing"),
        ("find: {type: 'graph_nodes:Needy', inputs: {frame: left.frame}, "
         "params: {rate: 2, options: {step: 3}}}",
         "nodes.find.params.rate: must be at least the step, not 2"),
        # the form of inputs
        ("find: {type: finder, inputs: left.frame}",
         "nodes.find.inputs: must map inputs to outputs, not be 'left.frame'"),
        ("find: {type: finder, inputs: {frame: left}}", "nodes.find.inputs.frame: "
         "must be node.output, not 'left'. Did you mean 'left.frame'?"),
        ("find: {type: finder, inputs: {frame: rihgt}}",
         "nodes.find.inputs.frame: must be node.output, not 'rihgt'"),
        ("find: {type: finder, inputs: {frame: a.b.c}}",
         "nodes.find.inputs.frame: must be node.output, not 'a.b.c'"),
        ("find: {type: finder, inputs: {frame: 5}}",
         f"nodes.find.inputs.frame: {FORMS}, not 5"),
        ("find: {type: finder, inputs: {frame: }}",
         f"nodes.find.inputs.frame: {FORMS}, not null"),
        ("find: {type: finder, inputs: {frame: []}}", "nodes.find.inputs.frame: names no output"),
        ("find: {type: finder, inputs: {frame: [[left.frame]]}}",
         f"nodes.find.inputs.frame[0]: {FORMS}, not a list"),
        ("find: {type: finder, inputs: {frame: {policy: latest}}}",
         "nodes.find.inputs.frame.from: is missing"),
        ("find: {type: finder, inputs: {frame: {form: left.frame}}}",
         "nodes.find.inputs.frame.form: unknown key. Did you mean 'from'? Allowed: from, policy"),
        ("find: {type: finder, inputs: {frame: {from: left.frame, policy: latst}}}",
         "nodes.find.inputs.frame.policy: unknown value 'latst'. Did you mean 'latest'? "
         "Allowed: lossless, latest"),
        ("find: {type: finder, inputs: {frame: {from: [left.frame, left]}}}",
         "nodes.find.inputs.frame.from[1]: must be node.output, not 'left'. "
         "Did you mean 'left.frame'?"),
        # links
        ("find: {type: finder, inputs: {frame: lfet.frame}}", "nodes.find.inputs.frame: "
         "unknown node 'lfet'. Did you mean 'left'? Allowed: left, mark, find"),
        ("find: {type: finder, inputs: {frame: left.frmae}}", "nodes.find.inputs.frame: "
         "left has no output 'frmae'. Did you mean 'frame'? Allowed: frame"),
        ("find: {type: finder, inputs: {frame: [{from: left.frame}, {from: mark.note}]}}",
         "nodes.find.inputs.frame[1].from: find.frame takes Frame, but mark.note gives Note"),
        ("find: {type: finder, inputs: {frame: [left.frame, left.frame]}}",
         "nodes.find.inputs.frame[1]: takes left.frame twice"),
        ("find: {type: finder, inputs: {frame: [left.frame, w.x]}}\n"
         "  w: {type: writer, inputs: {note: mark.note}}",
         "nodes.find.inputs.frame[1]: w has no outputs"),
        ("find: {type: finder, inputs: {frmae: left.frame}}", "nodes.find.inputs.frmae: "
         "Finder has no input 'frmae'. Did you mean 'frame'? Allowed: frame"),
        ("find: {type: finder}", "nodes.find.inputs.frame: is missing: Finder needs Frame"),
        ("find: {type: writer}", "nodes.find: "
         "Writer has no inputs and is no source. Allowed: points, pairs, note"),
        ("find: {type: camera, inputs: {frame: left.frame}}",
         "nodes.find.inputs: Camera is a source: it has no inputs"),
        ("find: {type: matcher, workers: 2, inputs: {points: x.points}}",
         "nodes.find.workers: must be 1, not 2: Matcher is not stateless, "
         "so that its calls must follow one another"),
        ("find: {type: camera, batch: {size: 2}}",
         "nodes.find.batch.size: must be 1, not 2: Camera is a source"),
        ("find: {type: blend, batch: {size: 2}, inputs: {frame: left.frame}}",
         "nodes.find.batch.size: must be 1, not 2: Blend has several inputs"),
        ("find: {type: 'graph_nodes:Relay', inputs: {frame: find.frame}}",
         "nodes.find.inputs.frame: the links form a cycle: find -> find"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_key_and_cure(text: str, problem: str) -> None:
    assert f"g.yaml:4: {problem}" in problems(entry(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "g.yaml:1: must be a mapping with the key 'nodes', but is empty"),
        ("# nothing", "g.yaml:1: must be a mapping with the key 'nodes', but is empty"),
        ("- a", "g.yaml:1: must be a mapping with the key 'nodes', but is a list"),
        ("seed: 1", "g.yaml:1: nodes: is missing: a graph needs nodes"),
        ("nodes:", "g.yaml:1: nodes: is missing: a graph needs nodes"),
        ("nodes: {}", "g.yaml:1: nodes: is empty: a graph needs nodes"),
        ("nodes: [a]", "g.yaml:1: nodes: must be a mapping, not a list"),
        (f"{SMALL}\nlinks: {{}}", "g.yaml:2: links: unknown key. "
         "Allowed: name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed"),
        (f"{SMALL}\nsede: 1", "g.yaml:2: sede: unknown key. Did you mean 'seed'? "
         "Allowed: name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed"),
        (f"{SMALL}\nseed: -1", "g.yaml:2: seed: must be 0 to 9223372036854775807, not -1"),
        (f"{SMALL}\nseed: '1'", "g.yaml:2: seed: must be a whole number, not '1'"),
        (f"{SMALL}\nname: a/b", "g.yaml:2: name: must be at most 80 letters, digits and _ . -, "
         "the first a letter or digit, not 'a/b'"),
        (f"{SMALL}\ncarrier: udp", "g.yaml:2: carrier: unknown value 'udp'. Allowed: shm, ipc, tcp"),
        (f"{SMALL}\nlimits: {{hang_s: 0}}", "g.yaml:2: limits.hang_s: must be above 0 s, not 0"),
        (f"{SMALL}\nplace: {{lfet: gpu}}",
         "g.yaml:2: place.lfet: unknown node 'lfet'. Did you mean 'left'? Allowed: left"),
        (f"{SMALL}\nplace: {{left: 'the gpu'}}", "g.yaml:2: place.left: the name of a group must "
         "be at most 40 of a-z, 0-9 and _, beginning with a letter, not 'the gpu'"),
        (f"{SMALL}\nplace: {{left: 5}}",
         "g.yaml:2: place.left: must be a text, not 5: write '5', with the quotes"),
        ("nodes: {find: {type: finder, inputs: {frame: find.points}}}",
         "g.yaml:1: nodes: no node is a source, so that nothing would ever happen"),
    ],
)  # fmt: skip
def test_what_is_wrong_at_the_top_is_said_too(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_all_problems_come_at_once_in_the_order_of_the_file_and_then_of_the_options() -> None:
    text = """\
nodes:
  left: {type: camera, params: {options: {step: 0, paht: x}}, workers: 0, pace: fast}
  find: {type: finder, inputs: {frame: letf.frame}, params: {threshold: -1, limit: x, mode: 5}}
  find: {type: finder}
limits: {hang_s: 0, hang: 1}
seed: 010
"""
    assert problems(text, "carrier=udp", "find.params.upright=on") == (
        "g.yaml:2: nodes.left.pace: must be 'fastest', 'recorded' or a number, not 'fast'. "
        "Did you mean 'fastest'?",
        "g.yaml:2: nodes.left.workers: must be 1 to 256, not 0",
        "g.yaml:2: nodes.left.params.options.paht: unknown key. Did you mean 'path'? "
        "Allowed: path, step",
        "g.yaml:2: nodes.left.params.options.step: must be 1 or more, not 0",
        "g.yaml:3: nodes.find.inputs.frame: unknown node 'letf'. Did you mean 'left'? "
        "Allowed: left, find",
        "g.yaml:3: nodes.find.params.limit: must be a whole number, not 'x'",
        "g.yaml:3: nodes.find.params.mode: unknown value 5. Allowed: fast, good",
        "g.yaml:3: nodes.find.params.threshold: must be above 0, not -1",
        "g.yaml:4: nodes.find: given twice, first in line 3",
        "g.yaml:5: limits.hang: unknown key. Did you mean 'hang_s'? Allowed: hang_s",
        "g.yaml:5: limits.hang_s: must be above 0 s, not 0",
        "g.yaml:6: seed: 010 has a leading zero: write 10, or '010' for a text",
        "--set carrier=udp: unknown value 'udp'. Allowed: shm, ipc, tcp",
        "--set find.params.upright=on: must be true or false, not 'on': write true",
    )


def test_problems_in_an_alias_name_the_line_of_the_anchor() -> None:
    text = """\
nodes:
  a: {type: camera, params: &p {
    options: {step: 0}}}
  b: {type: camera, params: *p}
"""
    assert problems(text) == (
        "g.yaml:3: nodes.a.params.options.step: must be 1 or more, not 0",
        "g.yaml:3: nodes.b.params.options.step: must be 1 or more, not 0",
    )


def test_a_missing_package_alone_is_a_missing_dependency() -> None:
    text = "nodes: {left: {type: camera, params: {reader: heavy}}}"
    message = (
        "g.yaml:1: nodes.left.params.reader: reader 'heavy' needs the package "
        "module_that_is_not_installed: pip install 'posestream[heavy]'"
    )
    with pytest.raises(MissingDependencyError) as caught:
        load(text)
    assert str(caught.value) == message
    assert problems(text, "sede=1", "seed=x") == (
        message,
        "--set sede=1: unknown node or key 'sede'. Did you mean 'seed'? "
        "Allowed: left, name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed",
        "--set seed=x: must be a whole number, not 'x'",
    )


def test_a_node_type_may_miss_a_package_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Heavy(Installed):
        def load(self) -> Any:
            return graph_nodes.READERS

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Heavy()])
    with pytest.raises(MissingDependencyError, match=r"nodes.a.type: reader 'heavy' needs the"):
        load("nodes: {a: {type: heavy}}")


def test_node_types_that_cannot_be_loaded_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Installed):
        def load(self) -> Any:
            raise ImportError("no such thing")

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Broken()])
    assert problems("nodes: {a: {type: x}}") == (
        "g.yaml:1: nodes.a.type: the node types of graph_nodes:NODES cannot be loaded: "
        "no such thing",
    )


def test_without_an_installed_package_types_are_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: [])
    assert config.node_registries() == []
    assert load("nodes: {a: {type: 'graph_nodes:Camera'}}").nodes["a"].node_class is Camera
    assert problems("nodes: {a: {type: camera}}") == (
        "g.yaml:1: nodes.a.type: unknown node type 'camera'. Allowed: module:Class",
    )


# ------------------------------------------------------------------ files


def test_a_file_is_loaded_and_its_problems_bear_its_name(tmp_path: Path) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(GRAPH)
    assert config.load(file, ["seed=9"], placement="threads").seed == 9
    file.write_text("nodes:\n  a: {}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert caught.value.problems == (f"{file}:2: nodes.a.type: is missing",)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("vdieo.yaml", None, "vdieo.yaml: no such file. Did you mean 'video.yaml'?"),
        ("other.yml", None, "other.yml: no such file"),
        ("folder", None, "folder: cannot be read: Is a directory"),
        ("clip.yaml", b"a: 1\nb: \xff\xfe\x00", "clip.yaml:2: not a text in UTF-8"),
        ("big.yaml", b"#" * (MAX_BYTES + 2), "big.yaml: larger than 1 MiB"),
        ("big.yaml", "ä".encode() * MAX_BYTES, "big.yaml: larger than 1 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    (tmp_path / "video.yaml").write_text(SMALL)
    (tmp_path / "folder").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / name)
    assert str(caught.value) == f"{tmp_path}/{problem}"


# ------------------------------------------------------------------ the resolved configuration


def test_the_resolved_configuration_holds_every_default() -> None:
    assert (
        config.resolved_yaml(load(GRAPH))
        == """\
name: cameras
nodes:
  left:
    type: camera
    params:
      reader: file
      options: {path: left.mp4, step: 1}
    pace: fastest
  right:
    type: camera
    params:
      reader: live
      options: {device: 1}
    pace: fastest
  find:
    type: finder
    params:
      threshold: 0.0001
      limit: null
      mode: fast
      colour: red
      mask: ''
      folder: .
      upright: false
      label: point
      grid:
        rows: 4
        cells: [2, 3]
      grids: []
      sizes: [1.0, 2.0]
      weights: {}
      day: null
    inputs:
      frame:
      - {from: left.frame, policy: lossless}
      - {from: right.frame, policy: latest}
    join: exact
    batch: {size: 4, wait_ms: 5.0}
    workers: 1
  match:
    type: matcher
    params: {}
    inputs:
      points: {from: find.points, policy: lossless}
    join: exact
    batch: {size: 1, wait_ms: 0.0}
    workers: 1
  view:
    type: view
    params: {}
    inputs:
      frame:
      - {from: left.frame, policy: lossless}
      - {from: right.frame, policy: lossless}
      pairs: {from: match.pairs, policy: lossless}
    join: latest
    batch: {size: 1, wait_ms: 0.0}
    workers: 1
limits: {hang_s: 5.0}
place: {view: window}
carrier: shm
restart: false
hosts: {}
keys: ''
allow_plaintext: false
publish: {}
seed: 3
"""
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
finder_params = st.fixed_dictionaries(
    {},
    optional={
        "threshold": st.floats(1e-12, 1e12),
        "limit": st.none() | st.integers(),
        "mode": st.sampled_from(["fast", "good"]),
        "colour": st.sampled_from(["red", "blue"]),
        "mask": texts,
        "folder": texts.filter(lambda text: "\0" not in text),
        "label": texts,
        "grid": st.fixed_dictionaries({}, optional={"rows": st.integers()}),
        "grids": st.lists(st.sampled_from([{}, {"rows": 3}, {"cells": [8, 9]}]), max_size=2),
        "sizes": st.lists(finite, max_size=3),
        "weights": st.dictionaries(texts, finite, max_size=3),
    },
)  # fmt: skip
whole_graphs = st.fixed_dictionaries(
    {
        "nodes": st.fixed_dictionaries(
            {
                "left": st.fixed_dictionaries(
                    {"type": st.just("camera")},
                    optional={
                        "params": st.sampled_from([{"reader": "live"}, {"options": {"step": 3}}]),
                        "pace": st.sampled_from(["fastest", "recorded", 12.5]),
                    },
                ),
                "find": st.fixed_dictionaries(
                    {
                        "type": st.just("finder"),
                        "inputs": st.sampled_from(
                            [
                                {"frame": "left.frame"},
                                {"frame": ["left.frame"]},
                                {"frame": {"from": ["left.frame"], "policy": "latest"}},
                            ]
                        ),
                    },
                    optional={
                        "params": finder_params,
                        "workers": st.integers(1, 9),
                        "batch": st.fixed_dictionaries({"size": st.integers(1, 16)}),
                        "join": st.sampled_from(["exact", "latest", "none"]),
                    },
                ),
            }
        )
    },
    optional={
        "name": st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,9}\Z"),
        "limits": st.fixed_dictionaries({"hang_s": st.floats(0.1, 1e6)}),
        "place": st.sampled_from([{}, {"find": "gpu"}]),
        "carrier": st.sampled_from(["shm", "ipc", "tcp"]),
        "seed": st.integers(0, 2**63 - 1),
    },
)


@given(whole_graphs)
def test_the_resolved_configuration_gives_the_same_graph_again(data: dict[str, Any]) -> None:
    graph = load(write_yaml(data))
    text = config.resolved_yaml(graph)
    assert load(text) == graph
    assert config.resolved_yaml(load(text)) == text
    assert config.parse(json.loads(json.dumps(graph.resolved))) == graph


def test_plain_data_is_checked_like_a_file() -> None:
    resolved = json.loads(json.dumps(load(GRAPH).resolved))
    resolved["nodes"]["find"]["params"]["threshold"] = float("nan")
    resolved["nodes"]["view"]["inputs"]["pairs"] = "left.frame"
    resolved["sede"] = 1
    with pytest.raises(ConfigError) as caught:
        config.parse(resolved)
    assert caught.value.problems == (
        "sede: unknown key. Did you mean 'seed'? "
        "Allowed: name, nodes, limits, place, carrier, restart, hosts, keys, allow_plaintext, publish, seed",
        "nodes.view.inputs.pairs: view.pairs takes Pairs, but left.frame gives Frame",
        "nodes.find.params.threshold: must be a finite number, not nan",
    )


def test_a_normal_file_loads_in_less_than_0_3_s() -> None:
    load(GRAPH)  # imports and compiled schemas are made once
    start = time.perf_counter()
    load(GRAPH)
    assert time.perf_counter() - start < 0.3
