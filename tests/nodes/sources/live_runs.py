"""Runs of the engine over a live source: what came out, which states were shown, and the ledger."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodes.messages import Frame
from pipeline import config
from pipeline.node import Node, Notice, Resources
from pipeline.runner import RunResult, run
from pipeline.stats import Account, NodeStats


class Watch(Node):
    """Writes a line for each frame, and for each key without one."""

    def open(self, resources: Resources) -> None:
        super().open(resources)
        self.file = (resources.out / "watch.txt").open("w")

    def process(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        corner = int(frame.image[-1, -1].mean())
        row = {"seq": frame.seq, "level": corner, "size": [width, height], "ns": frame.stamp_ns}
        self.file.write(json.dumps(row) + "\n")

    def notice(self, port: str, notice: Notice) -> None:
        row = {"seq": notice.seq, notice.kind: notice.reason, "count": notice.count}
        self.file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        self.file.close()


@dataclass
class Outcome:
    """How a run ended and what it showed on the way."""

    result: RunResult
    rows: list[dict[str, Any]]
    states: list[str] = field(default_factory=list)
    """The states of the source, each change once."""

    @property
    def account(self) -> Account:
        """Check the balance, and return it."""
        (balance,) = self.result.report.balances
        assert balance.holds
        assert sum(row.get("count", 1) for row in self.rows) == balance.frames
        return balance.account

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if "level" in row]

    @property
    def gaps(self) -> list[tuple[int, str]]:
        """Return (seq, reason) of the declared gaps."""
        return [(row["seq"], row["break"]) for row in self.rows if "break" in row]


def run_live(
    out: Path,
    source: str,
    options: Mapping[str, Any],
    on_state: Callable[[str, int], None] = lambda state, count: None,
    hang_s: float = 30,
    **params: Any,
) -> Outcome:
    """Run a source into a watcher.

    Args:
        on_state: called about every 50 ms with the state and the number of frames so far.
    """
    document = {
        "nodes": {
            "cam": {"type": "capture", "params": {"source": source, "options": options, **params}},
            "watch": {"type": "live_runs:Watch", "inputs": {"frame": {"from": "cam.frame", "policy": "lossless"}}},
        },
        "limits": {"hang_s": hang_s},
    }  # fmt: skip
    states: list[str] = []

    def on_status(nodes: Mapping[str, NodeStats], seconds: float) -> None:
        state = nodes["cam"].state
        if state != (states[-1] if states else ""):
            states.append(state)
        on_state(state, sum(nodes["cam"].captured.values()))

    result = run(config.load_text(json.dumps(document), "test.yaml"), out, on_status)
    text = (out / "watch.txt").read_text()
    return Outcome(result, [json.loads(line) for line in text.splitlines()], states)
