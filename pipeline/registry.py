"""Names that stand for classes, loaded on first use, so that listing them imports nothing heavy."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from pipeline.errors import ConfigError, MissingDependencyError


class Registry:
    """A lazy table `name -> "module:Class"`, open to other packages through an entry-point group.

    As metadata of an annotation it marks a setting as one of its names, and the setting `options`
    beside it as that class's `Options`:

        algorithm: Annotated[str, DETECTORS] = "sift"
        options: object = None

    Args:
        kind: what the names stand for, in the singular, for error messages.
        entries: name -> "module:Class".
        extras: module -> the extra of posestream that installs it.
        group: entry-point group through which other packages add names.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        *,
        extras: Mapping[str, str] | None = None,
        group: str | None = None,
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._extras = dict(extras or {})
        self._group = group

    def names(self) -> list[str]:
        """Return all names, the project's own first, in their order."""
        found = entry_points(group=self._group) if self._group else ()
        return list(dict.fromkeys([*self._entries, *(point.name for point in found)]))

    def load(self, name: str) -> Any:
        """Return the class behind a name.

        Raises:
            ConfigError: the name is unknown.
            MissingDependencyError: the class needs a package that is not installed.
        """
        target = self._entries.get(name)
        if target is None and self._group:
            target = next(
                (p.value for p in entry_points(group=self._group) if p.name == name), None
            )
        if target is None:
            raise ConfigError(f"unknown {self.kind} {name!r}. {suggest(name, self.names())}")
        try:
            return load_object(target)
        except ModuleNotFoundError as error:
            extra = self._extras.get((error.name or "").split(".")[0])
            if extra is None:
                raise
            raise MissingDependencyError(
                f"{self.kind} {name!r} needs the package {error.name}: "
                f"pip install 'posestream[{extra}]'"
            ) from error

    def create(self, name: str, options: object = None) -> Any:
        """Build the class behind a name from its `Options`, a mapping of them, or the defaults."""
        cls = self.load(name)
        if options is None or isinstance(options, Mapping):
            options = cls.Options(**(options or {}))
        return cls(options)


def load_object(target: str) -> Any:
    """Import `module:name` and return the object."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def suggest(name: str, allowed: Iterable[str]) -> str:
    """Return the end of an error message: the nearest allowed name, and all of them."""
    allowed = list(allowed)
    near = difflib.get_close_matches(name, allowed, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed: {', '.join(allowed)}"
