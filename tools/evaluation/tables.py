"""The tables of an evaluation, as text that fits and as Markdown, and all figures as JSON."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Row = list[str]
Table = list[Row]
"""The first row is the head, the first column the names."""
Results = Mapping[str, Mapping[str, Any]]
"""Of each detector: `totals`, and figures by `groups` and `sets`; see evaluation/results.py."""

_SHARE, _PX, _COUNT = "{:.3f}", "{:.2f}", "{:.0f}"
_TOTALS = (
    (
        ("repeatability", "repeatability", _SHARE),
        ("localisation_px", "localisation px", _PX),
        ("nn_map", "NN mAP", _SHARE),
        ("matching_score", "matching score", _SHARE),
        ("mma_1px", "MMA@1", _SHARE),
        ("mma_3px", "MMA@3", _SHARE),
        ("mma_5px", "MMA@5", _SHARE),
    ),
    (
        ("homography_1px", "H@1", _SHARE),
        ("homography_3px", "H@3", _SHARE),
        ("homography_5px", "H@5", _SHARE),
        ("homography_auc_5px", "AUC@5", _SHARE),
        ("keypoints", "keypoints", _COUNT),
        ("matches", "matches", _COUNT),
        ("vga_ms", "VGA ms", "{:.1f}"),
        ("vga_cpu_ms", "VGA CPU ms", "{:.1f}"),
        ("shapes_ap", "shapes AP", _SHARE),
    ),
)
PER_SET = (
    "In each set: pairs with a homography right at 3 px (a fraction: in some of a pair's trials), "
    "MMA@3, repeatability."
)


def group_tables(results: Results, width: int = 100) -> list[Table]:
    """Return figures by set or group, as many columns in each table as fit."""
    groups = list(next(iter(results.values()))["groups"])
    column = max((len(c) for c in (*groups, "5.0/5 0.00 0.00")), default=0) + 2
    first = max(len(label) for label in results)
    fitting = max(1, (width - first) // column)
    return [
        [
            ["", *part],
            *([name, *(_cell(one["groups"][g]) for g in part)] for name, one in results.items()),
        ]
        for part in (groups[i : i + fitting] for i in range(0, len(groups), fitting))
    ]


def total_tables(results: Results) -> list[Table]:
    """Return the figures over all pairs."""
    return [
        [
            ["", *(title for _, title, _ in columns)],
            *(
                [name, *(_format(one["totals"].get(key), form) for key, _, form in columns)]
                for name, one in results.items()
            ),
        ]
        for columns in _TOTALS
    ]


def as_text(table: Table) -> str:
    """Return a table with columns of the width of their cells, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in table
    )


def as_markdown(table: Table) -> str:
    """Return a table in Markdown."""
    head, *body = table
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def page(results: Results, notes: Sequence[str], form: Callable[[Table], str]) -> str:
    """Return all tables with their notes."""
    by_set = "\n\n".join(form(table) for table in group_tables(results))
    totals = "\n\n".join(form(table) for table in total_tables(results))
    return "\n\n".join([by_set, PER_SET, totals, *notes]) + "\n"


def write(path: Path, results: Results, notes: Sequence[str], command: str) -> None:
    """Write a page of Markdown, or all figures as JSON, by the ending of the name."""
    if path.suffix == ".md":
        path.write_text(f"`{command}`\n\n{page(results, notes, as_markdown)}")
        return
    data = _finite({"command": command, "notes": list(notes), "detectors": dict(results)})
    path.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")


def _cell(figures: Mapping[str, Any]) -> str:
    pairs = figures["pairs"]
    right = round(figures["homography_3px"] * pairs, 6)
    shown = f"{right:.1f}".removesuffix(".0")
    return f"{shown}/{pairs} {figures['mma_3px']:.2f} {figures['repeatability']:.2f}"


def _format(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _finite(data: Any) -> Any:
    """Return data with None for what JSON has no number for: an infinite error."""
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
