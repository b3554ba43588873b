"""Collects all that is wrong with a configuration, with the places where it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.errors import ConfigError, MissingDependencyError

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a document down to a value."""

MAX_SHOWN = 60


@dataclass(frozen=True)
class Finding:
    """Something wrong at one place of a document."""

    path: KeyPath
    line: int
    text: str


@dataclass(frozen=True)
class Origin:
    """Where a value was written: what to call it, and its order among all."""

    name: str
    order: tuple[int, int]
    names_value: bool = False
    """Whether the name says which value is meant, as that of an option does."""


class Problems:
    """Problems by the path of the value that they concern, to be raised all at once."""

    def __init__(self, file_name: str = "") -> None:
        self._file_name = file_name
        self._origins: dict[KeyPath, Origin] = {}
        self._lines: dict[str, tuple[int, int]] = {}
        self._blamed: set[KeyPath] = set()
        self._num_options = 0
        self.count = 0
        """How often a problem was added."""
        self._lacks_package = False
        self._is_misconfigured = False

    def written_in_file(self, lines: Mapping[KeyPath, int], findings: list[Finding]) -> None:
        """Note the lines of a file, and what is wrong with it already as YAML."""
        self._origins |= {p: Origin(f"{self._file_name}:{n}", (0, n)) for p, n in lines.items()}
        for finding in findings:
            self._blamed.add(finding.path)
            name = f"{self._file_name}:{finding.line}"
            self._put(Origin(name, (0, finding.line)), finding.path, finding.text)

    def written_by_option(self, option: str, path: KeyPath) -> None:
        """Note that a command line option has set the value at `path`, and all below it."""
        self._num_options += 1
        for inner in [p for p in self._origins if p[: len(path)] == path]:
            del self._origins[inner]
        origin = Origin(option, (1, self._num_options), names_value=True)
        self._origins[path] = origin
        for length in range(1, len(path)):  # what had to be made above the value
            self._origins.setdefault(path[:length], origin)

    def add(self, path: KeyPath, text: str, *, lacks_package: bool = False) -> None:
        """Note a problem with the value at `path`, or with what is missing there."""
        self.count += 1
        if path in self._blamed:
            return  # what is wrong with it as YAML has been said
        self._put(self._origin(path), path, text, lacks_package=lacks_package)

    def add_option(self, option: str, text: str) -> None:
        """Note a problem with a command line option itself."""
        self._num_options += 1
        self._put(Origin(option, (1, self._num_options)), (), text)

    def raise_if_any(self) -> None:
        """Raise all problems, in the order of the file and then of the command line.

        Raises:
            ConfigError: there are problems.
            MissingDependencyError: all that is wrong is that packages are not installed.
        """
        lines = sorted(self._lines, key=lambda line: self._lines[line])
        if self._is_misconfigured:
            raise ConfigError(*lines)
        if self._lacks_package:
            raise MissingDependencyError("\n".join(lines))

    def _origin(self, path: KeyPath) -> Origin:
        for length in range(len(path), -1, -1):
            if origin := self._origins.get(path[:length]):
                return replace(origin, names_value=origin.names_value and length == len(path))
        return Origin(self._file_name, (0, 0))

    def _put(
        self, origin: Origin, path: KeyPath, text: str, *, lacks_package: bool = False
    ) -> None:
        shown = "" if origin.names_value else show_path(path)
        line = ": ".join(part for part in (origin.name, shown, text) if part)
        self._lines.setdefault(line, origin.order)
        self._lacks_package |= lacks_package
        self._is_misconfigured |= not lacks_package


def show_path(path: KeyPath) -> str:
    """Return a path as a user writes it: `nodes.view.inputs.frame[1]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".")


def show_value(value: object) -> str:
    """Return a value as a user writes it, or what it is if it is long."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 4]}...{text[-1]}"
