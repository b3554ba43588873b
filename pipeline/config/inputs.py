"""Reads the `inputs` of a node: `node.output`, a list of such, or `{from: ..., policy: ...}`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pipeline.config.problems import KeyPath, Problems, show_value
from pipeline.graph import InputRef, Policy
from pipeline.registry import suggest

FORMS = "node.output, a list of such, or {from: ..., policy: ...}"
KEYS = ("from", "policy")

Written = tuple[KeyPath, InputRef]
"""A link, and where it is written."""


class InputReader:
    """Reads inputs, and notes what is wrong with them.

    Args:
        outputs: all outputs that there are, as `node.output`, for suggestions.
    """

    def __init__(self, problems: Problems, outputs: Collection[str]) -> None:
        self._problems = problems
        self._outputs = outputs

    def read(self, value: Any, path: KeyPath) -> dict[str, list[Written]]:
        """Return the links into each input of a node."""
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._problems.add(path, f"must map inputs to outputs, not be {show_value(value)}")
            return {}
        return {port: list(self._links(refs, (*path, port), None)) for port, refs in value.items()}

    def _links(self, value: Any, path: KeyPath, policy: Policy | None) -> Iterator[Written]:
        if isinstance(value, list) and value:
            for index, item in enumerate(value):
                yield from self._link(item, (*path, index), policy)
        else:
            yield from self._link(value, path, policy)

    def _link(self, value: Any, path: KeyPath, policy: Policy | None) -> Iterator[Written]:
        if isinstance(value, str):
            yield from self._reference(value, path, policy)
        elif isinstance(value, Mapping) and path[-1] != "from":
            yield from self._with_policy(value, path)
        elif value == []:
            self._problems.add(path, "names no output")
        else:
            self._problems.add(path, f"must be {FORMS}, not {show_value(value)}")

    def _with_policy(self, value: Mapping[str, Any], path: KeyPath) -> Iterator[Written]:
        for key in value:
            if key not in KEYS:
                self._problems.add((*path, key), f"unknown key. {suggest(key, KEYS)}")
        policy = self._policy(value.get("policy"), (*path, "policy"))
        if "from" in value:
            yield from self._links(value["from"], (*path, "from"), policy)
        else:
            self._problems.add((*path, "from"), "is missing")

    def _policy(self, value: Any, path: KeyPath) -> Policy | None:
        if value is None or value in list(Policy):
            return value and Policy(value)
        allowed = suggest(str(value), [policy.value for policy in Policy])
        self._problems.add(path, f"unknown value {show_value(value)}. {allowed}")
        return None

    def _reference(self, text: str, path: KeyPath, policy: Policy | None) -> Iterator[Written]:
        node, _, output = text.partition(".")
        if node and output and "." not in output:
            yield path, InputRef(node, output, policy)
            return
        near = [name for name in self._outputs if name.partition(".")[0] == node]
        hint = f". Did you mean {near[0]!r}?" if near else ""
        self._problems.add(path, f"must be node.output, not {show_value(text)}{hint}")
