"""A checked graph of nodes: what runs, what is linked to what, and how much a link may hold."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.node import Node, Source

DEFAULT_WINDOW = 4
MAX_BATCH = 1024

NodeClass = type[Node]


class Policy(enum.StrEnum):
    """What a link does when its consumer has no time: wait, or keep the newest."""

    LOSSLESS = "lossless"
    LATEST = "latest"


class JoinRule(enum.StrEnum):
    """How several inputs meet: all of one key; complete sets, newest wins; each message alone."""

    EXACT = "exact"
    LATEST = "latest"
    NONE = "none"


@dataclass(frozen=True)
class Batch:
    """How many messages a node takes at once, and how long a live one waits for more."""

    size: int = 1
    wait_ms: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_BATCH:
            raise ValueError(f"size must be 1 to {MAX_BATCH}, not {self.size}")
        if self.wait_ms < 0:
            raise ValueError(f"wait_ms must be 0 or more, not {self.wait_ms:g}")


@dataclass(frozen=True)
class InputRef:
    """One link that a node's `inputs` name; a policy of None goes by the source."""

    node: str
    output: str
    policy: Policy | None = None


@dataclass(frozen=True)
class NodeSpec:
    """One node of the configuration, checked."""

    name: str
    type: str
    node_class: NodeClass
    params: Any
    inputs: Mapping[str, tuple[InputRef, ...]] = field(default_factory=dict)
    join: JoinRule = JoinRule.EXACT
    batch: Batch = Batch()
    workers: int = 1
    pace: str | float = "fastest"
    """Sources only: "fastest", "recorded", or a rate in Hz. The last two make a source live."""

    @property
    def is_source(self) -> bool:
        """Whether the node starts a stream."""
        return issubclass(self.node_class, Source)

    @property
    def is_joined(self) -> bool:
        """Whether several inputs meet by (stream, seq)."""
        return len(self.inputs) > 1 and self.join is not JoinRule.NONE

    @property
    def refs(self) -> Iterator[tuple[str, int, InputRef]]:
        """Yield (input, index, link) for all that the node takes."""
        for port, refs in self.inputs.items():
            for index, ref in enumerate(refs):
                yield port, index, ref


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
    keeps: int = 0
    """Items of each stream that the producer keeps for a consumer that is started again."""
    may_resume: bool = False
    """Whether the producer is started again when its process dies."""

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
    carrier: str = "shm"
    """What links processes: "shm" (ipc, large arrays in shared memory), "ipc", "tcp" (loopback)."""
    restart: bool = False
    """Whether a process group that dies is started again."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Group -> "tcp://ADDRESS:PORT" of the machine that runs it; "main" is the runner's own."""
    keys: str = ""
    """Folder of the key files of all hosts; "" for links that nobody encrypts."""
    allow_plaintext: bool = False
    """Whether sockets without encryption may be reached from other machines."""
    publish: Mapping[str, str] = field(default_factory=dict)
    """"node.output" -> the endpoint where listeners outside the graph find it."""
    hang_s: float = 30.0
    seed: int = 0
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole configuration with every default filled in, as plain YAML data."""
