"""Starts process groups again that have died, where the configuration says `restart: true`.

A death is a process that ended without a word: killed, crashed, out of memory. What a node raises
would be raised again, and ends the run as ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.changes import Change
from pipeline.graph import Graph
from pipeline.group import Failure
from pipeline.party import START_S, Party
from pipeline.stats import NodeStats

FIRST_DELAY_S, LAST_DELAY_S = 0.3, 5.0
MAX_FRUITLESS = 5  # deaths in a row between which nothing was done

Spawn = Callable[[Party, int, Iterable[str]], Party]
"""Starts the process of a group again, given how often that was done before and who has ended."""
Snapshot = Callable[[], Mapping[str, NodeStats]]


@dataclass
class _Patient:
    """A group that has died."""

    deaths: int = 0
    fruitless: int = 0
    done: int = -1
    """Keys that all sinks had settled at the last death."""
    due: float | None = None
    """When to start it again."""
    spawned: float = 0.0


@dataclass
class Mender:
    """Watches over the process groups of a run.

    Args:
        children: the groups; one that is started again takes the place of the dead one.
        tell: makes a change known to the nodes of the runner's own process.
    """

    graph: Graph
    children: list[Party]
    spawn: Spawn
    tell: Callable[[Change], None]
    snapshot: Snapshot
    endpoints: dict[str, str] = field(default_factory=dict)
    """Where all nodes are bound for other processes."""
    is_draining: bool = False
    """Whether sources are to end their streams."""
    _patients: dict[str, _Patient] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    @property
    def restarts(self) -> dict[str, int]:
        """Return how often each group has died."""
        return {name: patient.deaths for name, patient in self._patients.items() if patient.deaths}

    def tend(self) -> None:
        """Do what is to be done now: see who has died, start again, tell the others."""
        if not self.graph.restart:
            return
        self._note_gone()
        for index, child in enumerate(self.children):
            if child.has_died and child.can_restart:
                self._treat(index, child)
            elif child.incarnation and not child.is_started and child.endpoints is not None:
                self._introduce(child, child.endpoints)

    def failure(self, child: Party) -> Failure | None:
        """Return why a group is given up, if it is."""
        patient = self._patients.get(child.name)
        is_mended = self.graph.restart and child.can_restart
        if not is_mended or (child.failure and not child.has_died):
            return child.failure
        if patient and child.has_died and patient.fruitless > MAX_FRUITLESS and child.failure:
            text = f"{child.failure.text}; {MAX_FRUITLESS} new starts did not get it on"
            return Failure(text, child.failure.exit_code)
        is_slow = patient and not child.is_started and not child.has_died and child.incarnation
        if patient and is_slow and time.monotonic() - patient.spawned > START_S:
            return Failure(f"process {child.name!r} did not start again: no answer", 6)
        return None

    def _note_gone(self) -> None:
        gone = {name for name, stats in self.snapshot().items() if stats.is_finished}
        if gone != self._gone:
            self._gone = gone
            self._announce(Change(gone=sorted(gone)))

    def _treat(self, index: int, child: Party) -> None:
        patient = self._patients.setdefault(child.name, _Patient())
        now = time.monotonic()
        if not self._is_wanted(child):
            child.write_off()
            self._announce(Change(gone=child.names))
        elif patient.due is None:
            self._diagnose(patient, now)
        elif now >= patient.due and patient.fruitless <= MAX_FRUITLESS:
            patient.due, patient.spawned = None, now
            child.end(0.1)
            self.children[index] = self.spawn(child, child.incarnation + 1, sorted(self._gone))

    def _diagnose(self, patient: _Patient, now: float) -> None:
        """Note a death; the more in a row without anything done, the longer the wait."""
        nodes = self.snapshot()
        sinks = [n for n, spec in self.graph.nodes.items() if not spec.node_class.outputs]
        ports = [port for name in sinks for port in list(nodes[name].accounts.values())]
        done = sum(account.total for port in ports for account in list(port.values()))
        patient.fruitless = patient.fruitless + 1 if done == patient.done else 1
        patient.deaths, patient.done = patient.deaths + 1, done
        patient.due = now + min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** (patient.fruitless - 1))

    def _is_wanted(self, child: Party) -> bool:
        """Say whether somebody outside still takes from a group."""
        outside = [
            edge.consumer
            for edge in self.graph.edges
            if edge.producer in child.names and edge.consumer not in child.names
        ]
        return any(consumer not in self._gone for consumer in outside)

    def _introduce(self, child: Party, endpoints: dict[str, str]) -> None:
        """Let a new process begin, and let the others connect to it."""
        self.endpoints.update(endpoints)
        self._announce(Change(endpoints, child.incarnation), but=child)
        child.start(self.endpoints)
        if self.is_draining:
            child.drain()

    def _announce(self, change: Change, but: Party | None = None) -> None:
        self.tell(change)
        for child in self.children:
            if child is not but:
                child.heed(change)
