"""Finds the classes that a configuration names: nodes and plug-ins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pipeline.errors import ConfigError, PosestreamError
from pipeline.node import Node, NoParams, Source
from pipeline.ports import input_ports
from pipeline.registry import Registry, load_object, suggest

NODE_GROUP = "posestream.nodes"


def node_registries() -> list[Registry]:
    """Return the tables of node types of all installed packages.

    Raises:
        ConfigError: an installed package cannot be imported.
    """
    registries = []
    for point in entry_points(group=NODE_GROUP):
        try:
            registries.append(point.load())
        except Exception as error:
            raise ConfigError(
                f"the node types of {point.value} cannot be loaded: {error}"
            ) from error
    return registries


def load_node(name: str) -> type[Node]:
    """Return the node type of a registered name, or of `module:Class`.

    Raises:
        ConfigError: there is no such type, it cannot be imported, or it breaks pipeline/node.py.
        MissingDependencyError: it needs a package that is not installed.
    """
    if ":" in name:
        cls = _load(name, lambda: load_object(name))
    else:
        registries = {n: registry for registry in node_registries()[::-1] for n in registry.names()}
        if name not in registries:
            nearest = suggest(name, [*registries, "module:Class"])
            raise ConfigError(f"unknown node type {name!r}. {nearest}")
        cls = load_plugin(registries[name], name)
    if not (isinstance(cls, type) and issubclass(cls, Node)):
        raise ConfigError(f"{name!r} is no subclass of pipeline.node.Node")
    if fault := _fault(cls):
        raise ConfigError(f"{name!r} cannot be used: {fault}")
    return cls


def load_plugin(registry: Registry, name: str) -> Any:
    """Return the class of a plug-in.

    Raises:
        ConfigError: there is no such plug-in, or it cannot be imported.
        MissingDependencyError: it needs a package that is not installed.
    """
    return _load(name, lambda: registry.load(name))


def plugin_fields(settings: type) -> dict[str, Registry]:
    """Return the fields of a settings class that name plug-ins."""
    found = {}
    for name, hint in get_type_hints(settings, include_extras=True).items():
        for mark in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
            if isinstance(mark, Registry):
                found[name] = mark
    return found


def options_class(plugin: Any) -> type:
    """Return the settings class of a plug-in."""
    return getattr(plugin, "Options", NoParams)


def _load(name: str, load: Callable[[], Any]) -> Any:
    """Load a class; whatever its module raises becomes one line."""
    try:
        return load()
    except PosestreamError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        own = isinstance(error, ModuleNotFoundError) and error.name == name.split(":")[0]
        hint = ". Is its folder in PYTHONPATH?" if own else ""
        raise ConfigError(f"{name!r} cannot be imported: {cause}{hint}") from error


def _fault(cls: type[Node]) -> str | None:
    """Return how a node type breaks pipeline/node.py, if it does."""
    messages = [output.message for output in cls.outputs.values()]
    if not dataclasses.is_dataclass(cls.Params):
        return "its Params are no dataclass"
    if len(set(messages)) < len(messages):
        return "two of its outputs give the same message type"
    if issubclass(cls, Source):
        return None if len(messages) == 1 else f"a source has one output, not {len(messages)}"
    try:
        return None if input_ports(cls) else "its process takes no message"
    except (TypeError, NameError) as error:
        return str(error)
