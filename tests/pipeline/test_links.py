"""The link state machine under generated sequences of events: nothing lost, doubled or reordered."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.graph import Policy
from pipeline.links import LinkError, Receiver, Sender
from pipeline.messages import Item, Kind


def item(seq: int, kind: Kind = Kind.DATA, stream: str = "a", **more: object) -> Item:
    return Item(kind, stream, seq, seq * 10, **more)  # type: ignore[arg-type]


def gap(first: int, last: int, stream: str = "a") -> Item:
    return item(first, Kind.GAP, stream, count=last - first + 1, last=last, reason="dropped")


def end(stream: str = "a") -> Item:
    return item(0, Kind.EOS, stream)


class Pair:
    """A sender and a receiver with a perfect wire between them."""

    def __init__(self, policy: Policy, window: int, *, on_idle: bool = False) -> None:
        self.sender = Sender(policy)
        self.receiver = Receiver(window, on_idle=on_idle)
        self.taken: list[Item] = []

    def grant(self, *, idle: bool) -> None:
        self.sender.grant(self.receiver.credit_due(idle=idle))
        self.carry()

    def carry(self) -> None:
        for number, sent in self.sender.outgoing():
            self.receiver.accept(number, sent)

    def offer(self, new: Item) -> bool:
        if not self.sender.can_offer(new):
            return False
        self.sender.offer(new)
        self.carry()
        return True

    def take(self) -> None:
        if self.receiver.queue:
            self.taken.append(self.receiver.take())


def keys(items: list[Item], stream: str = "a") -> list[int]:
    """Return every key that the items account for."""
    found: list[int] = []
    for i in items:
        if i.stream == stream and i.kind is not Kind.EOS:
            found += range(i.seq, i.last + 1) if i.kind is Kind.GAP else [i.seq]
    return found


@given(
    st.lists(st.sampled_from(["offer", "take", "grant", "idle"]), max_size=200), st.integers(1, 6)
)
def test_a_lossless_link_delivers_everything_once_in_order_within_its_window(
    events: list[str], window: int
) -> None:
    pair, offered = Pair(Policy.LOSSLESS, window), 0
    for event in events:
        if event == "offer":
            offered += pair.offer(item(offered))
        elif event == "take":
            pair.take()
        else:
            pair.grant(idle=event == "idle")
        assert len(pair.receiver.queue) <= window
        assert pair.sender.credit >= 0
    assert pair.offer(end())
    while pair.receiver.queue:
        pair.take()
    assert keys(pair.taken) == list(range(offered))
    assert pair.taken[-1].kind is Kind.EOS
    assert pair.taken[-1].count == offered


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["data", "skip", "gap", "take", "idle"])), max_size=200),
    st.booleans(),
)  # fmt: skip
def test_a_latest_link_accounts_for_every_key_once_in_order(
    events: list[tuple[str, str]], on_idle: bool
) -> None:
    pair = Pair(Policy.LATEST, 1, on_idle=on_idle)
    next_seq: Counter[str] = Counter()
    for stream, event in events:
        if event in ("data", "skip", "gap"):
            seq = next_seq[stream]
            new = gap(seq, seq + 2, stream) if event == "gap" else item(seq, Kind(event), stream)
            assert pair.offer(new)
            next_seq[stream] += 3 if event == "gap" else 1
        elif event == "take":
            pair.take()
        else:
            pair.grant(idle=not pair.receiver.queue)
        assert sum(i.kind not in (Kind.GAP, Kind.EOS) for i in pair.receiver.queue) <= 1
    for stream in ("a", "b"):
        pair.offer(end(stream))
    while not pair.sender.is_drained or pair.receiver.queue:
        pair.take()
        pair.grant(idle=not pair.receiver.queue)
    for stream in ("a", "b"):
        assert keys(pair.taken, stream) == list(range(next_seq[stream]))
        assert [i.kind for i in pair.taken if i.stream == stream][-1] is Kind.EOS


def test_a_latest_link_keeps_the_newest_and_announces_what_it_dropped() -> None:
    pair = Pair(Policy.LATEST, 1, on_idle=True)
    for seq in range(5):
        pair.offer(item(seq))
    assert not pair.receiver.queue
    pair.grant(idle=True)
    dropped, newest = pair.receiver.queue
    assert (dropped.kind, dropped.seq, dropped.last, dropped.count) == (Kind.GAP, 0, 3, 4)
    assert dropped.reason == "dropped: the consumer was busy"
    assert (newest.kind, newest.seq) == (Kind.DATA, 4)
    assert pair.sender.dropped == Counter({"a": 4})


def test_the_mailbox_of_a_latest_link_has_one_slot_for_each_stream() -> None:
    pair = Pair(Policy.LATEST, 2, on_idle=False)
    for stream, seq in [("a", 0), ("b", 0), ("a", 1), ("b", 1)]:
        pair.offer(item(seq, stream=stream))
    pair.grant(idle=True)
    assert [(i.stream, i.kind, i.seq) for i in pair.receiver.queue] == [
        ("a", Kind.GAP, 0), ("a", Kind.DATA, 1), ("b", Kind.GAP, 0), ("b", Kind.DATA, 1),
    ]  # fmt: skip


def test_the_end_of_a_stream_needs_no_credit_but_waits_for_the_last_item() -> None:
    pair = Pair(Policy.LATEST, 1, on_idle=True)
    pair.offer(item(0))
    pair.offer(end())
    assert not pair.receiver.queue
    pair.grant(idle=True)
    assert [i.kind for i in pair.receiver.queue] == [Kind.DATA, Kind.EOS]


def test_credit_on_idle_is_granted_only_to_an_idle_consumer() -> None:
    receiver = Receiver(1, on_idle=True)
    assert receiver.credit_due(idle=False) == 0
    assert receiver.credit_due(idle=True) == 1
    assert receiver.credit_due(idle=True) == 0


def test_credit_is_granted_in_portions_of_half_a_window() -> None:
    receiver = Receiver(4, on_idle=False)
    assert receiver.credit_due(idle=True) == 4
    for number in range(3):
        receiver.accept(number, item(number))
    receiver.take()
    assert receiver.credit_due(idle=True) == 0
    receiver.take()
    assert receiver.credit_due(idle=False) == 2


def test_a_producer_without_credit_gets_what_little_there_is() -> None:
    receiver = Receiver(4, on_idle=False)
    receiver.credit_due(idle=True)
    for number in range(4):
        receiver.accept(number, item(number))
    receiver.take()
    assert receiver.credit_due(idle=False) == 1


def test_items_that_wait_in_a_join_occupy_the_window() -> None:
    receiver = Receiver(2, on_idle=False)
    receiver.credit_due(idle=True)
    receiver.accept(0, item(0))
    receiver.take()
    assert receiver.credit_due(idle=True, held=1) == 0
    assert receiver.credit_due(idle=True, held=0) == 1


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ([(1, item(0))], "item 1 arrived where 0 was due"),
        ([(0, item(0)), (0, item(0))], "item 0 arrived where 1 was due"),
        ([(0, item(0)), (1, item(1)), (2, item(2))], "an item arrived without credit"),
        (
            [(0, item(0)), (1, item(0, Kind.EOS, count=2))],
            "stream a ended after 2 keys, 1 arrived",
        ),
    ],
)
def test_a_receiver_notices_loss_doubling_and_disorder(
    arrivals: list[tuple[int, Item]], expected: str
) -> None:
    receiver = Receiver(2, on_idle=False)
    receiver.credit_due(idle=True)
    with pytest.raises(LinkError) as caught:
        for number, arrived in arrivals:
            receiver.accept(number, arrived)
    assert str(caught.value) == expected
