"""From YAML to a checked graph: every error at once, each with file, line and key.

    file:line: path.to.key: what is wrong. Did you mean 'x'? Allowed: ...

Values from the command line are named by their option instead of file and line. Settings of nodes
and plug-ins are checked against their dataclasses, by pydantic in strict mode, as JSON.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError

from pipeline.config import plugins
from pipeline.config.build import Builder
from pipeline.config.options import apply_placement, apply_sets
from pipeline.config.plugins import node_registries
from pipeline.config.problems import KeyPath, Problems, show_value
from pipeline.config.strict_yaml import MAX_BYTES, read_yaml, write_yaml
from pipeline.config.wording import word_errors, word_refusal
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.graph import Graph
from pipeline.registry import Registry

__all__ = ["load", "load_text", "node_registries", "parse", "resolved_yaml"]


def load(path: Path, sets: Sequence[str] = (), *, placement: str | None = None) -> Graph:
    """Read a graph from a YAML file.

    Args:
        sets: values that replace those of the file, each `path.to.key=value`; a path begins with
            the name of a node or with a key of the top level.
        placement: "threads" or "processes" replaces `place`.

    Raises:
        ConfigError: something is wrong; `problems` holds everything that is.
        MissingDependencyError: all that is wrong is that a package is not installed.
    """
    return load_text(_read_file(path), str(path), sets, placement=placement)


def load_text(
    text: str, file_name: str, sets: Sequence[str] = (), *, placement: str | None = None
) -> Graph:
    """Read a graph from YAML text, as `load` does; `file_name` is for messages."""
    document = read_yaml(text, file_name)
    if not isinstance(document.data, dict):
        given = "empty" if document.data is None else show_value(document.data)
        raise ConfigError(f"{file_name}:1: must be a mapping with the key 'nodes', but is {given}")
    problems = Problems(file_name)
    problems.written_in_file(document.lines, document.findings)
    apply_sets(document.data, sets, problems)
    apply_placement(document.data, placement, problems)
    return Builder(problems, _Settings(problems)).build(document.data, Path(file_name).stem)


def parse(resolved: Mapping[str, Any]) -> Graph:
    """Read a graph from plain data, such as `Graph.resolved`, with all checks of `load`."""
    problems = Problems()
    return Builder(problems, _Settings(problems)).build(resolved, "graph")


def resolved_yaml(graph: Graph) -> str:
    """Return the whole configuration, defaults filled in; loaded again it gives an equal graph."""
    return write_yaml(graph.resolved)


def _read_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return content.decode() if len(content) <= MAX_BYTES else content.decode(errors="replace")
    except FileNotFoundError as error:
        near = difflib.get_close_matches(
            path.name, [p.name for p in path.parent.glob("*.y*ml")], 1, 0.75
        )
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"{path}: no such file{hint}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not a text in UTF-8") from error


class _Settings:
    """Checks values against dataclasses, and notes what is wrong with them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def check(self, cls: Any, value: Any, path: KeyPath) -> Any:
        """Return an instance of `cls` made of plain data, or None if that is impossible."""
        made, faulty = self._try(cls, value, path, set())
        known = set(faulty)
        while faulty:
            # Ranges are only checked where all types are right: try again without what is wrong.
            value = _without(value, known)
            _, faulty = self._try(cls, value, path, known)
            known |= faulty
        return made

    def check_with_plugins(self, cls: Any, value: Any, path: KeyPath) -> Any:
        """Return an instance of `cls` as `check` does, with the options of the plug-in it names."""
        if not isinstance(value, Mapping | None):
            return self.check(cls, value, path)
        registries = plugins.plugin_fields(cls)
        given = {k: _plugin_name(registries.get(k), v) for k, v in (value or {}).items()}
        options = given.pop("options", None) if registries else None
        settings = self.check(cls, given, path)
        found = _texts(cls, given)
        for key, registry in registries.items():
            name = given.get(key, getattr(cls, key, None))
            for plugin in self._plugins(registry, name, (*path, key)):
                if "options" in _keys(cls, ()):
                    accepted = plugins.options_class(plugin)
                    found["options"] = self.check_with_plugins(
                        accepted, options, (*path, "options")
                    )
        return None if settings is None else self._replace(cls, settings, found, path)

    def _try(
        self, cls: Any, value: Any, path: KeyPath, known: set[KeyPath]
    ) -> tuple[Any, set[KeyPath]]:
        """Return an instance, or None and the keys of `value` that are wrong beside those known."""
        text = json.dumps({"value": value})
        try:
            return _model(cls).model_validate_json(text).value, set()  # type: ignore[attr-defined]
        except ValidationError as error:
            errors = [{**e, "loc": e["loc"][1:]} for e in error.errors()]
            worded = word_errors(errors, value, lambda inner: _keys(cls, inner))
            found = [(inner, text) for inner, text in worded if inner not in known]
        except PydanticUserError as error:
            reason = str(error).partition(". ")[0].splitlines()[0]
            found = [((), f"{cls.__qualname__} cannot be checked: {reason}")]
        for inner, problem in found:
            self._problems.add((*path, *inner), problem)
        return None, {key for inner, _ in found for key in [_key(inner)] if _has(value, key)}

    def _plugins(self, registry: Registry, names: Any, path: KeyPath) -> Iterator[Any]:
        """Yield the plug-ins of a name, or of a list of names."""
        for name in names if isinstance(names, list | tuple) else [names]:
            try:
                if isinstance(name, str):
                    yield plugins.load_plugin(registry, name)
            except ConfigError as error:
                self._problems.add(path, str(error))
            except MissingDependencyError as error:
                self._problems.add(path, str(error), lacks_package=True)

    def _replace(self, cls: Any, settings: Any, found: Mapping[str, Any], path: KeyPath) -> Any:
        try:
            return dataclasses.replace(settings, **found)
        except ValueError as error:
            inner, text = word_refusal((), str(error), _keys(cls, ()))
            self._problems.add((*path, *inner), text)
            return None


