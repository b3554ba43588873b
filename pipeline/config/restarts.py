"""What `restart: true` asks of a graph: groups that can begin again, and what links keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pipeline.config.checks import Breach
from pipeline.config.flow import Specs
from pipeline.config.layout import TopEntry
from pipeline.graph import Edge, JoinRule, NodeSpec
from pipeline.history import MAX_MEMORY
from pipeline.node import Source, memory_of


def check_restart(specs: Specs, top: TopEntry) -> Iterator[Breach]:
    """Check that every process group of this machine can be started again, if it is asked to."""
    if not top.restart:
        return
    place = _own(top)
    if not place:
        yield ("restart",), "starts process groups again, but `place` names none on this machine"
    for group in dict.fromkeys(place.values()):
        nodes = [spec for name, spec in specs.items() if place.get(name) == group]
        for spec in nodes:
            if why := _why_not(spec):
                yield ("place", spec.name), why
            elif not any(ref.node == spec.name for s in specs.values() for _, _, ref in s.refs):
                yield (
                    ("place", spec.name),
                    "nobody takes from it who knows where to go on: leave it out of `place`",
                )
        if sum(memory_of(spec.node_class) or 0 for spec in nodes) > MAX_MEMORY:
            yield ("restart",), f"group {group!r} looks back over more than {MAX_MEMORY} messages"


def _own(top: TopEntry) -> dict[str, str]:
    """Return node -> group for the groups that the runner starts itself."""
    return {node: group for node, group in top.place.items() if group not in top.hosts}


def _why_not(spec: NodeSpec) -> str | None:
    """Say why a process with this node cannot be started again."""
    cls = spec.node_class
    cure = "so that its process cannot be started again: leave it out of `place`"
    if issubclass(cls, Source):
        return None if cls(spec.params).replays else f"what {spec.name} reads comes once, {cure}"
    if spec.is_joined and spec.join is JoinRule.LATEST:
        return f"{spec.name} takes sets without bound (join: latest), {cure}"
    if memory_of(cls) is None:
        return f"{cls.__name__} depends on all that came before, {cure}"
    if not cls.outputs or not all(output.dense for output in cls.outputs.values()):
        return f"{cls.__name__} does not answer every message, {cure}"
    return None


def keep_for_restarts(edges: Iterable[Edge], specs: Specs, top: TopEntry) -> tuple[Edge, ...]:
    """Return the links with what their producers have to keep.

    A producer keeps what may be under way in a group: what its consumers outside have not got is
    among the last items that were sent into it, as windows, batches and workers bound their number.
    """
    edges, place = tuple(edges), _own(top)
    if not top.restart:
        return edges
    return tuple(
        edge
        if place.get(edge.producer) == place.get(edge.consumer)
        else replace(
            edge,
            keeps=_under_way(edge, edges, specs, place) if edge.consumer in place else 0,
            may_resume=edge.producer in place,
        )
        for edge in edges
    )


def _under_way(edge: Edge, edges: Iterable[Edge], specs: Specs, place: Mapping[str, str]) -> int:
    inside = _behind(place[edge.consumer], edges, specs, place)
    on_links = edge.window + sum(e.window for e in edges if e.producer in inside)
    in_nodes = sum(
        specs[n].batch.size * (specs[n].workers + 1) + 1 + (memory_of(specs[n].node_class) or 0)
        for n in inside
    )
    return on_links + in_nodes + 1  # and the end of the stream


def _behind(group: str, edges: Iterable[Edge], specs: Specs, place: Mapping[str, str]) -> set[str]:
    """Return the nodes of a group and of those that it feeds directly: they may die together."""
    inside: set[str] = set()
    found = {group}
    while found:
        inside |= {name for name in specs if place.get(name) in found}
        fed = {place.get(e.consumer) for e in edges if e.producer in inside}
        found = {name for name in fed if name} - {place[name] for name in inside}
    return inside
