"""Builds a graph from plain data: reads every entry, runs every check, links the nodes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from pipeline.config import plugins
from pipeline.config.checks import (
    Breach,
    check_flow,
    check_links,
    check_manner,
    check_nodes,
    check_sources,
)
from pipeline.config.flow import Flow
from pipeline.config.inputs import InputReader
from pipeline.config.layout import GRAPH_NAME, NODE_NAME, NODE_NAME_RULE, NodeEntry, TopEntry
from pipeline.config.network import check_network
from pipeline.config.problems import KeyPath, Problems, show_value
from pipeline.config.resolved import resolve
from pipeline.config.restarts import check_restart, keep_for_restarts
from pipeline.config.windows import link_nodes
from pipeline.errors import ConfigError, MissingDependencyError
from pipeline.graph import Edge, Graph, InputRef, NodeSpec
from pipeline.node import Node
from pipeline.registry import suggest


class Settings(Protocol):
    """Makes dataclasses of plain data, and notes what is wrong; see pipeline/config/__init__.py."""

    def check(self, cls: type, value: Any, path: KeyPath) -> Any:
        """Return an instance of `cls`, or None if that is impossible."""

    def check_with_plugins(self, cls: type, value: Any, path: KeyPath) -> Any:
        """Return an instance of `cls` as `check` does, with the options of the plug-in it names."""


class Builder:
    """Builds one graph, and collects all problems on the way."""

    def __init__(self, problems: Problems, settings: Settings) -> None:
        self._problems = problems
        self._settings = settings
        self._written: dict[KeyPath, KeyPath] = {}
        """`nodes.NODE.inputs.PORT[index]` -> where this link is written."""

    def build(self, data: Mapping[str, Any], default_name: str) -> Graph:
        """Return the graph of a whole configuration.

        Raises:
            ConfigError, MissingDependencyError: as `Problems.raise_if_any` says.
        """
        top = self._settings.check(TopEntry, _without_nulls(data), ())
        entries = self._entries(data.get("nodes"))
        names = list(data["nodes"]) if entries else []
        specs = self._specs(entries, names)
        if top:
            self._check_place(top.place, names)
            self._note(check_network(top, specs))
            self._note(check_restart(specs, top))
        self._problems.raise_if_any()
        return _assemble(top, specs, top.name or _as_name(default_name))

    def _entries(self, nodes: Any) -> dict[str, Mapping[str, Any]]:
        """Return the entries of all nodes that have the form of one."""
        if nodes is None or nodes == {}:
            state = "missing" if nodes is None else "empty"
            self._problems.add(("nodes",), f"is {state}: a graph needs nodes")
            return {}
        if not isinstance(nodes, Mapping):
            self._problems.add(("nodes",), f"must be a mapping, not {show_value(nodes)}")
            return {}
        entries = {name: self._entry(name, entry) for name, entry in nodes.items()}
        return {name: entry for name, entry in entries.items() if entry is not None}

    def _entry(self, name: str, entry: Any) -> dict[str, Any] | None:
        if not NODE_NAME.fullmatch(name):
            self._problems.add(("nodes", name), f"the name of a node must be {NODE_NAME_RULE}")
        if entry is None or isinstance(entry, Mapping):
            return _without_nulls(entry or {})
        self._problems.add(("nodes", name), f"must be a mapping, not {show_value(entry)}")
        return None

    def _specs(
        self, entries: Mapping[str, Mapping[str, Any]], names: Collection[str]
    ) -> dict[str, NodeSpec]:
        """Return the nodes whose types are known, checked as far as that goes."""
        count = self._problems.count
        specs = {n: spec for n, entry in entries.items() if (spec := self._spec(n, entry))}
        self._read_inputs(specs, entries)
        if len(specs) == len(names):
            self._note(check_sources(specs))
        self._note(check_nodes(specs))
        self._note(check_links(specs, names))
        if self._problems.count == count:  # else the ways of the streams are not known
            self._note(check_flow(Flow(specs)))
        self._note(check_manner(specs))
        for name, spec in specs.items():
            path, params = ("nodes", name, "params"), entries[name].get("params")
            settings = self._settings.check_with_plugins(spec.node_class.Params, params, path)
            specs[name] = dataclasses.replace(spec, params=settings)
        return specs

    def _spec(self, name: str, entry: Mapping[str, Any]) -> NodeSpec | None:
        path = ("nodes", name)
        head = self._settings.check(NodeEntry, entry, path) or NodeEntry("")
        cls = self._node_class(entry.get("type"), (*path, "type"))
        if cls is None:
            return None
        spec = NodeSpec(
            name, entry["type"], cls, None, {}, head.join, head.batch, head.workers,
            head.pace or "fastest",
        )  # fmt: skip
        if head.pace and not spec.is_source:
            self._problems.add((*path, "pace"), f"only a source has a pace, not {cls.__name__}")
        return spec

    def _node_class(self, name: Any, path: KeyPath) -> type[Node] | None:
        try:
            return plugins.load_node(name) if isinstance(name, str) else None
        except ConfigError as error:
            self._problems.add(path, str(error))
        except MissingDependencyError as error:
            self._problems.add(path, str(error), lacks_package=True)
        return None

    def _read_inputs(
        self, specs: dict[str, NodeSpec], entries: Mapping[str, Mapping[str, Any]]
    ) -> None:
        outputs = [f"{n}.{output}" for n, s in specs.items() for output in s.node_class.outputs]
        reader = InputReader(self._problems, outputs)
        for name, entry in entries.items():
            path: KeyPath = ("nodes", name, "inputs")
            links = reader.read(entry.get("inputs"), path)
            for port, written in links.items():
                self._written |= {(*path, port, i): where for i, (where, _) in enumerate(written)}
            if name in specs:
                inputs = {port: tuple(ref for _, ref in written) for port, written in links.items()}
                specs[name] = dataclasses.replace(specs[name], inputs=inputs)

    def _note(self, breaches: Iterable[Breach]) -> None:
        for path, text in breaches:
            self._problems.add(self._written.get(path, path), text)

    def _check_place(self, place: Mapping[str, str], names: Iterable[str]) -> None:
        for name, group in place.items():
            if name not in names:
                self._problems.add(
                    ("place", name), f"unknown node {name!r}. {suggest(name, names)}"
                )
            if not NODE_NAME.fullmatch(group):
                text = f"the name of a group must be {NODE_NAME_RULE}, not {group!r}"
                self._problems.add(("place", name), text)


def _assemble(top: TopEntry, specs: Mapping[str, NodeSpec], name: str) -> Graph:
    flow = Flow(specs)
    edges = keep_for_restarts(link_nodes(flow), specs, top)
    graph = Graph(
        name=name,
        nodes={n: dataclasses.replace(specs[n], inputs=_inputs(n, edges)) for n in flow.order},
        edges=edges,
        place=dict(top.place),
        carrier=top.carrier,
        restart=top.restart,
        hosts=dict(top.hosts),
        keys=top.keys,
        allow_plaintext=top.allow_plaintext,
        publish=dict(top.publish),
        hang_s=top.limits.hang_s,
        seed=top.seed,
    )
    return dataclasses.replace(graph, resolved=resolve(graph))


def _inputs(name: str, edges: Iterable[Edge]) -> dict[str, tuple[InputRef, ...]]:
    """Return the inputs of a node with the policies that its links have."""
    inputs: dict[str, tuple[InputRef, ...]] = {}
    for edge in edges:
        if edge.consumer == name:
            ref = InputRef(edge.producer, edge.output, edge.policy)
            inputs[edge.input] = (*inputs.get(edge.input, ()), ref)
    return inputs


def _without_nulls(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry without the keys that nothing follows: they stand for their defaults."""
    return {key: value for key, value in entry.items() if value is not None}


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text)[:80].lstrip("_.-")
    return name if GRAPH_NAME.fullmatch(name) else "graph"
