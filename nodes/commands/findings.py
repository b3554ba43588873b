"""What the checks of `posestream doctor` return."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    verdict: Verdict
    text: str
    cure: str = ""


Check = Callable[[float], Iterator[Finding]]
"""Given the deadline of its probes, of `time.monotonic()`."""
