"""The two ends of a link as pure state machines: no sockets, no clocks, no threads.

A `lossless` link sends only while it has credit, and its producer waits. A `latest` link never lets
its producer wait: what finds no credit stays in a mailbox of one slot for each stream, is replaced
by the newest, and the loss is announced by a GAP before the next item. GAP and EOS need no credit.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

from pipeline.graph import Policy
from pipeline.history import History, Position
from pipeline.messages import Item, Kind
from pipeline.replay import Kept, in_order, lost, merge

FREE = (Kind.GAP, Kind.EOS)  # kinds that travel without credit
DROPPED = "dropped: the consumer was busy"
LOST = "lost: the consumer died"
RESET = "reset: the consumer was started again"


class LinkError(Exception):
    """A link broke its promise: an item was lost, doubled or out of order."""


class Sender:
    """The producer's end of a link.

    keeps: items of each stream that can be sent again to a consumer that was started again.
    """

    def __init__(self, policy: Policy, keeps: int = 0) -> None:
        self.policy = policy
        self.credit = 0
        self.dropped: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._waiting: dict[str, list[Item]] = {}  # latest: [GAP] [item] [GAP] [EOS] of each stream
        self._outgoing: deque[Item] = deque()
        self._next_number = 0
        self._kept = Kept(keeps, with_messages=policy is Policy.LOSSLESS)
        self._again: deque[Item] = deque()  # lossless: to be sent before anything else
        self._resets: set[str] = set()  # latest: streams whose next item declares a break
        self._begin: Position | None = None
        self._base = Position()
        self._passed: dict[str, int] = {}  # keys of each stream that were offered, from its begin

    def begin(self, position: Position, base: Position) -> None:
        """Go on where a producer that has died ended: behind what the consumer has.

        base: what this producer itself begins after.
        """
        self._begin, self._base = position, base
        self._kept.begin(position)
        self._next_number = position.number
        self._keys.update(position.keys)

    def send_again(self, position: Position) -> None:
        """Begin anew for a consumer that was started again, with what it has not got.

        Raises:
            ReplayError: that is not kept any more.
        """
        self.credit, self._next_number = 0, 0
        self._keys.clear()
        self._outgoing.clear()
        for item in self._again:  # it died before it had them all
            self._kept.note(item)
        found = self._kept.after(position)
        if self.policy is Policy.LOSSLESS:
            self._again = deque(in_order(found))
            return
        for stream, items in found.items():
            self._declare_lost(stream, items)
            if position.back:
                self._resets.add(stream)

    def _declare_lost(self, stream: str, items: list[Item]) -> None:
        gap = lost(items, LOST)
        waiting = self._waiting.setdefault(stream, [])
        waiting[:0] = [*([gap] if gap else []), *(i for i in items if i.kind is Kind.EOS)]
        if gap:
            self.dropped[stream] += gap.count
        if len(waiting) > 1 and gap and waiting[1].kind is Kind.GAP:
            waiting[:2] = [merge(waiting[:2], LOST)]
        if not waiting:
            del self._waiting[stream]

    def can_offer(self, item: Item) -> bool:
        """Say whether the link takes `item` now, or its producer has to wait for credit."""
        if self.policy is Policy.LATEST or self._wanted(item) is None:
            return True
        return not self._again and (item.kind in FREE or self.credit > 0)

    def offer(self, item: Item) -> None:
        """Take an item, to be sent now or, on a `latest` link, when there is credit."""
        wanted = self._wanted(item)
        if self._begin is not None and item.kind is not Kind.EOS:
            self._passed[item.stream] = self._before(item) + item.count
        if wanted is None:
            return
        if self.policy is Policy.LOSSLESS:
            self._send(wanted)
        else:
            self._put_into_mailbox(wanted)

    def _wanted(self, item: Item) -> Item | None:
        return item if self._begin is None else self._begin.rest_of(item, self._before(item))

    def _before(self, item: Item) -> int:
        """Return the keys of a stream before an item, also those of a producer that has died."""
        return self._passed.get(item.stream, self._base.total_before(item))

    def _put_into_mailbox(self, item: Item) -> None:
        waiting = self._waiting.setdefault(item.stream, [])
        if item.kind not in FREE and waiting:
            gap = merge(waiting, DROPPED)
            self.dropped[item.stream] += sum(w.count for w in waiting if w.kind is not Kind.GAP)
            waiting[:] = [gap]
        elif item.kind is Kind.GAP and waiting and waiting[-1].kind is Kind.GAP:
            item = merge([waiting.pop(), item], item.reason)
        waiting.append(item)
        self._send_waiting()

    def grant(self, credit: int) -> None:
        """Take credit from the consumer."""
        self.credit += credit
        self._send_waiting()

    def outgoing(self) -> Iterable[tuple[int, Item]]:
        """Take what is to be sent now, each with its number on the link."""
        while self._outgoing:
            yield self._next_number, self._outgoing.popleft()
            self._next_number += 1

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits for credit."""
        return not self._waiting and not self._again

    def _send_waiting(self) -> None:
        """Send what waits, the stream that has waited longest first, as far as the credit goes."""
        while self._again and (self._again[0].kind in FREE or self.credit > 0):
            self._send(self._again.popleft())
        for stream in list(self._waiting):
            waiting = self._waiting[stream]
            while waiting and self._may_leave(waiting):
                self._send(waiting.pop(0))
            if not waiting:
                del self._waiting[stream]

    def _may_leave(self, waiting: list[Item]) -> bool:
        # A GAP waits for credit too unless the stream ends: it may still grow.
        free = all(item.kind in FREE for item in waiting) and waiting[-1].kind is Kind.EOS
        return free or self.credit > 0

    def _send(self, item: Item) -> None:
        if item.stream in self._resets and item.kind not in FREE:
            self._resets.discard(item.stream)
            item = replace(item, kind=Kind.BREAK, message=None, reason=RESET)
        self._kept.note(item)
        if item.kind is Kind.EOS:
            item = Item(
                Kind.EOS, item.stream, item.seq, item.stamp_ns, item.born_ns,
                reason=item.reason, count=self._keys[item.stream],
            )  # fmt: skip
        else:
            self._keys[item.stream] += item.count
            self.credit -= item.kind not in FREE
        self._outgoing.append(item)


