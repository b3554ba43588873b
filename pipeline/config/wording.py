"""Puts what pydantic finds wrong with a value into the words of this project."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.config.problems import KeyPath, show_value
from pipeline.registry import suggest

WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text",
    "path_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
}
"""Type of pydantic's error -> what the value must be."""

BOOLEAN_WORDS = {
    **dict.fromkeys(("yes", "on", "true", "y"), "true"),
    **dict.fromkeys(("no", "off", "false", "n"), "false"),
}
"""What other readers of YAML take for Booleans."""

Error = Mapping[str, Any]


def word_errors(
    errors: Iterable[Error], value: Any, keys: Callable[[KeyPath], Sequence[str]]
) -> Iterator[tuple[KeyPath, str]]:
    """Yield (path below the value, text) for what pydantic found wrong.

    Args:
        errors: from `ValidationError.errors()`; each `loc` begins at the value.
        value: what was validated.
        keys: returns the keys that the mapping at a path may have.
    """
    by_path: dict[KeyPath, list[Error]] = {}
    for error in errors:
        by_path.setdefault(_path(error, value), []).append(error)
    for path, group in by_path.items():
        if group[0]["type"] == "value_error":
            yield word_refusal(path, str(group[0]["ctx"]["error"]), keys(path))
        else:
            yield path, _word(group, keys(path[:-1]))


def _path(error: Error, value: Any) -> KeyPath:
    """Return the path of an error without pydantic's names for the alternatives of a union."""
    *parts, last = error["loc"] or ("",)
    path: KeyPath = ()
    for part in parts:
        if _has(value, part):
            path, value = (*path, part), value[part]
    if _has(value, last) or (error["type"] == "missing" and isinstance(last, str)):
        return (*path, last)
    return path


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def word_refusal(path: KeyPath, text: str, keys: Sequence[str]) -> tuple[KeyPath, str]:
    """Say what a `__post_init__` refused: at the key that its message begins with, if it does."""
    key, _, rest = text.partition(" ")
    if key not in keys:
        return path, text
    return (*path, key), rest if rest.startswith("must ") else text


def _word(errors: list[Error], names: Sequence[str]) -> str:
    """Say what is wrong with one value: all alternatives of a union in one sentence."""
    kind, given = errors[0]["type"], errors[0]["input"]
    if kind == "unexpected_keyword_argument":
        nearest = suggest(errors[0]["loc"][-1], names)
        return f"unknown key. {nearest}" if names else "unknown key: there is nothing to set here"
    if kind == "missing":
        return "has too few entries" if isinstance(errors[0]["loc"][-1], int) else "is missing"
    if kind == "too_long":
        longest, length = errors[0]["ctx"]["max_length"], errors[0]["ctx"]["actual_length"]
        return f"must have {longest} entries, not {length}"
    if not all(e["type"] in WANTED or e["type"] in ("literal_error", "enum") for e in errors):
        return str(errors[0]["msg"])
    return _word_alternatives(errors, given)


def _word_alternatives(errors: list[Error], given: Any) -> str:
    allowed = [name for error in errors for name in _allowed(error)]
    wanted = dict.fromkeys(WANTED[e["type"]] for e in errors if e["type"] in WANTED)
    if allowed and not wanted:
        return f"unknown value {show_value(given)}. {suggest(str(given), allowed)}"
    text = f"must be {_or([*map(repr, allowed), *wanted])}, not {show_value(given)}"
    if allowed:
        hint = suggest(str(given), allowed).partition("Allowed:")[0].strip()
        return f"{text}. {hint}" if hint else text
    return text + _cure(list(wanted), given)


def _cure(wanted: list[str], given: Any) -> str:
    """Return the end of a message that says what to write instead, where that is clear."""
    if wanted == ["true or false"] and str(given).lower() in BOOLEAN_WORDS:
        return f": write {BOOLEAN_WORDS[str(given).lower()]}"
    if wanted == ["a text"] and isinstance(given, bool | int | float):
        return f": write '{show_value(given)}', with the quotes"
    return ""


def _allowed(error: Error) -> list[str]:
    """Return the values that a Literal or an enumeration allows."""
    if error["type"] not in ("literal_error", "enum"):
        return []
    return [name.strip("'") for name in re.split(r", | or ", error["ctx"]["expected"])]


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
