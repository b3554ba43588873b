"""How streams flow through a graph: the order of the nodes, and what each output carries.

A node with one input, or with `join: none`, passes on every stream that reaches it. A node that
joins several inputs passes on the streams that all of them carry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.graph import InputRef, NodeSpec

Specs = Mapping[str, NodeSpec]


def order_nodes(specs: Specs) -> tuple[list[str], list[str]]:
    """Return the nodes in the order in which data passes them, and those that it never reaches.

    What the links leave open goes by the order of the configuration. The second list is empty
    unless links form a cycle.
    """
    waiting = {
        name: {ref.node for _, _, ref in spec.refs} & set(specs) for name, spec in specs.items()
    }
    ordered: list[str] = []
    while ready := next((n for n, producers in waiting.items() if producers <= set(ordered)), None):
        ordered.append(ready)
        del waiting[ready]
    return ordered, list(waiting)


def find_cycle(specs: Specs, names: Iterable[str]) -> list[str]:
    """Return one cycle, along its links, among nodes that each take an output of another."""
    among = list(names)
    path = [among[0]]
    while path[-1] not in path[:-1]:
        path.append(next(ref.node for _, _, ref in specs[path[-1]].refs if ref.node in among))
    return path[path.index(path[-1]) :][::-1]


class Flow:
    """What every output of a graph without cycles carries.

    Attributes:
        order: names of the nodes in the order in which data passes them.
        streams: node -> names of the streams that its outputs carry.
    """

    def __init__(self, specs: Specs) -> None:
        self.specs = specs
        self.order, _ = order_nodes(specs)
        self.streams: dict[str, tuple[str, ...]] = {}
        for name in self.order:
            self.streams[name] = self._passed_on(specs[name])

    def arriving(self, refs: Iterable[InputRef]) -> set[str]:
        """Return the streams that arrive by any of several links."""
        return {stream for ref in refs for stream in self.streams[ref.node]}

    def sparse_origin(self, ref: InputRef) -> str | None:
        """Return the sparse output that keeps a link from answering every key, if there is one."""
        spec = self.specs[ref.node]
        if not spec.node_class.outputs[ref.output].dense:
            return f"{ref.node}.{ref.output}"
        origins = (self.sparse_origin(ref) for _, _, ref in spec.refs)
        return next((origin for origin in origins if origin), None)

    def _passed_on(self, spec: NodeSpec) -> tuple[str, ...]:
        if spec.is_source:
            return (spec.name,)
        ports = [self.arriving(refs) for refs in spec.inputs.values()]
        streams = set.intersection(*ports) if spec.is_joined else set().union(*ports)
        return tuple(stream for stream in self.order if stream in streams)
