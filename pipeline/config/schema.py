"""The JSON Schema (draft 2020-12) of a configuration, for editors and other programs.

It is read off what the configuration is checked against: the engine's dataclasses in layout.py, the
node types of all registries, and the settings of their plug-ins. What follows from a name stands
behind an `if`: the settings of a node behind its `type`, the options of a plug-in behind the
setting that names it. What only holds of a whole graph - links, cycles, ranges that a
`__post_init__` knows - is left to `posestream check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.config import hints
from pipeline.config.hints import Schema, described
from pipeline.config.layout import (
    GRAPH_NAME,
    MAX_SEED,
    MAX_WORKERS,
    NODE_NAME,
    Limits,
    NodeEntry,
    TopEntry,
)
from pipeline.config.schema_plugins import SettingsReader, node_types, summary, when
from pipeline.graph import MAX_BATCH, Batch, Policy
from pipeline.node import Node, Source
from pipeline.ports import input_ports

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NESTED = {"limits": Limits, "batch": Batch}

TEXTS = {
    "name": "name of the graph; else that of the file",
    "nodes": "name of each node -> what it is and what it takes",
    "limits": "when a run is given up",
    "hang_s": "time that a node may work without an end before the run fails, s",
    "place": "node -> process group; a node that is not named runs in the main process",
    "carrier": "what links processes: shm (shared memory), ipc, or tcp (loopback)",
    "restart": "whether a process group that dies is started again",
    "hosts": 'process group -> "tcp://ADDRESS:PORT" of the machine that runs it',
    "keys": "folder of the key files of all hosts; empty: links are not encrypted",
    "allow_plaintext": "whether sockets without encryption may be reached from other machines",
    "publish": "node.output -> the endpoint where listeners outside the graph find it",
    "seed": "decides everything random",
    "type": "a node type, or module:Class",
    "params": "settings of the node",
    "inputs": "input -> node.output, a list of such, or {from: ..., policy: ...}",
    "join": "how inputs meet: all of one frame (exact), the newest complete set (latest), or "
    "each message alone (none)",
    "batch": "how many messages the node takes at once",
    "size": "the most messages that are taken at once",
    "wait_ms": "how long a live node waits for a batch to fill, ms",
    "workers": "how many messages are worked on side by side",
    "pace": "when a source gives its frames: fastest, recorded, or a rate in Hz; the last two "
    "make it live",
}
"""What the engine's keys mean."""

BOUNDS: dict[str, Schema] = {
    "name": {"pattern": f"^{GRAPH_NAME.pattern}$"},
    "seed": {"minimum": 0, "maximum": MAX_SEED},
    "hang_s": {"exclusiveMinimum": 0},
    "workers": {"minimum": 1, "maximum": MAX_WORKERS},
    "size": {"minimum": 1, "maximum": MAX_BATCH},
    "wait_ms": {"minimum": 0},
    "pace": {"exclusiveMinimum": 0},
    "place": {"additionalProperties": {"type": "string", "pattern": f"^{NODE_NAME.pattern}$"}},
}
"""What the engine's keys allow beside their types."""


def schema_text(*, installed: bool = True) -> str:
    """Return the schema as the text of a file; see `graph_schema`."""
    return json.dumps(graph_schema(installed=installed), indent=1) + "\n"


def graph_schema(*, installed: bool = True) -> Schema:
    """Return the schema of a configuration.

    Args:
        installed: whether to know the nodes and plug-ins of other packages that are installed here,
            or only what comes with posestream, which is the same on every machine.

    Raises:
        ConfigError: a node type or a plug-in cannot be imported.
    """
    types = node_types(installed=installed)
    reader = SettingsReader(installed=installed)
    settings = {n: reader.read(node.Params) | described(summary(node)) for n, node in types.items()}
    top = _entry_keys(TopEntry)
    top["nodes"] = {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{NODE_NAME.pattern}$"},
        "additionalProperties": {"$ref": "#/$defs/node"},
        "description": TEXTS["nodes"],
    }
    return {
        "$schema": DRAFT,
        "title": "A graph of posestream",
        "type": "object",
        "properties": top,
        "required": ["nodes"],
        "additionalProperties": False,
        "$defs": {"node": _node(types), **_links(), **settings, **reader.options},
    }


# ---------------------------------------------------------------- the engine's keys


def _entry_keys(cls: type) -> dict[str, Schema]:
    """Return the schema of each key of an entry; null stands for the default."""
    return {key: hints.or_null(schema) for key, schema in _engine_keys(cls).items()}


def _engine_keys(cls: type) -> dict[str, Schema]:
    return {field.name: _engine_key(field) for field in hints.settings(cls)}


def _engine_key(field: hints.Field) -> Schema:
    schema = hints.schema_of(field.hint)
    if field.name in NESTED:
        schema["properties"] = _engine_keys(NESTED[field.name])
    text = field.text or TEXTS.get(field.name, "")
    return schema | BOUNDS.get(field.name, {}) | hints.default_of(field) | described(text)


def _node(types: Mapping[str, type[Node]]) -> Schema:
    """Return the schema of an entry of `nodes`: what is common, then what goes by the type."""
    keys = _entry_keys(NodeEntry)
    keys["type"] = {"anyOf": [{"enum": list(types)}, {"pattern": "^[^:]+:[^:]+$"}]}
    keys["type"] |= {"type": "string", **described(TEXTS["type"])}
    keys["params"] |= {"type": ["object", "null"]}
    keys["inputs"] |= {
        "type": ["object", "null"],
        "additionalProperties": {"$ref": "#/$defs/links"},
    }
    return {
        "type": "object",
        "properties": keys,
        "required": ["type"],
        "additionalProperties": False,
        "allOf": [when("type", name, _of_type(name, node)) for name, node in types.items()],
    }


def _of_type(name: str, node: type[Node]) -> Schema:
    keys: dict[str, Schema] = {"params": {"$ref": f"#/$defs/{name}"}}
    if not node.stateless:
        keys["workers"] = {"maximum": 1}
    if issubclass(node, Source):
        return {"properties": {**keys, "inputs": {"maxProperties": 0}}}
    ports = input_ports(node)
    inputs: Schema = {
        "type": "object",
        "properties": {port: {"$ref": "#/$defs/links"} for port in ports},
        "required": [port for port, of in ports.items() if not of.optional],
        "minProperties": 1,
        "additionalProperties": False,
    }
    no_pace: Schema = {"type": "null"}
    return {"properties": {**keys, "inputs": inputs, "pace": no_pace}, "required": ["inputs"]}


def _links() -> dict[str, Schema]:
    output = {"type": "string", "pattern": r"^[^.]+\.[^.]+$"}
    policy = {"enum": [*Policy, None], **described("lossless waits, latest keeps the newest")}
    named = {"anyOf": [output, {"type": "array", "minItems": 1, "items": output}]}
    link = {
        "type": "object",
        "properties": {"from": named, "policy": policy},
        "required": ["from"],
        "additionalProperties": False,
    }
    one: Schema = {"anyOf": [output, link]}
    return {"links": {"anyOf": [*one["anyOf"], {"type": "array", "minItems": 1, "items": one}]}}