def _plugin_name(registry: Registry | None, value: Any) -> Any:
    """Return a setting; where it names a plug-in, the null of YAML is the plug-in `null`."""
    return "null" if registry and value is None and "null" in registry.names() else value


def _key(path: KeyPath) -> KeyPath:
    """Return the path of the key that holds what is at `path`: a list goes with all its entries."""
    return tuple(itertools.takewhile(lambda part: isinstance(part, str), path))


def _has(value: Any, path: KeyPath) -> bool:
    """Say whether there is a key at `path` below a mapping."""
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return bool(path)


def _without(value: Any, paths: Collection[KeyPath], path: KeyPath = ()) -> Any:
    """Return plain data without the keys at some paths."""
    if not isinstance(value, Mapping):
        return value
    items = ((key, inner, (*path, key)) for key, inner in value.items())
    return {key: _without(inner, paths, at) for key, inner, at in items if at not in paths}


@cache
def _model(cls: Any) -> type[BaseModel]:
    """Return a model whose only field is a dataclass, which takes the strictness over from it."""
    strict = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    return create_model(cls.__name__, __config__=strict, value=(cls, ...))


@cache
def _keys(cls: Any, path: KeyPath) -> tuple[str, ...]:
    """Return the keys of a settings class, or of the dataclass nested in it at `path`."""
    for part in path:
        hint = get_type_hints(cls).get(part) if isinstance(part, str) else cls
        nested = next(_dataclasses_in(hint), None)
        if nested is None:
            return ()
        cls = nested
    return tuple(field.name for field in dataclasses.fields(cls) if field.init)


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for inner in get_args(hint):
        yield from _dataclasses_in(inner)


def _texts(cls: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts given for settings that take a text or a path: pydantic makes them paths."""
    hints = get_type_hints(cls)
    return {
        key: value
        for key, value in given.items()
        if isinstance(value, str) and {str, Path} <= set(get_args(hints.get(key)))
    }
