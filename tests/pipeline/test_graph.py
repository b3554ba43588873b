"""Graphs: their order and streams, what is refused, windows that cannot deadlock, and drawings."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from graph_nodes import Meet, Origin, Relay
from hypothesis import given, settings
from hypothesis import strategies as st
from link_model import END, run_model

from pipeline import config
from pipeline.config.flow import Flow, order_nodes
from pipeline.config.windows import link_nodes
from pipeline.draw import draw_mermaid, draw_text
from pipeline.errors import ConfigError
from pipeline.graph import Batch, Edge, Graph, InputRef, JoinRule, NodeSpec, Policy


def load(*nodes: str, more: str = "") -> Graph:
    text = "nodes:\n" + "".join(f"  {node}\n" for node in nodes) + more
    for name in ("Camera", "Finder", "Matcher", "Marker", "Reader", "View", "Blend", "Writer"):
        text = text.replace(f"type: {name.lower()}", f"type: 'graph_nodes:{name}'")
    return config.load_text(text, "g.yaml")


def problems(*nodes: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(*nodes)
    return caught.value.problems


LEFT = "left: {type: camera}"
RIGHT = "right: {type: camera}"
FIND = "find: {type: finder, inputs: {frame: left.frame}}"
MATCH = "match: {type: matcher, inputs: {points: find.points}}"
MARK = "mark: {type: marker, inputs: {frame: left.frame}}"


# ------------------------------------------------------------------ streams


def test_a_fan_in_carries_all_its_streams_and_a_join_those_that_all_inputs_carry() -> None:
    graph = load(
        LEFT, RIGHT,
        "find: {type: finder, inputs: {frame: [left.frame, right.frame]}}",
        "blend: {type: blend, inputs: {frame: left.frame, points: find.points}}",
        "write: {type: writer, join: none, inputs: {points: find.points, note: mark.note}}",
        MARK,
        "last: {type: finder, inputs: {frame: blend.frame}}",
    )  # fmt: skip
    streams = {edge.name: edge.streams for edge in graph.edges}
    assert streams == {
        "left.frame>find.frame": ("left",),
        "right.frame>find.frame": ("right",),
        "left.frame>mark.frame": ("left",),
        "left.frame>blend.frame": ("left",),
        "find.points>blend.points": ("left",),
        "find.points>write.points": ("left", "right"),
        "mark.note>write.note": ("left",),
        "blend.frame>last.frame": ("left",),
    }


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        ([LEFT, MARK, "view: {type: writer, inputs: {points: find.points, note: mark.note}}", FIND],
         "g.yaml:4: nodes.view.inputs.note: mark.note is sparse: it has no answer for every "
         "message, so that join: exact would wait for ever. Write join: none"),
        ([LEFT, MARK, "read: {type: reader, inputs: {note: mark.note}}",
          "blend: {type: blend, join: latest, inputs: {frame: left.frame, points: read.points}}"],
         "g.yaml:5: nodes.blend.inputs.points: read.points follows mark.note, which is sparse: "
         "it has no answer for every message, so that join: latest would wait for ever. "
         "Write join: none"),
        ([LEFT, RIGHT, FIND, "blend: {type: blend, inputs: {frame: right.frame, "
          "points: find.points}}"],
         "g.yaml:5: nodes.blend.inputs: no stream reaches all inputs, so that they never meet: "
         "frame brings right, points brings left"),
        ([LEFT, RIGHT, FIND, "a: {type: blend, inputs: {frame: right.frame, points: find.points}}",
          "b: {type: blend, inputs: {frame: a.frame, points: find.points}}"],
         "g.yaml:5: nodes.a.inputs: no stream reaches all inputs, so that they never meet: "
         "frame brings right, points brings left"),
        ([LEFT, FIND, "f2: {type: finder, inputs: {frame: left.frame}}",
          "match: {type: matcher, inputs: {points: [find.points, f2.points]}}"],
         "g.yaml:5: nodes.match.inputs.points[1]: stream 'left' arrives twice: "
         "by find.points and by f2.points"),
        ([LEFT, FIND, "view: {type: view, join: none, inputs: {frame: left.frame, "
          "points: find.points}}"],
         "g.yaml:4: nodes.view.join: none calls View with one input at a time, "
         "but it needs 'frame'"),
        ([LEFT, FIND, "blend: {type: blend, join: none, inputs: {frame: left.frame, "
          "points: find.points}}"],
         "g.yaml:4: nodes.blend.join: none calls Blend with one input at a time, but its output "
         "'frame' answers for all of them at once (it is dense)"),
        ([LEFT, "a: {type: 'graph_nodes:Relay', inputs: {frame: c.frame}}",
          "b: {type: 'graph_nodes:Relay', inputs: {frame: [left.frame, a.frame]}}",
          "c: {type: 'graph_nodes:Relay', inputs: {frame: {from: b.frame}}}"],
         "g.yaml:3: nodes.a.inputs.frame: the links form a cycle: a -> b -> c -> a"),
    ],
)  # fmt: skip
def test_what_cannot_flow_is_refused(nodes: list[str], problem: str) -> None:
    assert problems(*nodes) == (problem,)


def test_every_cycle_is_named() -> None:
    relay = "{name}: {{type: 'graph_nodes:Relay', inputs: {{frame: {by}.frame}}}}"
    links = {"end": "b", "a": "b", "b": "a", "c": "d", "d": "c"}
    found = problems(LEFT, *(relay.format(name=name, by=by) for name, by in links.items()))
    assert found == (
        "g.yaml:5: nodes.b.inputs.frame: the links form a cycle: b -> a -> b",
        "g.yaml:6: nodes.c.inputs.frame: the links form a cycle: c -> d -> c",
    )


def test_one_input_needs_no_join_whatever_is_written() -> None:
    for join in JoinRule:
        load(LEFT, MARK, f"write: {{type: writer, join: {join}, inputs: {{note: mark.note}}}}")
        load(LEFT, f"view: {{type: view, join: {join}, inputs: {{frame: left.frame}}}}")


def test_an_output_that_nobody_takes_is_fine() -> None:
    assert load(LEFT, FIND).edges[0].consumer == "find"


# ------------------------------------------------------------------ windows


def relay(
    name: str, *producers: str, size: int = 1, workers: int = 1, policy: Policy | None = None
) -> NodeSpec:
    refs = tuple(InputRef(producer, "frame", policy) for producer in producers)
    return NodeSpec(
        name, "", Relay, None, {"frame": refs}, batch=Batch(size), workers=workers
    )  # fmt: skip


def meet(name: str, *ports: Iterable[str], join: JoinRule = JoinRule.EXACT) -> NodeSpec:
    inputs = {
        port: tuple(InputRef(producer, "frame") for producer in producers)
        for port, producers in zip("abc", ports, strict=False)
    }
    return NodeSpec(name, "", Meet, None, inputs, join)


def origin(name: str) -> NodeSpec:
    return NodeSpec(name, "", Origin, None)


def graph_of(*specs: NodeSpec) -> tuple[dict[str, NodeSpec], tuple[Edge, ...]]:
    named = {spec.name: spec for spec in specs}
    return named, link_nodes(Flow(named))


def windows(*specs: NodeSpec) -> dict[str, int]:
    return {f"{e.producer}>{e.consumer}": e.window for e in graph_of(*specs)[1]}


def test_a_window_lets_a_batch_fill_while_others_are_under_way() -> None:
    assert windows(origin("s"), relay("n", "s")) == {"s>n": 4}
    assert windows(origin("s"), relay("n", "s", size=8)) == {"s>n": 9}
    assert windows(origin("s"), relay("n", "s", size=8, workers=3)) == {"s>n": 11}


def test_a_latest_link_into_one_input_holds_no_more_than_a_batch() -> None:
    assert windows(origin("s"), relay("n", "s", policy=Policy.LATEST)) == {"s>n": 1}
    assert windows(origin("s"), relay("n", "s", size=8, policy=Policy.LATEST)) == {"s>n": 8}


def test_a_window_into_a_join_exceeds_what_is_under_way_on_the_longest_other_way() -> None:
    found = windows(
        origin("s"),
        relay("a", "s", size=8, workers=2),  # holds 8 gathered, 16 at work, 1 that closed a batch
        relay("b", "a"),  # holds 1 + 1 + 1
        meet("end", ["s"], ["b"]),
    )
    assert found["s>end"] == 1 + 4 + 3 + 4 + 25 + found["s>a"] + 3
    assert found["b>end"] == 1 + 4 + 3  # only what the source holds can be behind


def test_what_a_key_has_passed_already_does_not_count() -> None:
    short = windows(origin("s"), relay("b", "s"), meet("end", ["s"], ["b"]))
    found = windows(
        origin("s"), relay("a", "s", size=16), relay("b", "a"), meet("end", ["a"], ["b"])
    )
    assert found["a>end"] == short["s>end"] + 2 * 16 - 2  # the results of `a` may be a whole batch


def test_streams_that_share_a_link_into_a_join_add_up() -> None:
    one = windows(origin("s"), relay("a", "s"), meet("end", ["s"], ["a"]))
    two = windows(
        origin("s"), origin("t"), relay("a", "s", "t"), meet("end", ["s", "t"], ["a"])
    )  # fmt: skip
    assert two["a>end"] - 1 == 2 * (one["a>end"] - 1)
    assert two["s>end"] == one["s>end"]


def test_a_stream_that_is_not_joined_needs_no_window() -> None:
    found = windows(origin("s"), origin("t"), relay("a", "s", "t"), meet("end", ["s"], ["a"]))
    alone = windows(origin("s"), relay("a", "s"), meet("end", ["s"], ["a"]))
    assert found["a>end"] == alone["a>end"]


def test_inputs_that_are_taken_one_at_a_time_wait_for_nothing() -> None:
    specs = origin("s"), relay("a", "s", size=16), meet("end", ["s"], ["a"], join=JoinRule.NONE)
    assert windows(*specs)["s>end"] == 4


def finishes(specs: Mapping[str, NodeSpec], edges: Iterable[Edge], count: int, seed: int) -> bool:
    """Say whether every node finishes every key of its streams, in order."""
    done = run_model(specs, edges, count, random.Random(seed))
    whole = [*range(count, 0, -1), END]
    flow = Flow(specs)
    return all(
        [number for stream, number in done[name] if stream == wanted] == whole
        for name in specs
        for wanted in flow.streams[name]
    )


def diamond(size: int, workers: int) -> tuple[dict[str, NodeSpec], tuple[Edge, ...]]:
    return graph_of(
        origin("s"),
        origin("t"),
        relay("detector", "s", "t", size=size, workers=workers),
        relay("matcher", "detector"),
        relay("pose", "matcher", size=3),
        meet("recorder", ["s", "t"], ["detector"], ["pose"]),
    )


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", range(1, 17))
def test_a_diamond_of_two_streams_ends_with_every_batch_size(size: int, workers: int) -> None:
    specs, edges = diamond(size, workers)
    assert all(finishes(specs, edges, count=70, seed=seed) for seed in range(3))


def test_the_same_diamond_hangs_with_ordinary_windows() -> None:
    specs, edges = diamond(16, 1)
    ordinary = [replace(edge, window=4) for edge in edges]
    assert not any(finishes(specs, ordinary, count=70, seed=seed) for seed in range(3))


@st.composite
def any_graph(draw: st.DrawFn) -> tuple[dict[str, NodeSpec], tuple[Edge, ...]]:
    """Draw a graph of sources, batching relays and joins, with links from anywhere to anywhere."""
    specs = [origin(f"s{i}") for i in range(draw(st.integers(1, 3)))]
    streams = {spec.name: {spec.name} for spec in specs}

    def fan_in() -> tuple[list[str], set[str]]:
        producers: list[str] = []
        seen: set[str] = set()
        for name in draw(st.permutations(sorted(streams))):
            if not streams[name] & seen and (not producers or draw(st.booleans())):
                producers.append(name)
                seen |= streams[name]
        return producers, seen

    for index in range(draw(st.integers(1, 7))):
        name, ports = f"n{index}", [fan_in() for _ in range(draw(st.integers(1, 3)))]
        common = set.intersection(*(carried for _, carried in ports))
        if len(ports) > 1 and common:
            specs.append(meet(name, *(producers for producers, _ in ports)))
            streams[name] = common
        else:
            size, workers = draw(st.sampled_from([1, 2, 3, 8, 16])), draw(st.integers(1, 3))
            specs.append(relay(name, *ports[0][0], size=size, workers=workers))
            streams[name] = ports[0][1]
    return graph_of(*specs)


@given(any_graph(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_no_graph_deadlocks(graph: tuple[dict[str, NodeSpec], tuple[Edge, ...]], seed: int) -> None:
    specs, edges = graph
    assert finishes(specs, edges, count=50, seed=seed)


@given(any_graph())
@settings(max_examples=60, deadline=None)
def test_producers_come_before_their_consumers(
    graph: tuple[dict[str, NodeSpec], tuple[Edge, ...]],
) -> None:
    specs, edges = graph
    order, rest = order_nodes(dict(reversed(specs.items())))
    assert (sorted(order), rest) == (sorted(specs), [])
    assert all(order.index(e.producer) < order.index(e.consumer) for e in edges)


# ------------------------------------------------------------------ drawings


DRAWN = (
    "left: {type: camera, pace: recorded}",
    "right: {type: camera, pace: 12.5}",
    "find: {type: finder, inputs: {frame: [left.frame, right.frame]}, batch: {size: 4, wait_ms: 5},"
    " workers: 2}",
    "mark: {type: marker, inputs: {frame: left.frame}}",
    "end: {type: view, join: latest, inputs: {frame: [left.frame, right.frame], "
    "points: find.points}}",
)


def test_the_text_shows_ports_policies_windows_and_how_each_node_runs() -> None:
    graph = load(*DRAWN, more="name: two\nplace: {end: window}\nseed: 7\n")
    assert (
        draw_text(graph)
        == """\
