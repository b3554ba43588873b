"""What a graph must fulfil before it may run; each check yields every breach of it.

A breach is (path, text). The path of a link is `nodes.NODE.inputs.PORT[index]`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pipeline.config.flow import Flow, Specs, find_cycle, order_nodes
from pipeline.config.problems import KeyPath
from pipeline.graph import InputRef, JoinRule, NodeSpec
from pipeline.ports import input_ports
from pipeline.registry import suggest

Breach = tuple[KeyPath, str]


def check_nodes(specs: Specs) -> Iterator[Breach]:
    """Check the inputs of every node: those that it needs are there, and no others."""
    for spec in specs.values():
        yield from _check_source(spec) if spec.is_source else _check_ports(spec)


def check_sources(specs: Specs) -> Iterator[Breach]:
    """Check that something starts a stream."""
    if not any(spec.is_source for spec in specs.values()):
        yield ("nodes",), "no node is a source, so that nothing would ever happen"


def check_manner(specs: Specs) -> Iterator[Breach]:
    """Check that every node can run in the manner asked for: workers, batches, `join: none`."""
    for spec in specs.values():
        path = ("nodes", spec.name)
        yield from _check_workers(spec, path)
        yield from _check_batch(spec, path)
        if spec.join is JoinRule.NONE and len(spec.inputs) > 1:
            yield from _check_single_calls(spec, path)


def check_links(specs: Specs, names: Collection[str]) -> Iterator[Breach]:
    """Check every link: both its ends exist, its message fits, and no link leads back.

    Args:
        names: all nodes of the configuration, also those that could not be understood.
    """
    for spec in specs.values():
        for port, index, ref in spec.refs:
            path: KeyPath = ("nodes", spec.name, "inputs", port, index)
            if ref in spec.inputs[port][:index]:
                yield path, f"takes {ref.node}.{ref.output} twice"
            yield from ((path, text) for text in _check_link(spec, port, ref, specs, names))
    yield from _check_cycles(specs)


def check_flow(flow: Flow) -> Iterator[Breach]:
    """Check what depends on the ways of the streams; the links must be in order."""
    for name in flow.order:
        spec = flow.specs[name]
        yield from _check_single_arrival(spec, flow)
        if spec.is_joined:
            yield from _check_join(spec, flow)


def _check_source(spec: NodeSpec) -> Iterator[Breach]:
    if spec.inputs:
        text = f"{spec.node_class.__name__} is a source: it has no inputs"
        yield ("nodes", spec.name, "inputs"), text


def _check_ports(spec: NodeSpec) -> Iterator[Breach]:
    path = ("nodes", spec.name)
    ports = input_ports(spec.node_class)
    owner = spec.node_class.__name__
    for port in spec.inputs:
        if port not in ports:
            yield (*path, "inputs", port), f"{owner} has no input {port!r}. {suggest(port, ports)}"
    missing = [p for p, port in ports.items() if not port.optional and p not in spec.inputs]
    for port in missing:
        yield (*path, "inputs", port), f"is missing: {owner} needs {ports[port].message.__name__}"
    if not spec.inputs and not missing:
        yield path, f"{owner} has no inputs and is no source. Allowed: {', '.join(ports)}"


def _check_workers(spec: NodeSpec, path: KeyPath) -> Iterator[Breach]:
    cls = spec.node_class
    if spec.workers > 1 and not cls.stateless:
        yield (
            (*path, "workers"),
            (
                f"must be 1, not {spec.workers}: {cls.__name__} is not stateless, "
                "so that its calls must follow one another"
            ),
        )


def _check_batch(spec: NodeSpec, path: KeyPath) -> Iterator[Breach]:
    cls, size = spec.node_class, spec.batch.size
    if size > 1 and spec.is_source:
        yield (*path, "batch", "size"), f"must be 1, not {size}: {cls.__name__} is a source"
    elif size > 1 and len(input_ports(cls)) > 1:
        text = f"must be 1, not {size}: {cls.__name__} has several inputs"
        yield (*path, "batch", "size"), text


def _check_single_calls(spec: NodeSpec, path: KeyPath) -> Iterator[Breach]:
    """Check that a node can be called with one of several inputs at a time."""
    cls = spec.node_class
    needed = [name for name, port in input_ports(cls).items() if not port.optional]
    for name in needed:
        yield (
            (*path, "join"),
            (f"none calls {cls.__name__} with one input at a time, but it needs {name!r}"),
        )
    dense = [name for name, output in cls.outputs.items() if output.dense]
    for name in dense if not needed else ():
        yield (
            (*path, "join"),
            (
                f"none calls {cls.__name__} with one input at a time, but its output {name!r} "
                "answers for all of them at once (it is dense)"
            ),
        )


def _check_link(
    spec: NodeSpec, port: str, ref: InputRef, specs: Specs, names: Collection[str]
) -> Iterator[str]:
    if ref.node not in names:
        yield f"unknown node {ref.node!r}. {suggest(ref.node, names)}"
    if ref.node not in specs:
        return
    outputs = specs[ref.node].node_class.outputs
    if not outputs:
        yield f"{ref.node} has no outputs"
    elif ref.output not in outputs:
        yield f"{ref.node} has no output {ref.output!r}. {suggest(ref.output, outputs)}"
    elif not spec.is_source and port in (ports := input_ports(spec.node_class)):
        wanted, given = ports[port].message, outputs[ref.output].message
        if wanted is not given:
            yield (
                f"{spec.name}.{port} takes {wanted.__name__}, "
                f"but {ref.node}.{ref.output} gives {given.__name__}"
            )


def _check_cycles(specs: Specs) -> Iterator[Breach]:
    rest = order_nodes(specs)[1]
    while rest:
        cycle = find_cycle(specs, rest)
        refs = specs[cycle[0]].refs
        port, index = next((port, index) for port, index, ref in refs if ref.node == cycle[-2])
        path: KeyPath = ("nodes", cycle[0], "inputs", port, index)
        yield path, f"the links form a cycle: {' -> '.join(cycle)}"
        rest = order_nodes({n: specs[n] for n in rest if n not in cycle})[1]


def _check_single_arrival(spec: NodeSpec, flow: Flow) -> Iterator[Breach]:
    """Check that no input is given the same stream by two links."""
    for port, refs in spec.inputs.items():
        seen: dict[str, InputRef] = {}
        for index, ref in enumerate(refs):
            for stream in flow.streams[ref.node]:
                first = seen.setdefault(stream, ref)
                if first is not ref:
                    yield (
                        ("nodes", spec.name, "inputs", port, index),
                        (
                            f"stream {stream!r} arrives twice: by {first.node}.{first.output} "
                            f"and by {ref.node}.{ref.output}"
                        ),
                    )


def _check_join(spec: NodeSpec, flow: Flow) -> Iterator[Breach]:
    for port, index, ref in spec.refs:
        if origin := flow.sparse_origin(ref):
            output = f"{ref.node}.{ref.output}"
            why = "is sparse" if origin == output else f"follows {origin}, which is sparse"
            yield (
                ("nodes", spec.name, "inputs", port, index),
                (
                    f"{output} {why}: it has no answer for every message, "
                    f"so that join: {spec.join} would wait for ever. Write join: none"
                ),
            )
    if not flow.streams[spec.name] and all(map(flow.arriving, spec.inputs.values())):
        carried = [f"{p} brings {_list(flow, refs)}" for p, refs in spec.inputs.items()]
        yield (
            ("nodes", spec.name, "inputs"),
            (f"no stream reaches all inputs, so that they never meet: {', '.join(carried)}"),
        )


def _list(flow: Flow, refs: Sequence[InputRef]) -> str:
    arriving = flow.arriving(refs)
    return " and ".join(stream for stream in flow.order if stream in arriving)
