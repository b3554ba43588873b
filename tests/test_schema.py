"""The JSON Schema of a graph: up to date, the same everywhere, as strict as the configuration."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import config
from pipeline.config import hints
from pipeline.config.layout import NodeEntry, TopEntry
from pipeline.config.schema import BOUNDS, TEXTS, schema_text
from pipeline.config.standins import standing_in
from pipeline.errors import ConfigError, MissingDependencyError

jsonschema = pytest.importorskip("jsonschema", reason="pip install -e '.[dev]'")

ROOT = Path(__file__).parent.parent
FILE = ROOT / "configs" / "schema.json"
COMMAND = "posestream schema --built-in > configs/schema.json"
GRAPHS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def generated() -> str:
    return schema_text(installed=False)


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def minimal(**changes: Any) -> dict[str, Any]:
    """Return a graph of a source, a detector and a recorder, with some top-level keys."""
    return {
        "nodes": {
            "cam": {"type": "capture", "params": {"source": "synthetic"}},
            "detector": {"type": "detector", "inputs": {"frame": "cam.frame"}},
            "matcher": {"type": "matcher", "inputs": {"features": "detector.features"}},
            "recorder": {"type": "recorder", "inputs": {"matches": "matcher.matches"}},
        },
        **changes,
    }


def with_node(name: str, **changes: Any) -> dict[str, Any]:
    """Return the same graph with some keys of a node replaced."""
    graph = minimal()
    graph["nodes"][name] |= changes
    return graph


def takes(data: Any) -> bool:
    """Say whether the configuration takes plain data."""
    try:
        config.load_text(yaml.safe_dump(data, sort_keys=False), "graph.yaml")
    except ConfigError:
        return False
    return True


# ---------------------------------------------------------------- the checked-in file


def test_the_checked_in_schema_is_up_to_date(generated: str) -> None:
    assert generated == FILE.read_text(), f"settings have changed: {COMMAND}"


def test_the_schema_needs_no_optional_package() -> None:
    code = (
        "import importlib.machinery as m, sys\n"
        "find = m.PathFinder.find_spec\n"
        "def hidden(name, path=None, target=None):\n"
        "    if name.split('.')[0] in ('kornia', 'onnxruntime', 'rosbags', 'mcap'): return None\n"
        "    return find(name, path, target)\n"
        "m.PathFinder.find_spec = staticmethod(hidden)\n"
        "from pipeline.config.schema import schema_text\n"
        "sys.stdout.write(schema_text(installed=False))\n"
        "from nodes.detectors import DETECTORS\n"
        "try: DETECTORS.load('aliked')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    schema, _, rest = done.stdout.partition("\n}\n")
    assert schema + "\n}\n" == FILE.read_text(), done.stderr
    assert rest == (
        "MissingDependencyError detector 'aliked' needs the package kornia: "
        "pip install 'posestream[kornia]'\n"
    )


def test_a_stand_in_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("from nowhere.deep import Thing\nVALUE = Thing.of(1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with standing_in("nowhere"):
        import needy  # type: ignore[import-not-found]

        assert needy.VALUE is not None
    assert not {"needy", "nowhere", "nowhere.deep"} & set(sys.modules)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        import needy


def install(folder: Path, group: str, name: str, value: str) -> None:
    """Install a distribution with one entry point and the module behind it."""
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


def test_plug_ins_of_others_are_known_to_the_command_and_not_to_the_file(
    tmp_path: Path, generated: str
) -> None:
    install(tmp_path, "posestream.matchers", "guess", "guessing:Guess")
    install(tmp_path, "posestream.node_types", "oracle", "guessing:Oracle")
    (tmp_path / "guessing.py").write_text(
        "from dataclasses import dataclass\n"
        "from typing import Annotated\n"
        "from nodes.matcher import Matcher\n"
        "class Guess:\n"
        "    @dataclass(frozen=True)\n"
        "    class Options:\n"
        "        luck: Annotated[float, 'share of good guesses'] = 0.5\n"
        "class Oracle(Matcher):\n"
        "    '''Knows all.'''\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    for flags, known in (([], True), (["--built-in"], False)):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "schema", *flags],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        definitions = json.loads(done.stdout)["$defs"]
        assert ("matcher.guess" in definitions, "oracle" in definitions) == (known, known)
        if known:
            assert definitions["matcher.guess"]["properties"]["luck"] == {
                "type": "number", "default": 0.5, "description": "share of good guesses",
            }  # fmt: skip
        else:
            assert done.stdout == generated


def test_every_key_and_every_setting_has_a_line_of_help(generated: str) -> None:
    engine = {field.name for cls in (TopEntry, NodeEntry) for field in hints.settings(cls)}
    assert engine - set(TEXTS) == set()
    schema = json.loads(generated)
    for name, definition in schema["$defs"].items():
        for key, setting in definition.get("properties", {}).items():
            assert setting.get("description"), f"{name}.{key}"
    assert set(BOUNDS) - set(TEXTS) == set()


# ---------------------------------------------------------------- what it takes


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_every_built_in_graph_fits(validator: Any, path: Path) -> None:
    validator.validate(yaml.safe_load(path.read_text()))


def test_every_graph_of_the_readme_fits(validator: Any) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.S | re.M)
    assert blocks
    for block in blocks:
        validator.validate(yaml.safe_load(block))


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)
def test_a_whole_configuration_as_a_run_writes_it_fits(validator: Any, path: Path) -> None:
    try:
        graph = config.load(path)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    validator.validate(yaml.safe_load(config.resolved_yaml(graph)))


# ---------------------------------------------------------------- what it refuses

REFUSED = {
    "unknown top key": minimal(sed=1),
    "null for nodes": {"nodes": {}},
    "no nodes": {"name": "empty"},
    "name of a node": {"nodes": {"Cam": {"type": "capture"}}},
    "carrier": minimal(carrier="udp"),
    "seed": minimal(seed=-1),
    "restart": minimal(restart="yes"),
    "hosts": minimal(hosts=["tcp://127.0.0.1:1"]),
    "allow_plaintext": minimal(allow_plaintext=1),
    "publish": minimal(publish="tcp://127.0.0.1:5601"),
    "hang_s": minimal(limits={"hang_s": 0}),
    "null in limits": minimal(limits={"hang_s": None}),
    "node type": with_node("matcher", type="macher"),
    "key of a node": with_node("detector", worker=2),
    "workers": with_node("detector", workers=0),
    "workers of a node with memory": with_node("matcher", workers=2),
    "batch": with_node("detector", batch={"size": 2000}),
    "key of batch": with_node("detector", batch={"sizes": 2}),
    "join": with_node("matcher", join="some"),
    "pace of no source": with_node("matcher", pace="recorded"),
    "pace": with_node("cam", pace=-3),
    "input": with_node("matcher", inputs={"feature": "detector.features"}),
    "no input": with_node("matcher", inputs={}),
    "input of a source": with_node("cam", inputs={"frame": "detector.features"}),
    "link": with_node("matcher", inputs={"features": "detector"}),
    "policy": with_node("matcher", inputs={"features": {"from": "detector.features", "policy": "all"}}),
    "setting": with_node("cam", params={"source": "synthetic", "stepp": 2}),
    "source": with_node("cam", params={"source": "sinthetic"}),
    "option": with_node("cam", params={"source": "synthetic", "options": {"frame": 3}}),
    "option of another plug-in": with_node("cam", params={"source": "synthetic", "options": {"device": 0}}),
    "option of the default": with_node("detector", params={"options": {"nfeature": 3}}),
    "kind of an option": with_node("detector", params={"options": {"nfeatures": "many"}}),
    "null for an option": with_node("detector", params={"options": {"nfeatures": None}}),
    "choice": with_node("detector", params={"algorithm": "superpoint-small", "options": {"device": "gpu"}}),
    "writers": with_node("recorder", params={"writers": ["poses", "pose"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_configuration_refuses_so_does_the_schema(validator: Any, name: str) -> None:
    assert not takes(REFUSED[name])
    assert not validator.is_valid(REFUSED[name])


TAKEN = {
    "as it is": minimal(),
    "nulls": minimal(name=None, limits=None, place=None, seed=None),
    "a node's nulls": with_node("detector", params=None, batch=None, workers=None),
    "null for options": with_node("detector", params={"algorithm": "orb", "options": None}),
    "lists": with_node("matcher", inputs={"features": ["detector.features"]}),
    "list with policies": with_node(
        "matcher", inputs={"features": [{"from": ["detector.features"], "policy": "latest"}]}
    ),
    "a rate": with_node("cam", pace=12.5),
    "a whole rate": with_node("cam", pace=12),
    "another plug-in": with_node(
        "detector", params={"algorithm": "orb", "options": {"nlevels": 4, "scaleFactor": 2}}
    ),
    "restart": minimal(restart=True, place={"detector": "heavy"}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_configuration_takes_so_does_the_schema(validator: Any, name: str) -> None:
    if name == "restart":  # whether a group can be restarted is for the configuration to say
        assert validator.is_valid(TAKEN[name])
        return
    assert takes(TAKEN[name])
    validator.validate(TAKEN[name])


def key_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every key that is not a free name."""
    if isinstance(value, list):
        return [found for i, inner in enumerate(value) for found in key_paths(inner, (*path, i))]
    if not isinstance(value, dict):
        return []
    free = path == ("nodes",) or path[:1] in {("place",), ("hosts",), ("publish",)}
    own = [] if free else [(*path, key) for key in value]
    return own + [found for key, inner in value.items() for found in key_paths(inner, (*path, key))]


WHOLE = yaml.safe_load((ROOT / "configs" / "panorama.yaml").read_text()) | {
    "limits": {"hang_s": 5.0}, "seed": 3, "restart": False, "keys": "",
}  # fmt: skip


@given(st.sampled_from(key_paths(WHOLE)), st.sampled_from("abexyz_"), st.integers(0, 12))
def test_a_misspelt_key_anywhere_is_refused(path: tuple[Any, ...], letter: str, at: int) -> None:
    schema = jsonschema.Draft202012Validator(json.loads(FILE.read_text()))
    graph = copy.deepcopy(WHOLE)
    place = graph
    for part in path[:-1]:
        place = place[part]
    key = path[-1]
    place[key[:at] + letter + key[at:]] = place.pop(key)
    assert not schema.is_valid(graph)
