"""Items on their way within one process, by reference."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from pipeline.messages import Item


class Loans:
    """Items on their way within one process, by reference: a queue for each link.

    The producer puts in and the consumer takes out, from two threads, so that only the atomic
    operations of `deque` are used. A token over the socket wakes the consumer, and is needed only
    when the queue was empty: who finds items there takes all.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[int, Item]]] = {}

    def lend(self, link: str, number: int, item: Item) -> bool:
        """Deposit an item of a link; say whether its consumer must be woken."""
        queue = self._queues.setdefault(link, deque())
        queue.append((number, item))
        return len(queue) == 1

    def redeem(self, link: str) -> Iterator[tuple[int, Item]]:
        """Take all items of a link."""
        queue = self._queues.setdefault(link, deque())
        while queue:
            yield queue.popleft()
