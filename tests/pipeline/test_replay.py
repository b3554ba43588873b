"""Links across deaths, as pure code: whatever happens when, every key is answered exactly once."""

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.graph import Policy
from pipeline.history import Position, settle
from pipeline.links import LOST, RESET, Receiver, Sender
from pipeline.messages import Item, Kind
from pipeline.replay import Kept, ReplayError

STREAMS = ("a", "b")
WINDOW, KEEPS = 3, 16


def data(stream: str, seq: int) -> Item:
    return Item(Kind.DATA, stream, seq, 0, seq)


class World:
    """A producer, a group that may die, and two consumers: one quick, one at its own pace."""

    def __init__(self, policy: Policy, memory: int) -> None:
        self.memory = memory
        self.first = Sender(policy, KEEPS)
        self.consumers = [Receiver(WINDOW, on_idle=False) for _ in range(2)]
        self.got: list[list[Item]] = [[], []]
        self.next_seq = dict.fromkeys(STREAMS, 0)
        self.open_group([Position(), Position()], again=False)

    def open_group(self, positions: list[Position], *, again: bool) -> None:
        base = settle([(position, STREAMS) for position in positions], self.memory)
        self.inlet = Receiver(WINDOW, on_idle=False)
        self.inlet.begin(base)
        self.wire: deque[tuple[int, Item]] = deque()
        self.senders = [Sender(Policy.LOSSLESS) for _ in range(2)]
        self.wires: list[deque[tuple[int, Item]]] = [deque(), deque()]
        self.outbox: deque[tuple[int, Item]] = deque()
        self.seen: dict[str, int] = {}
        for sender, position, consumer in zip(self.senders, positions, self.consumers, strict=True):
            sender.begin(position, base)
            sender.grant(consumer.credit_due(idle=True))
        if again:
            self.first.send_again(base)
        self.first.grant(self.inlet.credit_due(idle=True))

    def die(self) -> None:
        self.open_group([consumer.lose_producer() for consumer in self.consumers], again=True)

    def produce(self, stream: str) -> None:
        item = data(stream, self.next_seq[stream])
        if self.first.can_offer(item):
            self.first.offer(item)
            self.next_seq[stream] += 1

    def end(self, stream: str) -> bool:
        item = Item(Kind.EOS, stream, 0, 0)
        if not self.first.can_offer(item):
            return False
        self.first.offer(item)
        return True

    def carry(self) -> None:
        """Carry one item into the group."""
        self.wire += self.first.outgoing()
        if self.wire:
            self.inlet.accept(*self.wire.popleft())

    def work(self) -> None:
        """Answer one item with what it and the one before it say, as a matcher would."""
        if not self.outbox and self.inlet.queue:
            item = self.inlet.take()
            last = self.seen.get(item.stream)
            if item.kind is Kind.DATA and self.memory:
                self.seen[item.stream] = item.seq
                item = Item(Kind.DATA, item.stream, item.seq, 0, reason=f"after {last}")
            self.outbox += [(0, item), (1, item)]
        while self.outbox and self.senders[self.outbox[0][0]].can_offer(self.outbox[0][1]):
            index, item = self.outbox.popleft()
            self.senders[index].offer(item)
        self.first.grant(self.inlet.credit_due(idle=True))

    def deliver(self, index: int) -> None:
        """Carry one item to a consumer."""
        self.wires[index] += self.senders[index].outgoing()
        if self.wires[index]:
            self.consumers[index].accept(*self.wires[index].popleft())

    def take(self, index: int) -> None:
        consumer = self.consumers[index]
        if consumer.queue:
            self.got[index].append(consumer.take())
        self.senders[index].grant(consumer.credit_due(idle=True))

    def flow(self) -> None:
        """Let one item of a stream pass through everything, to one of the consumers."""
        self.produce("a")
        self.carry()
        self.work()
        self.deliver(0)
        self.take(0)

    def settle_all(self) -> None:
        """Do everything that is to be done, until the streams have ended."""
        waiting = list(STREAMS)
        for _ in range(400):
            waiting = [stream for stream in waiting if not self.end(stream)]
            self.carry()
            self.work()
            for index in range(2):
                self.deliver(index)
                self.take(index)


steps = st.lists(
    st.one_of(
        st.sampled_from(["a", "b", "a", "carry", "work", "flow", "flow", "flow", "die"]),
        st.tuples(st.sampled_from(["deliver", "deliver", "take", "take"]), st.integers(0, 1)),
    ),
    min_size=20,
    max_size=120,
)


