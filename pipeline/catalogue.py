"""What `posestream nodes` prints: the node types with their ports, settings and plug-ins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pipeline.config import node_registries
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.node import Node, Source
from pipeline.ports import input_ports
from pipeline.registry import Registry, suggest


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
    registries = {n: registry for registry in node_registries() for n in registry.names()}
    if name not in registries:
        raise ConfigError(f"unknown node type {name!r}. {suggest(name, registries)}")
    node = registries[name].load(name)
    return "\n".join([f"{name}: {_summary(node)}", "", *_ports(node), "", *_settings(node.Params)])


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
    hints = get_type_hints(params, include_extras=True)
    for field in dataclasses.fields(params):
        hint = hints[field.name]
        metadata = hint.__metadata__ if get_origin(hint) is Annotated else ()
        registry = next((m for m in metadata if isinstance(m, Registry)), None)
        text = next((m for m in metadata if isinstance(m, str)), "")
        if field.name != "options":
            yield f"{indent}{field.name} = {_default(field)}    {text} [{_type(hint)}]"
        if registry is not None:
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


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return repr(field.default_factory()) if callable(field.default_factory) else "(required)"


def _type(hint: Any) -> str:
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    is_plain = isinstance(plain, type) and not get_args(plain)
    return plain.__name__ if is_plain else str(plain).replace("typing.", "")
