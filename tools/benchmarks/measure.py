"""Measuring in turns: every contestant once, then every one again, so that all meet the same noise.

A contestant gives named values for each repeat; a row of a table is their median, the smallest and
the largest.
"""

import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.record import Figure, Row
from pipeline.errors import PosestreamError
from pipeline.registry import Registry

Values = dict[str, float]
Measure = Callable[[], Values]

MAX_REASON = 160
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:]+/)+")  # of whose machine it was is nobody's concern


class NotMeasuredError(Exception):
    """Something is missing that a row needs; the message says what."""


def create(registry: Registry, name: str, options: Mapping[str, Any]) -> Any:
    """Build a plug-in of posestream.

    Raises:
        NotMeasuredError: it does not know one of the options.
    """
    try:
        return registry.create(name, options)
    except TypeError as error:
        raise NotMeasuredError(str(error)) from error


@dataclass(frozen=True)
class Contestant:
    """One row to be: `prepare` loads what it needs, and returns what measures once."""

    name: str
    prepare: Callable[[], Measure]


def say(text: str) -> None:
    """Tell the user how far it has come."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Race:
    """What every contestant has shown so far."""

    runs: dict[str, list[Values]] = field(default_factory=dict)
    """By contestant: the values of each repeat."""
    missing: dict[str, str] = field(default_factory=dict)
    """By contestant: why it could not be measured."""

    def add_ratio(self, column: str, of: str, base: str, *, less_is_better: bool = False) -> None:
        """Add to each repeat how many times better its value is than the base's in that repeat."""
        for values in self.runs.values():
            for mine, theirs in zip(values, self.runs.get(base, ()), strict=False):
                if of in mine and theirs.get(of) and mine[of]:
                    ratio = mine[of] / theirs[of]
                    mine[column] = 1 / ratio if less_is_better else ratio

    def rows(self, units: Mapping[str, str], table: str = "") -> list[Row]:
        """Return a row for each contestant; `units` names the columns, in their order."""
        return [
            Row(name, missing=self.missing[name], table=table)
            if name in self.missing
            else Row(name, _figures(values, units), table=table)
            for name, values in self.runs.items()
        ]


def race(contestants: Iterable[Contestant], repeats: int, *, warm_up: bool = True) -> Race:
    """Measure all contestants in turns, `repeats` times, after one turn that does not count."""
    found = Race()
    ready: dict[str, Measure] = {}
    for contestant in contestants:
        found.runs[contestant.name] = []
        try:
            ready[contestant.name] = contestant.prepare()
        except (NotMeasuredError, ImportError, PosestreamError) as error:
            found.missing[contestant.name] = reason_of(error)
    for repeat in range(0 if warm_up else 1, repeats + 1):
        for name in [name for name in ready if name not in found.missing]:
            say(f"{name}: {f'repeat {repeat} of {repeats}' if repeat else 'warm-up'}")
            try:
                values = ready[name]()
            except (NotMeasuredError, ImportError, PosestreamError) as error:
                found.missing[name] = reason_of(error)
                continue
            if repeat:
                found.runs[name].append(values)
    return found


def reason_of(error: BaseException) -> str:
    """Return why something could not be measured, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = FOLDERS.sub("", lines[-1]) if lines else type(error).__name__
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + " ..."


def timed(call: Callable[[], object], count: int = 1) -> Values:
    """Return the milliseconds, of the clock and of CPU, that each of `count` things took."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    return {"ms": 1e3 * wall_s / count, "ms CPU": 1e3 * cpu_s / count}


def figure(values: Iterable[float], unit: str) -> Figure:
    """Return the median of some values with the smallest and the largest."""
    found = list(values)
    return Figure(unit, statistics.median(found), min(found), max(found), len(found))


def _figures(runs: list[Values], units: Mapping[str, str]) -> dict[str, Figure]:
    columns = {column: [v[column] for v in runs if column in v] for column in units}
    return {column: figure(found, units[column]) for column, found in columns.items() if found}
