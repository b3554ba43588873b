"""A validated graph of nodes: what runs, what is linked to what, and how many messages a link may hold."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.node import Node

DEFAULT_WINDOW = 4


class Policy(enum.StrEnum):
    """What a link does when its consumer has no time: wait, or keep the newest and count the rest."""

    LOSSLESS = "lossless"
    LATEST = "latest"


class JoinRule(enum.StrEnum):
    """How several inputs meet: all of one key; complete sets, newest wins; or each message alone."""

    EXACT = "exact"
    LATEST = "latest"
    NONE = "none"


@dataclass(frozen=True)
class Batch:
    """How many messages a node takes at once, and how long a live one waits for more."""

    size: int = 1
    wait_ms: float = 0.0


@dataclass(frozen=True)
class InputRef:
    """One line of a node's `inputs`: an output of another node, and the policy asked for (None: by source)."""

    node: str
    output: str
    policy: Policy | None = None


@dataclass(frozen=True)
class NodeSpec:
    """One node of the configuration, checked."""

    name: str
    type: str
    node_class: type[Node]
    params: Any
    inputs: Mapping[str, tuple[InputRef, ...]] = field(default_factory=dict)
    join: JoinRule = JoinRule.EXACT
    batch: Batch = Batch()
    workers: int = 1
    pace: str | float = "fastest"
    """Sources only: "fastest", "recorded", or a rate in Hz. The last two make a source live."""


@dataclass(frozen=True)
class Edge:
    """One link: an output of a producer to an input of a consumer."""

    producer: str
    output: str
    consumer: str
    input: str
    policy: Policy
    window: int
    streams: tuple[str, ...]
    """Streams that travel on it."""

    @property
    def name(self) -> str:
        """Return the name of the link, unique in the graph."""
        return f"{self.producer}.{self.output}>{self.consumer}.{self.input}"


@dataclass(frozen=True)
class Graph:
    """A checked graph. `nodes` are in the order in which data passes them."""

    name: str
    nodes: Mapping[str, NodeSpec]
    edges: tuple[Edge, ...]
    place: Mapping[str, str] = field(default_factory=dict)
    """Node -> process group; a node that is not named runs in the main process."""
    carrier: str = "ipc"
    """What links processes: "ipc" or "tcp" (loopback)."""
    hang_s: float = 30.0
    seed: int = 0
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration with every default filled in, as plain YAML data."""
