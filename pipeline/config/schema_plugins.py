"""The part of the JSON Schema that goes by names: settings of node types, options of plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Any

from pipeline.config import hints, plugins
from pipeline.config.hints import Schema, described
from pipeline.config.standins import standing_in
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.node import Node
from pipeline.registry import Registry

DISTRIBUTION = "posestream"
MAX_MISSING = 8  # packages that one plug-in may lack, each found by an attempt to import it


def node_types(*, installed: bool) -> dict[str, type[Node]]:
    """Return all node types by name, of all installed packages or of posestream alone."""
    if installed:
        registries = plugins.node_registries()
    else:
        points = metadata.distribution(DISTRIBUTION).entry_points
        registries = [point.load() for point in points.select(group=plugins.NODE_GROUP)]
    return {
        name: load_without_extras(registry, name)
        for registry in registries
        for name in _names(registry, installed)
    }


class SettingsReader:
    """Reads the settings of one node type, and collects the options of its plug-ins."""

    def __init__(self, *, installed: bool) -> None:
        self._installed = installed
        self.options: dict[str, Schema] = {}
        """Definitions by name, such as "source.video"."""

    def read(self, cls: type) -> Schema:
        """Return the schema of a settings class, with what the plug-in that it names asks for."""
        registries = plugins.plugin_fields(cls)
        keys = {
            field.name: self._key(field, registries.get(field.name))
            for field in hints.settings(cls)
        }
        schema: Schema = {"type": ["object", "null"], "properties": keys}
        schema["additionalProperties"] = False
        if not registries or "options" not in keys:
            return schema
        keys["options"] = described(keys["options"]["description"]) | {"type": ["object", "null"]}
        rules = [rule for key, of in registries.items() for rule in self._rules(key, of, keys[key])]
        return schema | {"allOf": rules}

    def _key(self, field: hints.Field, registry: Registry | None) -> Schema:
        schema = hints.schema_of(field.hint)
        if registry:
            schema = _naming(schema, _names(registry, self._installed))
        return schema | hints.default_of(field) | described(field.text)

    def _rules(self, key: str, registry: Registry, setting: Schema) -> Iterator[Schema]:
        for name in _names(registry, self._installed):
            plugin = load_without_extras(registry, name)
            definition = f"{registry.kind}.{name}"
            options = self.read(plugins.options_class(plugin))
            self.options[definition] = options | described(summary(plugin))
            then = {"properties": {"options": {"$ref": f"#/$defs/{definition}"}}}
            yield when(key, name, then, also_missing=name == setting.get("default"))


def when(key: str, name: str, then: Schema, *, also_missing: bool = False) -> Schema:
    """Return a rule: `then` holds where `key` is `name`, or is missing if that means the same."""
    names = [name, None] if name == "null" else [name]
    condition: Schema = {"properties": {key: {"enum": names}}}
    return {"if": condition if also_missing else {**condition, "required": [key]}, "then": then}


def summary(cls: type) -> str:
    """Return the first line of a class's documentation."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def load_without_extras(registry: Registry, name: str) -> Any:
    """Return the class of a name, also where an optional package that it works with is missing.

    Raises:
        ConfigError: it cannot be imported for any other reason.
    """
    for _ in range(MAX_MISSING):
        try:
            return plugins.load_plugin(registry, name)
        except MissingDependencyError as error:
            package = str(getattr(error.__cause__, "name", "")).partition(".")[0]
        with standing_in(package):
            try:
                return plugins.load_plugin(registry, name)
            except MissingDependencyError:
                continue  # it needs yet another one
    raise ConfigError(f"{registry.kind} {name!r} cannot be imported without its packages")


def _names(registry: Registry, installed: bool) -> list[str]:
    """Return the names of a registry, or only those that no other package has added to it.

    Registries are open to others by the entry-point group "posestream.KINDs".
    """
    group = f"posestream.{registry.kind.replace(' ', '_')}s"
    others = set() if installed else {p.name for p in metadata.entry_points(group=group)}
    return [name for name in registry.names() if name not in others]


def _naming(schema: Schema, names: list[str]) -> Schema:
    """Return the schema of a setting that names a plug-in, or several."""
    if schema.get("type") == "array":
        return schema | {"items": {"enum": names}}
    return {"enum": [*names, None] if "null" in names else names}
