"""The keys of a configuration that belong to the engine, with their defaults and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.graph import Batch, JoinRule

MAX_WORKERS = 256
MAX_SEED = 2**63 - 1
GRAPH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
NODE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
NODE_NAME_RULE = "at most 40 of a-z, 0-9 and _, beginning with a letter"


@dataclass(frozen=True)
class Limits:
    """When a run is given up."""

    hang_s: float = 30.0

    def __post_init__(self) -> None:
        if self.hang_s <= 0:
            raise ValueError(f"hang_s must be above 0 s, not {self.hang_s:g}")


@dataclass(frozen=True)
class TopEntry:
    """The top level of a configuration."""

    name: str | None = None
    nodes: object = None
    limits: Limits = field(default_factory=Limits)
    place: Mapping[str, str] = field(default_factory=dict)
    carrier: Literal["shm", "ipc", "tcp"] = "shm"
    restart: bool = False
    hosts: Mapping[str, str] = field(default_factory=dict)
    keys: str = ""
    allow_plaintext: bool = False
    publish: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name is not None and not GRAPH_NAME.fullmatch(self.name):
            raise ValueError(
                "name must be at most 80 letters, digits and _ . -, the first a letter or digit, "
                f"not {self.name!r}"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed must be 0 to {MAX_SEED}, not {self.seed}")


@dataclass(frozen=True)
class NodeEntry:
    """One entry of `nodes`."""

    type: str
    params: object = None
    inputs: object = None
    join: JoinRule = JoinRule.EXACT
    batch: Batch = field(default_factory=Batch)
    workers: int = 1
    pace: Literal["fastest", "recorded"] | float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"workers must be 1 to {MAX_WORKERS}, not {self.workers}")
        if isinstance(self.pace, float) and self.pace <= 0:
            raise ValueError(f"pace must be above 0 Hz, not {self.pace:g}")