two   hang limit 30 s, seed 7, processes linked by shm

left: graph_nodes:Camera   source, recorded, process main
  out  frame: Frame

right: graph_nodes:Camera   source at 12.5 Hz, process main
  out  frame: Frame

find: graph_nodes:Finder   batch 4 within 5 ms, 2 workers, process main
  in   frame: Frame    <- left.frame   latest 4  [left]
  in   frame: Frame    <- right.frame  latest 4  [right]
  out  points: Points

mark: graph_nodes:Marker   process main
  in   frame: Frame  <- left.frame  latest 1  [left]
  out  note: Note    sparse

end: graph_nodes:View   join latest, process window
  in  frame: Frame    <- left.frame   latest 25    [left]
  in  frame: Frame    <- right.frame  latest 25    [right]
  in  points: Points  <- find.points  lossless 15  [left, right]"""
    )


def test_the_text_shows_machines_restarts_and_what_is_published() -> None:
    more = (
        'place: {end: window, find: gpu}\nhosts: {gpu: "tcp://127.0.0.1:5700"}\n'
        'publish: {find.points: "tcp://127.0.0.1:5601", mark.note: "ipc:///tmp/notes"}\n'
    )
    text = draw_text(load(*DRAWN, more=more))
    assert "2 workers, process gpu at tcp://127.0.0.1:5700\n" in text
    assert "out  points: Points  published at tcp://127.0.0.1:5601\n" in " ".join(text.split(" "))
    assert "sparse, published at ipc:///tmp/notes\n" in text


def test_mermaid_shows_the_same_with_a_box_for_each_process() -> None:
    graph = load(*DRAWN, more="place: {end: window}\n")
    assert (
        draw_mermaid(graph)
        == """\