class Receiver:
    """The consumer's end of a link.

    Args:
        window: the credit that is out at most.
        on_idle: grant credit only when the consumer has nothing to do (`latest` links into a node
            with one input), so that what arrives is as new as it can be.
    """

    def __init__(self, window: int, *, on_idle: bool) -> None:
        self.window = window
        self.on_idle = on_idle
        self.queue: deque[Item] = deque()
        self._history = History(Position())
        self._next_number = 0
        self._outstanding = 0  # credit granted, not yet used
        self._queued = 0  # items of the queue that occupy the window

    def accept(self, number: int, item: Item) -> None:
        """Take an item off the wire.

        Raises:
            LinkError: items were lost, doubled or reordered on the way.
        """
        if number != self._next_number:
            raise LinkError(f"item {number} arrived where {self._next_number} was due")
        self._next_number += 1
        arrived = self._history.keys[item.stream]
        if item.kind is Kind.EOS and item.count != arrived:
            raise LinkError(
                f"stream {item.stream} ended after {item.count} keys, {arrived} arrived"
            )
        self._history.note(item)
        if item.kind not in FREE:
            if self._outstanding == 0:
                raise LinkError("an item arrived without credit")
            self._outstanding -= 1
            self._queued += 1
        self.queue.append(item)

    def begin(self, position: Position) -> None:
        """Take over from a consumer that died, at `position`."""
        self._history = History(position)

    def lose_producer(self) -> Position:
        """Forget the credit that a producer took with it; return where another one goes on."""
        self._outstanding = 0
        return self._history.position(self._next_number)

    def take(self) -> Item:
        """Take the oldest item for work."""
        item = self.queue.popleft()
        self._queued -= item.kind not in FREE
        return item

    def credit_due(self, *, idle: bool, held: int = 0) -> int:
        """Return the credit to grant now, and note it as granted.

        It is granted in portions of half a window, which spares most of the messages, unless the
        producer has none left. `held` items have been taken but still occupy the window: they wait
        in a join.
        """
        due = self.window - self._outstanding - self._queued - held
        is_worth_it = self._outstanding == 0 or due >= (self.window + 1) // 2
        if due <= 0 or not is_worth_it or (self.on_idle and not idle):
            return 0
        self._outstanding += due
        return due
