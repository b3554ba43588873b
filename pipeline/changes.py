"""What the processes of a run are told when one of them was started again, or has ended."""

from __future__ import annotations

import msgspec


class Change(msgspec.Struct):
    """What has changed among the other processes of a run."""

    endpoints: dict[str, str] = {}
    """Where the nodes of a process that was started again are bound now."""
    incarnation: int = 0
    """How often that process was started again."""
    gone: list[str] = []
    """Nodes that have ended and want nothing more."""
