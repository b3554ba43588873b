"""What leaves the graph for whoever listens: PUB sockets, which lose what nobody takes in time."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.messages import Item
from pipeline.wiring import Wiring


class Publisher:
    """Publishes outputs of one node.

    Args:
        outputs: output -> endpoint.
    """

    def __init__(self, node: str, outputs: Mapping[str, str], wiring: Wiring) -> None:
        self._outputs = outputs

    def publish(self, output: str, item: Item) -> None:
        """Send an item to all who listen, if the output is published."""

    def close(self) -> None:
        """Close the sockets, once what is under way has left or nobody took it."""