flowchart LR
  subgraph group_main["main"]
    node_left(["left<br/>graph_nodes:Camera<br/>source, recorded"])
    node_right(["right<br/>graph_nodes:Camera<br/>source at 12.5 Hz"])
    node_find["find<br/>graph_nodes:Finder<br/>batch 4 within 5 ms<br/>2 workers"]
    node_mark["mark<br/>graph_nodes:Marker"]
  end
  subgraph group_window["window"]
    node_end["end<br/>graph_nodes:View<br/>join latest"]
  end
  node_left -.->|"frame to frame<br/>latest 4"| node_find
  node_right -.->|"frame to frame<br/>latest 4"| node_find
  node_left -.->|"frame to frame<br/>latest 1"| node_mark
  node_left -.->|"frame to frame<br/>latest 25"| node_end
  node_right -.->|"frame to frame<br/>latest 25"| node_end
  node_find -->|"points to points<br/>lossless 15"| node_end"""
    )


def test_a_graph_of_one_process_needs_no_boxes() -> None:
    assert (
        draw_mermaid(load(LEFT, FIND))
        == """\
flowchart LR
  node_left(["left<br/>graph_nodes:Camera<br/>source, fastest"])
  node_find["find<br/>graph_nodes:Finder"]
  node_left -->|"frame to frame<br/>lossless 4"| node_find"""
    )
    assert draw_text(load(LEFT)).startswith("g   hang limit 30 s, seed 0\n\nleft: ")
