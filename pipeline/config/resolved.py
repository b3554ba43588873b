"""A graph as plain YAML data with every default filled in; read again, it gives an equal graph."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.graph import Graph, InputRef, NodeSpec


def resolve(graph: Graph) -> dict[str, Any]:
    """Return the whole configuration of a graph, keys in a fixed order."""
    return {
        "name": graph.name,
        "nodes": {name: _resolve_node(spec) for name, spec in graph.nodes.items()},
        "limits": {"hang_s": graph.hang_s},
        "place": dict(graph.place),
        "carrier": graph.carrier,
        "restart": graph.restart,
        "hosts": dict(graph.hosts),
        "keys": graph.keys,
        "allow_plaintext": graph.allow_plaintext,
        "publish": dict(graph.publish),
        "seed": graph.seed,
    }


def _resolve_node(spec: NodeSpec) -> dict[str, Any]:
    entry = {"type": spec.type, "params": plain(spec.params)}
    if spec.is_source:
        return entry | {"pace": spec.pace}
    inputs = {port: _resolve_input(refs) for port, refs in spec.inputs.items()}
    return entry | {
        "inputs": inputs,
        "join": spec.join.value,
        "batch": plain(spec.batch),
        "workers": spec.workers,
    }


def _resolve_input(refs: Sequence[InputRef]) -> Any:
    links = [{"from": f"{ref.node}.{ref.output}", "policy": plain(ref.policy)} for ref in refs]
    return links if len(links) > 1 else links[0]


def plain(value: Any) -> Any:
    """Return settings as YAML has them: mappings, lists, texts, numbers, Booleans, null."""
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | bool | int | float | None) else str(value)
