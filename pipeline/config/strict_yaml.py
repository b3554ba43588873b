"""YAML without surprises: each key once, decimal numbers, `true` and `false` as only Booleans.

Reads a document into plain data together with the line of every key and list entry. A scalar that
is not quoted is null (`null`, `~` or nothing), a Boolean (`true`, `false`), a decimal number (`12`,
`-0.5`, `1e-4`), or else a text; `on`, `no`, `1_000`, `0x1F` and `2024-01-01` are texts. Tags, merge
keys, infinite numbers and numbers with leading zeros are refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import ComposerError

from pipeline.config.problems import Finding, KeyPath
from pipeline.errors import ConfigError

MAX_BYTES = 2**20
MAX_VALUES = 20_000  # after aliases are expanded, so that they cannot multiply without bound
MAX_DEPTH = 40
MAX_DIGITS = 30
TOO_LARGE = f"too large: at most {MAX_VALUES} values, {MAX_DEPTH} levels deep"
TEXT_TAG = "tag:yaml.org,2002:str"
CONSTANTS = {"": None, "null": None, "~": None, "true": True, "false": False}
INTEGER = re.compile(r"[-+]?[0-9]+")
LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
REAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


@dataclass(frozen=True)
class Document:
    """Plain data, the line of every key and list entry in it, and what is wrong with it."""

    data: Any
    lines: dict[KeyPath, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def read_yaml(text: str, origin: str) -> Document:
    """Read one YAML document.

    Raises:
        ConfigError: the text, which stands in `origin`, is no YAML, or too large, or has tags.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise ConfigError(f"{origin}: larger than {MAX_BYTES // 2**20} MiB")
    try:
        node = _Loader(text.removeprefix("\ufeff")).get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{origin}:{line}: {_explain(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{origin}:{line}: the character U+{error.character:04X} is not allowed"
        ) from error
    reader = _Reader(origin)
    data = None if node is None else reader.read(node, ())
    return Document(data, reader.lines, reader.findings)


def read_scalar(text: str) -> Any:
    """Return what a scalar without quotes means.

    Raises:
        ValueError: it looks like a number, but not like one number only.
    """
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text) and len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits: quote it for a text")
    if LEADING_ZERO.fullmatch(text):
        raise ValueError(f"{text} has a leading zero: write {int(text)}, or {text!r} for a text")
    if INTEGER.fullmatch(text):
        return int(text)
    number = float(text) if REAL.fullmatch(text) else None
    if NOT_FINITE.fullmatch(text) or (number is not None and math.isinf(number)):
        raise ValueError(f"{text} is not a finite number: write {text!r} for a text")
    return text if number is None else number


def write_yaml(data: Any) -> str:
    """Write plain data, keys in their order, as `read_yaml` and other readers of YAML read it."""
    return yaml.dump(
        data,
        Dumper=_Dumper,
        default_flow_style=None,
        sort_keys=False,
        width=100,
        allow_unicode=False,  # else some line breaks of Unicode would be read back as spaces
    )


class _Loader(yaml.SafeLoader):
    """Composes nodes without giving any scalar a type; refuses tags, and too many nodes."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if tag := getattr(event, "tag", None):
            short = tag.replace("tag:yaml.org,2002:", "!!")
            raise ComposerError(None, None, f"the tag {short} is not allowed", event.start_mark)
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise ComposerError(None, None, TOO_LARGE, event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Reader:
    """Turns nodes into plain data, noting lines and findings."""

    def __init__(self, origin: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.findings: list[Finding] = []
        self._origin = origin
        self._depth = 0
        self._count = 0

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        """Read a node that stands at `path`."""
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_VALUES:  # aliases can make it endless
            raise ConfigError(f"{self._origin}:{line}: {TOO_LARGE}")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._depth += 1
        if isinstance(node, yaml.MappingNode):
            data: Any = self._mapping(node, path)
        else:
            data = [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        self._depth -= 1
        return data

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        text: str = node.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._find(path, node, "half of a surrogate pair is not a character")
            return ""
        if node.style is not None:
            return text
        try:
            return read_scalar(text)
        except ValueError as error:
            self._find(path, node, str(error))
            return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in data:
                text = f"given twice, first in line {first[key]}"
                self.findings.append(Finding((*path, key), line, text))
                continue
            first[key] = self.lines[(*path, key)] = line
            data[key] = self.read(value_node, (*path, key))
        return data

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        """Return a key, or None if it cannot be one."""
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        if not isinstance(node, yaml.ScalarNode):
            self._find(path, node, "a key must be a text, not a list or a mapping")
        elif plain and node.value == "<<":
            self._find(path, node, "merge keys (<<) are not supported: repeat the keys")
        elif plain and not _is_text(node.value):
            self._find(
                path, node, f"the key {node.value or 'null'} is no text: write {node.value!r}"
            )
        else:
            return str(node.value)
        return None

    def _find(self, path: KeyPath, node: yaml.Node, text: str) -> None:
        self.findings.append(Finding(path, node.start_mark.line + 1, text))


def _is_text(plain: str) -> bool:
    """Say whether a scalar without quotes is a text."""
    try:
        return isinstance(read_scalar(plain), str)
    except ValueError:
        return False


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not valid YAML"
    if "'\\t'" in problem:
        return "a tab cannot indent: use spaces"
    if problem == "but found another document":
        return "a second document begins here: one file holds one graph"
    if problem.startswith("the tag") or problem == TOO_LARGE:
        return problem
    begun = ""
    if error.context and error.context_mark:
        begun = f" ({error.context}, begun in line {error.context_mark.line + 1})"
    return f"not valid YAML: {problem}{begun}"


class _Dumper(yaml.SafeDumper):
    """Writes scalars as `read_scalar` reads them; quotes what others take for no text."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent(dumper: _Dumper, value: object) -> yaml.ScalarNode:
    if not isinstance(value, str):
        return dumper.represent_scalar(TEXT_TAG, _plain(value))
    resolve = yaml.resolver.Resolver().resolve
    elsewhere = resolve(yaml.ScalarNode, value, (True, False))  # type: ignore[no-untyped-call]
    is_text = _is_text(value) and elsewhere == TEXT_TAG
    return dumper.represent_scalar(TEXT_TAG, value, style=None if is_text else "'")


def _plain(value: object) -> str:
    if not isinstance(value, float):
        return next((text for text, v in CONSTANTS.items() if text and v is value), str(value))
    mantissa, e, exponent = repr(value).partition("e")
    mantissa += "" if "." in mantissa else ".0"  # PyYAML reads 1e-05 as a text, 1.0e-05 as a number
    return f"{mantissa}{e}{exponent}"


for _kind in (str, bool, int, float, type(None)):
    _Dumper.add_representer(_kind, _represent)
