"""What a shell completes on the command line: names of graphs, node types, settings, groups.

All of it comes from the built-in graphs and from the schema that is shipped with them, so that a
key press imports neither vision nor networks. Plug-ins of other packages are therefore unknown
here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from textwrap import shorten
from typing import Any

Items = list[tuple[str, str]]
"""What may be typed, with a line of help."""

Described = Iterable[tuple[str, str]]

YAML = (".yaml", ".yml")
DEFAULT_GRAPH = "video"
ENTRY_KEYS = ("workers", "pace", "join")
RUNNER = "main"  # of `hosts`: it is the run itself that serves this one
SCHEMA_FILE = "schema.json"
NO_SIGNS = str.maketrans(dict.fromkeys("[]()`\"'"))  # tags to typer, or grammar to a shell
MAX_HELP = 60  # typer wraps longer lines, and shells take the rest for another item


def graphs(incomplete: str) -> Items:
    """Return the built-in graphs; where none fits, the shell goes on with files."""
    found = [(name, text.partition("\n")[0].lstrip("# ")) for name, text in _builtins()]
    return _fitting(found, incomplete)


def targets(incomplete: str) -> Items:
    """Return what can be run: built-in graphs, and files beside them.

    Where only files fit, the list is empty, for the shell itself knows best how to complete them.
    """
    found = graphs(incomplete)
    if not found or not incomplete:
        return found
    try:
        names = sorted(path.name for path in Path().iterdir())
    except OSError:
        names = []
    return found + [(name, "file") for name in names if name.startswith(incomplete)]


def node_types(incomplete: str) -> Items:
    """Return the node types."""
    definitions = _schema()["$defs"]
    found = [(name, definitions[name].get("description", "")) for name in _node_types()]
    return _fitting(found, incomplete)


def placements(incomplete: str) -> Items:
    """Return the values of --placement."""
    found = [("threads", "one process"), ("processes", "one for each node")]
    return _fitting(found, incomplete)


def groups(ctx: Any, incomplete: str) -> Items:
    """Return the groups of the graph's `hosts`."""
    hosts = _graph(ctx).get("hosts")
    found = hosts if isinstance(hosts, Mapping) else {}
    served = [(str(name), str(at)) for name, at in found.items() if name != RUNNER]
    return _fitting(served, incomplete)


def settings(ctx: Any, incomplete: str) -> Items:
    """Return the keys of --set, or behind the `=` the values that a key may have."""
    found = [*_keys_of_nodes(_graph(ctx)), *_keys("", _top_keys())]
    key, equals, _ = incomplete.partition("=")
    if not equals:
        items = [(path, schema.get("description", "")) for path, schema in found]
    else:
        values = [_values(schema) for path, schema in found if path == key]
        items = [(f"{key}={value}", "") for some in values for value in some]
    return _fitting(dict(items).items(), incomplete)


def _fitting(items: Described, incomplete: str) -> Items:
    """Return what begins as typed, its help in one short line without special signs."""
    return [
        (name, shorten(text.translate(NO_SIGNS), MAX_HELP, placeholder="..."))
        for name, text in items
        if name.startswith(incomplete)
    ]


def _keys_of_nodes(graph: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    nodes = graph.get("nodes")
    definitions = _schema()["$defs"]
    common = definitions["node"]["properties"]
    for name, entry in nodes.items() if isinstance(nodes, Mapping) else ():
        kind = entry.get("type") if isinstance(entry, Mapping) else None
        if kind not in _node_types():
            continue
        params = definitions[kind]
        yield from _keys(f"{name}.params.", params["properties"])
        yield from _keys(f"{name}.params.options.", _options(params, entry.get("params")))
        yield from _keys(f"{name}.", {key: common[key] for key in ENTRY_KEYS})
        yield from _keys(f"{name}.batch.", common["batch"]["properties"])


def _keys(
    prefix: str, properties: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, schema in properties.items():
        if key != "options":
            yield prefix + key, schema


def _options(params: Mapping[str, Any], given: object) -> Mapping[str, Any]:
    """Return the options of all plug-ins that the node may name, the one it names first."""
    definitions = _schema()["$defs"]
    named: list[Mapping[str, Any]] = []
    others: list[Mapping[str, Any]] = []
    for rule in params.get("allOf", ()):
        ((key, condition),) = rule["if"]["properties"].items()
        default = params["properties"][key].get("default")
        name = given.get(key, default) if isinstance(given, Mapping) else default
        definition = rule["then"]["properties"]["options"]["$ref"].removeprefix("#/$defs/")
        (named if name in condition["enum"] else others).append(definitions[definition])
    found: dict[str, Any] = {}
    for plugin in [*others, *named]:
        found |= plugin["properties"]
    return found


def _values(schema: Mapping[str, Any]) -> list[str]:
    if schema.get("type") == "boolean" or "boolean" in schema.get("type", ()):
        return ["true", "false"]
    parts = [schema, *schema.get("anyOf", ())]
    return [str(value) for part in parts for value in part.get("enum", ()) if value is not None]


def _top_keys() -> Mapping[str, Any]:
    keys: dict[str, Any] = dict(_schema()["properties"])
    limits = keys.pop("limits")["properties"]
    del keys["nodes"]
    return keys | {f"limits.{key}": schema for key, schema in limits.items()}


def _graph(ctx: Any) -> Mapping[str, Any]:
    """Return the configuration that the command line names so far; {} where it cannot be read."""
    from pipeline.config.strict_yaml import read_yaml
    from pipeline.errors import ConfigError

    # An option that still lacks its value ends typer's reading: the target is left over then.
    target = ctx.params.get("target") or ctx.params.get("file") or next(iter(ctx.args), "")
    name = ctx.params.get("graph_name") or target
    texts = dict(_builtins())
    try:
        text = Path(name).read_text() if Path(name).suffix in YAML else texts.get(name)
        data = read_yaml(text or texts[DEFAULT_GRAPH], name).data
    except (OSError, ValueError, ConfigError):
        return {}
    return data if isinstance(data, Mapping) else {}


def _builtins() -> list[tuple[str, str]]:
    files = [f for f in resources.files("configs").iterdir() if f.name.endswith(".yaml")]
    return sorted((f.name.removesuffix(".yaml"), f.read_text()) for f in files)


def _node_types() -> list[str]:
    rules = _schema()["$defs"]["node"]["allOf"]
    return [name for rule in rules for name in rule["if"]["properties"]["type"]["enum"]]


def _schema() -> dict[str, Any]:
    text = (resources.files("configs") / SCHEMA_FILE).read_text()
    found: dict[str, Any] = json.loads(text)
    return found
