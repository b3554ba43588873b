"""Options that change a configuration before it is checked: `--set` and `--placement`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.config.problems import MAX_SHOWN, KeyPath, Problems, show_path, show_value
from pipeline.config.strict_yaml import read_yaml
from pipeline.errors import ConfigError
from pipeline.registry import suggest

TOP_KEYS = (
    "name", "nodes", "limits", "place", "carrier", "restart", "hosts", "keys", "allow_plaintext",
    "publish", "seed",
)  # fmt: skip
PLACEMENTS = ("threads", "processes")


def apply_sets(data: dict[str, Any], sets: Sequence[str], problems: Problems) -> None:
    """Put the values of `--set path.to.key=value` into a configuration; a path begins at a node."""
    for text in sets:
        try:
            _apply(data, text, problems)
        except ConfigError as error:
            problems.add_option(_show(text), str(error))


def apply_placement(data: dict[str, Any], placement: str | None, problems: Problems) -> None:
    """Put every node into this process, or into one of its own."""
    if placement is None:
        return
    option = f"--placement {placement}"
    if placement not in PLACEMENTS:
        problems.add_option(option, f"unknown placement. {suggest(placement, PLACEMENTS)}")
        return
    nodes = data.get("nodes")
    names = nodes if isinstance(nodes, dict) and placement == "processes" else {}
    data["place"] = {name: name for name in names}
    problems.written_by_option(option, ("place",))


def _apply(data: dict[str, Any], text: str, problems: Problems) -> None:
    keys, equals, value_text = text.partition("=")
    if not equals or not all(keys.split(".")):
        raise ConfigError("write it as node.key=value, such as detector.params.algorithm=sift")
    path = _path(data, keys.split("."))
    _put(data, path, _value(value_text))
    problems.written_by_option(_show(text), path)


def _show(text: str) -> str:
    return f"--set {text}" if len(text) <= MAX_SHOWN else f"--set {text[: MAX_SHOWN - 3]}..."


def _value(text: str) -> Any:
    try:
        document = read_yaml(text, "")
    except ConfigError as error:
        raise ConfigError(str(error).partition(": ")[2]) from error  # a line number says nothing
    if document.findings:
        raise ConfigError("; ".join(finding.text for finding in document.findings))
    return document.data


def _path(data: dict[str, Any], keys: list[str]) -> KeyPath:
    nodes = data.get("nodes")
    names = list(nodes) if isinstance(nodes, dict) else []
    if keys[0] in names:
        return ("nodes", *keys)
    if keys[0] in TOP_KEYS:
        return tuple(keys)
    raise ConfigError(f"unknown node or key {keys[0]!r}. {suggest(keys[0], [*names, *TOP_KEYS])}")


def _put(data: dict[str, Any], path: KeyPath, value: Any) -> None:
    for length, key in enumerate(path[:-1], 1):
        if data.get(key) is None:  # type: ignore[arg-type]
            data[key] = {}  # type: ignore[index]
        data = data[key]  # type: ignore[index]
        if not isinstance(data, dict):
            what = f"{show_path(path[:length])} is {show_value(data)}"
            raise ConfigError(f"{what}, which has no key {path[length]!r}")
    data[path[-1]] = value  # type: ignore[index]
