"""Draws a graph as text for the terminal, and as Mermaid for a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.graph import Edge, Graph, NodeSpec
from pipeline.ports import input_ports

MAIN = "main"  # what the process of nodes without a group is called


def draw_text(graph: Graph) -> str:
    """Return a paragraph for each node: how it runs, what it takes from where, what it gives."""
    paragraphs = [_headline(graph)]
    for spec in graph.nodes.values():
        rows = [*_input_rows(spec, graph), *_output_rows(spec, graph)]
        title = f"{spec.name}: {spec.type}   {', '.join(_manner(spec, graph))}"
        paragraphs.append("\n".join([title, *_align(rows)]))
    return "\n\n".join(paragraphs)


def draw_mermaid(graph: Graph) -> str:
    """Return a Mermaid flowchart, with a box around each process group."""
    lines = ["flowchart LR"]
    groups = dict.fromkeys(graph.place.get(name, MAIN) for name in graph.nodes)
    for group in groups:
        names = [name for name in graph.nodes if graph.place.get(name, MAIN) == group]
        boxes = [_box(graph.nodes[name], graph) for name in names]
        if len(groups) == 1:
            lines += [f"  {box}" for box in boxes]
        else:
            title = f'  subgraph group_{group}["{group}"]'
            lines += [title, *(f"    {box}" for box in boxes), "  end"]
    return "\n".join([*lines, *(f"  {_arrow(edge)}" for edge in graph.edges)])


def _headline(graph: Graph) -> str:
    limits = f"hang limit {graph.hang_s:g} s, seed {graph.seed}"
    carrier = f", processes linked by {graph.carrier}" if graph.place else ""
    restart = ", started again when they die" if graph.restart else ""
    return f"{graph.name}   {limits}{carrier}{restart}"


def _manner(spec: NodeSpec, graph: Graph) -> Iterator[str]:
    """Yield how a node runs, as far as that is not the default."""
    if spec.is_source:
        yield (
            f"source at {spec.pace:g} Hz"
            if isinstance(spec.pace, float)
            else f"source, {spec.pace}"
        )
    if len(spec.inputs) > 1:
        yield f"join {spec.join}"
    if spec.batch.size > 1:
        yield f"batch {spec.batch.size} within {spec.batch.wait_ms:g} ms"
    if spec.workers > 1:
        yield f"{spec.workers} workers"
    group = graph.place.get(spec.name, MAIN)
    at = f" at {graph.hosts[group]}" if group in graph.hosts else ""
    yield f"process {group}{at}"


def _input_rows(spec: NodeSpec, graph: Graph) -> Iterator[list[str]]:
    ports = {} if spec.is_source else input_ports(spec.node_class)
    for edge in graph.edges:
        if edge.consumer == spec.name:
            yield [
                "in",
                f"{edge.input}: {ports[edge.input].message.__name__}",
                f"<- {edge.producer}.{edge.output}",
                f"{edge.policy} {edge.window}",
                f"[{', '.join(edge.streams)}]",
            ]


def _output_rows(spec: NodeSpec, graph: Graph) -> Iterator[list[str]]:
    for name, output in spec.node_class.outputs.items():
        endpoint = graph.publish.get(f"{spec.name}.{name}")
        notes = ["" if output.dense else "sparse", f"published at {endpoint}" if endpoint else ""]
        text = ", ".join(note for note in notes if note)
        yield ["out", f"{name}: {output.message.__name__}", text]


def _align(rows: Iterable[list[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in _columns(rows)]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def _columns(rows: list[list[str]]) -> Iterator[list[str]]:
    for index in range(max(map(len, rows), default=0)):
        yield [row[index] for row in rows if index < len(row)]


def _box(spec: NodeSpec, graph: Graph) -> str:
    manner = [m for m in _manner(spec, graph) if not m.startswith("process")]
    label = "<br/>".join([spec.name, spec.type, *manner])
    shape = f'(["{label}"])' if spec.is_source else f'["{label}"]'
    return f"node_{spec.name}{shape}"  # a bare name might be a word of Mermaid's, such as "end"


def _arrow(edge: Edge) -> str:
    line = "-.->" if edge.policy == "latest" else "-->"
    label = f"{edge.output} to {edge.input}<br/>{edge.policy} {edge.window}"
    return f'node_{edge.producer} {line}|"{label}"| node_{edge.consumer}'
