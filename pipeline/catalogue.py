"""What `posestream nodes` prints: the node types with their ports, settings and plug-ins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config import hints, node_registries
from pipeline.config.plugins import plugin_fields
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.graph import Graph
from pipeline.json_lines import emit
from pipeline.node import Node, Source
from pipeline.ports import input_ports
from pipeline.registry import Registry, suggest

MAIN = "main"  # the process of nodes without a group


def listing() -> str:
    """Return a line for each node type."""
    lines = [
        f"{name:<12} {_summary(registry.load(name))}"
        for registry in node_registries()
        for name in registry.names()
    ]
    return "\n".join([*lines, "", "posestream nodes NAME lists the ports and settings of one."])


def describe(name: str) -> str:
    """Return the ports and settings of a node type, with those of its plug-ins.

    Raises:
        ConfigError: no such type.
    """
    node = _node_type(name)
    return "\n".join([f"{name}: {_summary(node)}", "", *_ports(node), "", *_settings(node.Params)])


def emit_nodes(name: str | None) -> None:
    """Print the node types, or one with its settings, as JSON lines.

    Raises:
        ConfigError: no such type.
    """
    from pipeline.config.schema_plugins import SettingsReader

    if name is None:
        for registry in node_registries():
            for each in registry.names():
                emit("node_type", **_facts(each, registry.load(each)))
        return
    node, reader = _node_type(name), SettingsReader(installed=True)
    params = reader.read(node.Params)
    emit("node_type", **_facts(name, node), params=params, plugins=reader.options)


def emit_graph(graph: Graph) -> None:
    """Print the nodes and the links of a graph as JSON lines."""
    for name, spec in graph.nodes.items():
        emit("node", name=name, type=spec.type, process=graph.place.get(name, MAIN))
    for edge in graph.edges:
        emit(
            "link",
            **{"from": f"{edge.producer}.{edge.output}", "to": f"{edge.consumer}.{edge.input}"},
            policy=edge.policy.value,
            window=edge.window,
            streams=edge.streams,
        )


def _node_type(name: str) -> type[Node]:
    registries = {n: registry for registry in node_registries() for n in registry.names()}
    if name not in registries:
        raise ConfigError(f"unknown node type {name!r}. {suggest(name, registries)}")
    node: type[Node] = registries[name].load(name)
    return node


def _facts(name: str, node: type[Node]) -> Mapping[str, Any]:
    ports = {} if issubclass(node, Source) else input_ports(node)
    return {
        "name": name,
        "summary": _summary(node),
        "inputs": [
            {"name": port, "message": of.message.__name__, "optional": of.optional}
            for port, of in ports.items()
        ],
        "outputs": [
            {"name": output, "message": of.message.__name__, "dense": of.dense}
            for output, of in node.outputs.items()
        ],
    }


def _summary(cls: Any) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _ports(node: type[Node]) -> Iterator[str]:
    if not issubclass(node, Source):
        for name, port in input_ports(node).items():
            optional = " (optional)" if port.optional else ""
            yield f"  in   {name:<10} {port.message.__name__}{optional}"
    for name, output in node.outputs.items():
        yield f"  out  {name:<10} {output.message.__name__}{'' if output.dense else ' (sparse)'}"


def _settings(params: type, indent: str = "  ") -> Iterator[str]:
    """Yield a line for each field, and below a plug-in's name the options of every plug-in."""
    registries = plugin_fields(params)
    for field in hints.settings(params):
        if field.name != "options":
            kind = hints.name_of(field.hint)
            yield f"{indent}{field.name} = {_default(field)}    {field.text} [{kind}]"
        if registry := registries.get(field.name):
            for name in registry.names():
                yield f"{indent}  {name}:"
                yield from _options(registry, name, indent + "    ")


def _options(registry: Registry, name: str, indent: str) -> Iterator[str]:
    try:
        options = registry.load(name).Options
    except MissingDependencyError as error:
        yield f"{indent}{error}"
    else:
        yield from _settings(options, indent)


def _default(field: hints.Field) -> str:
    return "(required)" if field.default is dataclasses.MISSING else repr(field.default)
