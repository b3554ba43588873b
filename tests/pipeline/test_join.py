"""Joins align by key whatever the order of arrival, and account for every key once."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.join import Batcher, EachJoin, End, ExactJoin, Miss, Step, Work
from pipeline.links import FREE, LinkError
from pipeline.messages import Item, Kind, Message


def item(kind: Kind, seq: int, stream: str = "a", last: int = -1, count: int = 1) -> Item:
    message = Message(stream=stream, seq=seq, stamp_ns=seq) if kind is Kind.DATA else None
    return Item(kind, stream, seq, seq, 0, message, kind.value, count, last)


def end(stream: str = "a") -> Item:
    return item(Kind.EOS, 0, stream)


def feed(join: ExactJoin, arrivals: Iterable[tuple[str, Item]]) -> list[Step]:
    return [step for port, i in arrivals for step in join.add(f"link to {port}", port, i)]


def accounted(steps: Iterable[Step]) -> list[int]:
    """Return the first key and the number of keys of every step, flattened to keys where possible."""
    keys = []
    for step in steps:
        if isinstance(step, Work):
            keys.append((step.key.seq, 1))
        elif isinstance(step, Miss):
            keys.append((step.item.seq, step.item.count))
    return keys


@st.composite
def branches(draw: st.DrawFn) -> tuple[list[int], list[list[Item]]]:
    """Return the keys of a stream (in steps, as `step: 5` makes them) and what each of 3 ports says of them."""
    step = draw(st.integers(1, 3))
    keys = [step * i for i in range(draw(st.integers(0, 12)))]
    return keys, [_branch(draw, keys) for _ in range(3)]


def _branch(draw: st.DrawFn, keys: list[int]) -> list[Item]:
    items, remaining = [], list(keys)
    while remaining:
        kind = draw(st.sampled_from([Kind.DATA, Kind.DATA, Kind.SKIP, Kind.BREAK, Kind.GAP]))
        length = draw(st.integers(1, len(remaining))) if kind is Kind.GAP else 1
        taken, remaining = remaining[:length], remaining[length:]
        items.append(item(kind, taken[0], last=taken[-1], count=length))
    return [*items, end()]


@given(branches(), st.randoms(use_true_random=False))
def test_an_exact_join_answers_every_key_once_in_order(
    streams: tuple[list[int], list[list[Item]]], random: object
) -> None:
    keys, ports = streams
    queues = {f"p{i}": list(branch) for i, branch in enumerate(ports)}
    join = ExactJoin({port: ["a"] for port in queues}, optional=["p2"])
    steps: list[Step] = []
    while any(queues.values()):
        port = random.choice([p for p, q in queues.items() if q])  # type: ignore[attr-defined]
        steps += join.add(port, port, queues[port].pop(0))
    said = {port: _by_key(keys, branch) for port, branch in zip(queues, ports, strict=True)}
    assert isinstance(steps[-1], End)
    assert sum(count for _, count in accounted(steps)) == len(keys)
    assert [first for first, _ in accounted(steps)] == sorted(f for f, _ in accounted(steps))
    works = {step.key.seq: step for step in steps if isinstance(step, Work)}
    for key in keys:
        answers = {port: said[port][key] for port in queues}
        complete = all(answers[p] is Kind.DATA for p in ("p0", "p1")) and (
            answers["p2"] in (Kind.DATA, Kind.SKIP, Kind.BREAK)
        )
        assert (key in works) == complete
    for work in works.values():
        assert {m.seq for m in work.inputs.values() if m is not None} == {work.key.seq}
    assert not any(join.held.values())


def _by_key(keys: list[int], branch: list[Item]) -> dict[int, Kind]:
    return {
        key: i.kind
        for i in branch
        if i.kind is not Kind.EOS
        for key in keys
        if (i.seq <= key <= i.last if i.kind is Kind.GAP else i.seq == key)
    }


def test_items_that_wait_for_their_partners_are_held_against_their_link() -> None:
    join = ExactJoin({"x": ["a"], "y": ["a"]})
    feed(join, [("x", item(Kind.DATA, 0)), ("x", item(Kind.DATA, 1))])
    assert join.held["link to x"] == 2
    feed(join, [("y", item(Kind.DATA, 0))])
    assert join.held["link to x"] == 1


def test_streams_that_some_port_does_not_carry_are_left_out() -> None:
    join = ExactJoin({"x": ["a"], "y": ["a", "b"]})
    assert join.streams == {"a"}
    assert feed(join, [("y", item(Kind.DATA, 0, "b")), ("y", end("b"))]) == []


def test_a_required_port_that_skips_makes_a_miss_and_an_optional_one_none() -> None:
    join = ExactJoin({"x": ["a"], "y": ["a"]}, optional=["y"])
    (work,) = feed(join, [("x", item(Kind.DATA, 0)), ("y", item(Kind.SKIP, 0))])
    assert isinstance(work, Work)
    assert work.inputs["y"] is None
    (miss,) = feed(join, [("x", item(Kind.ERROR, 1)), ("y", item(Kind.ERROR, 1))])
    assert miss == Miss("x", item(Kind.ERROR, 1))


@pytest.mark.parametrize("ports", ["xy", "yx"])
def test_a_set_is_known_by_what_it_holds_whatever_the_order_of_the_ports(ports: str) -> None:
    join = ExactJoin({port: ["a"] for port in ports}, optional=["x", "y"])
    (work,) = feed(join, [("x", item(Kind.SKIP, 0)), ("y", item(Kind.DATA, 0))])
    assert isinstance(work, Work)
    assert work.key.kind is Kind.DATA


def test_a_set_of_optional_ports_that_holds_nothing_makes_a_miss() -> None:
    join = ExactJoin({"x": ["a"], "y": ["a"]}, optional=["x", "y"])
    steps = feed(join, [("x", item(Kind.SKIP, 0)), ("y", item(Kind.BREAK, 0))])
    assert steps == [Miss("x", item(Kind.SKIP, 0))]


def test_an_optional_port_whose_key_was_dropped_makes_a_miss() -> None:
    join = ExactJoin({"x": ["a"], "y": ["a"]}, optional=["y"])
    steps = feed(join, [("x", item(Kind.DATA, 0)), ("y", item(Kind.GAP, 0, last=0))])
    assert [(type(s), s.item.kind) for s in steps if isinstance(s, Miss)] == [(Miss, Kind.GAP)]


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        (
            [("x", item(Kind.DATA, 0)), ("y", item(Kind.DATA, 1))],
            "y did not answer for seq 0 of stream a",
        ),
        ([("x", item(Kind.DATA, 0)), ("y", end())], "stream ended on y before the other inputs"),
        (
            [("x", item(Kind.DATA, 9)), ("y", item(Kind.GAP, 0, last=3, count=4))],
            "y did not answer for seq 9 of stream a",
        ),
    ],
)
def test_a_port_that_breaks_its_promise_is_named(
    arrivals: list[tuple[str, Item]], expected: str
) -> None:
    with pytest.raises(LinkError) as caught:
        feed(ExactJoin({"x": ["a"], "y": ["a"]}), arrivals)
    assert str(caught.value) == expected


def test_without_a_join_each_message_is_a_step_and_the_stream_ends_on_its_last_link() -> None:
    join = EachJoin({"l1": ["a"], "l2": ["a", "b"]})
    assert join.add("l1", "x", item(Kind.SKIP, 0)) == [Miss("x", item(Kind.SKIP, 0))]
    (work,) = join.add("l2", "y", item(Kind.DATA, 0))
    assert isinstance(work, Work)
    assert list(work.inputs) == ["y"]
    assert join.add("l1", "x", end()) == []
    assert join.add("l2", "y", end()) == [End(end())]


@given(
    st.lists(st.sampled_from([Kind.DATA, Kind.DATA, Kind.DATA, Kind.SKIP]), max_size=60),
    st.integers(1, 16),
)
def test_batches_keep_the_order_and_never_exceed_their_size(kinds: list[Kind], size: int) -> None:
    batcher, out = Batcher(size), []
    steps: list[Step] = [
        Work({}, item(kind, seq)) if kind is Kind.DATA else Miss("x", item(kind, seq))
        for seq, kind in enumerate(kinds)
    ]
    for step in steps:
        out += batcher.add(step)
    out += batcher.close()
    assert not batcher.is_open
    assert all(len(group) <= size for group in out if isinstance(group, list))
    flat = [step for group in out for step in (group if isinstance(group, list) else [group])]
    assert flat == steps


def test_no_kind_but_gap_and_eos_travels_without_credit() -> None:
    assert set(FREE) == {Kind.GAP, Kind.EOS}
