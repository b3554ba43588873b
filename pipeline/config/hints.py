"""What the fields of a settings class say of themselves: type, default and one line of help."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Schema = dict[str, Any]

PLAIN = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    Path: "string",
    type(None): "null",
}
"""Types of Python -> those of JSON Schema."""


@dataclasses.dataclass(frozen=True)
class Field:
    """One setting."""

    name: str
    hint: Any
    """Its type, without `Annotated`."""
    text: str
    """One line of help; empty where there is none."""
    default: Any
    """`dataclasses.MISSING` where it has to be given."""


def settings(cls: type) -> Iterator[Field]:
    """Yield the fields of a dataclass that a user may set."""
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default = field.default
        if callable(field.default_factory):
            default = field.default_factory()
        hint, text = hints[field.name], ""
        if get_origin(hint) is Annotated:
            text = next((mark for mark in hint.__metadata__ if isinstance(mark, str)), "")
            hint = get_args(hint)[0]
        yield Field(field.name, hint, text, default)


def schema_of(hint: Any) -> Schema:
    """Return the JSON Schema of a type; {} allows anything."""
    if get_origin(hint) is Annotated:
        return schema_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _of_union([schema_of(inner) for inner in get_args(hint)])
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if get_origin(hint) is not None:
        return _of_container(get_origin(hint), get_args(hint))
    if hint in PLAIN:
        return {"type": PLAIN[hint]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if dataclasses.is_dataclass(hint):
        keys = {f.name: schema_of(f.hint) | default_of(f) for f in settings(hint)}  # type: ignore[arg-type]
        return {"type": "object", "properties": keys, "additionalProperties": False}
    return {}


def or_null(schema: Schema) -> Schema:
    """Return a schema that also allows null, as the empty one does."""
    if not schema.keys() & {"enum", "anyOf", "type"}:
        return schema
    if "enum" in schema:
        values = schema["enum"]
        return schema if None in values else schema | {"enum": [*values, None]}
    if "anyOf" in schema:
        others = [inner for inner in schema["anyOf"] if inner != {"type": "null"}]
        return schema | {"anyOf": [*others, {"type": "null"}]}
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return schema if "null" in names else schema | {"type": [*names, "null"]}


def default_of(field: Field) -> Schema:
    """Return the default as plain data, under the key `default`; {} where there is none."""
    if field.default is dataclasses.MISSING:
        return {}
    return {"default": _plain(field.default)}


def described(text: str) -> Schema:
    """Return a line of help under the key `description`; {} for none."""
    return {"description": text} if text else {}


def name_of(hint: Any) -> str:
    """Return a type in the words of a user: `auto|cpu`, `int or null`, `list of float`."""
    if get_origin(hint) is Annotated:
        return name_of(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(name_of, get_args(hint))))
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "|".join(str(member.value) for member in hint)
    if get_origin(hint) in (tuple, list, Sequence):
        return "list of " + " and ".join(
            dict.fromkeys(name_of(i) for i in get_args(hint) if i is not ...)
        )
    if hint is type(None):
        return "null"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _of_union(alternatives: Sequence[Schema]) -> Schema:
    if all(set(schema) == {"type"} for schema in alternatives):
        names = list(dict.fromkeys(schema["type"] for schema in alternatives))
        return {"type": names[0] if len(names) == 1 else names}
    return {"anyOf": list(alternatives)}


def _of_container(origin: Any, inner: Sequence[Any]) -> Schema:
    if origin is tuple and inner and inner[-1] is not ...:
        items = [schema_of(hint) for hint in inner]
        return {
            "type": "array",
            "prefixItems": items,
            "minItems": len(items),
            "maxItems": len(items),
        }
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1])}
    return {"type": "array", "items": schema_of(inner[0]) if inner else {}}


def _plain(value: Any) -> Any:
    """Return a default as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