def play(world: World, events: list[object]) -> None:
    for event in events:
        if event in STREAMS:
            world.produce(str(event))
        elif isinstance(event, tuple):
            getattr(world, event[0])(event[1])
        else:
            getattr(world, str(event))()
    world.settle_all()


@pytest.mark.parametrize("memory", [0, 1])
@settings(max_examples=200, deadline=None)
@given(steps)
def test_over_lossless_links_deaths_leave_no_trace(memory: int, events: list[object]) -> None:
    world = World(Policy.LOSSLESS, memory)
    play(world, events)
    for got in world.got:
        for stream in STREAMS:
            items = [item for item in got if item.stream == stream]
            assert [item.seq for item in items[:-1]] == list(range(world.next_seq[stream]))
            assert items[-1].kind is Kind.EOS
            if memory:
                before = [None, *range(world.next_seq[stream])]
                told = [f"after {b}" for b in before[: len(items) - 1]]
                assert [item.reason for item in items[:-1]] == told


@pytest.mark.parametrize("memory", [0, 1])
@settings(max_examples=200, deadline=None)
@given(steps)
def test_over_latest_links_every_key_is_answered_once_or_declared(
    memory: int, events: list[object]
) -> None:
    world = World(Policy.LATEST, memory)
    play(world, events)
    for got in world.got:
        for stream in STREAMS:
            items = [item for item in got if item.stream == stream]
            assert items[-1].kind is Kind.EOS
            key = 0
            for item in items[:-1]:
                assert item.seq == key, items
                key = item.seq + item.count
                assert item.kind is not Kind.GAP or item.last == key - 1
            assert key == world.next_seq[stream]


def test_a_lost_memory_is_declared_by_a_break() -> None:
    sender = Sender(Policy.LATEST, KEEPS)
    sender.grant(1)
    sender.offer(data("a", 0))
    sender.send_again(Position(back=1))
    sender.grant(2)
    sender.offer(data("a", 1))
    sent = [(item.kind, item.seq, item.reason) for _, item in sender.outgoing()]
    assert sent == [(Kind.GAP, 0, LOST), (Kind.BREAK, 1, RESET)]


def test_what_is_not_kept_any_more_cannot_be_replayed() -> None:
    kept = Kept(3, with_messages=True)
    for seq in range(5):
        kept.note(data("a", seq))
    assert [i.seq for i in kept.after(Position(have={"a": [1]}))["a"]] == [2, 3, 4]
    for seq in range(5, 9):
        kept.note(data("a", seq))
    with pytest.raises(ReplayError, match="stream 'a' cannot be replayed from seq 2: what is kept"):
        kept.after(Position(have={"a": [1]}))


def test_a_gap_that_a_consumer_has_in_part_is_shortened() -> None:
    gap = Item(Kind.GAP, "a", 2, 0, count=4, last=8)  # of keys 2, 4, 6, 8
    ahead = Position(have={"a": [2, 4]}, totals={"a": [2, 3]})
    rest = ahead.rest_of(gap, 1)
    assert rest is not None
    assert (rest.seq, rest.count, rest.last) == (5, 2, 8)
    behind = Position(have={"a": [0]}, totals={"a": [1]})
    assert behind.rest_of(gap, 1) == gap


def test_memory_is_counted_in_messages_and_not_in_keys() -> None:
    position = Position(
        have={"a": [3, 4, 5, 6]}, totals={"a": [4, 5, 6, 7]},
        messages={"a": [True, True, False, False]}, back=1,
    )  # fmt: skip
    assert position.wants_after("a") == 3
    assert Position(have={"a": [3, 4]}, totals={"a": [4, 5]}, back=1).wants_after("a") == 3
    assert Position(have={"a": [3]}, totals={"a": [4]}, back=1).wants_after("a") is None


def test_what_all_consumers_want_is_settled_by_the_one_that_is_behind() -> None:
    ended = Position(have={"a": [9]}, totals={"a": [10]}, ended=["a"])
    behind = Position(have={"a": [3]}, totals={"a": [4]})
    assert settle([(ended, ("a",)), (behind, ("a",))], 0).have == {"a": [3]}
    assert settle([(Position(back=2), ("a",))], 1).back == 3
    assert Position(ended=["a"]).rest_of(data("a", 5), 5) is None


def test_what_waits_in_the_mailbox_follows_what_was_lost() -> None:
    sender = Sender(Policy.LATEST, KEEPS)
    sender.grant(1)
    for seq in range(3):
        sender.offer(data("a", seq))
    list(sender.outgoing())
    sender.send_again(Position())
    sender.grant(1)
    sent = [(item.kind, item.seq, item.count) for _, item in sender.outgoing()]
    assert sent == [(Kind.GAP, 0, 2), (Kind.DATA, 2, 1)]
