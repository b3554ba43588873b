"""The tables of BENCHMARKS.md, made from the record: what stands between two markers.

<!-- benchmark: SUITE -->
... command, date, device, versions, table: written by `python tools/benchmark.py report`
<!-- end -->
"""

import re
from collections.abc import Iterable, Sequence

from benchmarks.record import Figure, Record, Row, latest

BLOCK = re.compile(
    r"^(?P<begin><!-- benchmark: (?P<suite>\S+) -->)\n(?P<text>.*?)^(?P<end><!-- end -->)$",
    re.MULTILINE | re.DOTALL,
)
MARKER = re.compile(r"^<!-- (?:benchmark: \S+|end) -->$", re.MULTILINE)


class PageError(Exception):
    """The page's markers are wrong; the message says how."""


def rewritten(page: str, records: Sequence[Record], suites: Iterable[str]) -> str:
    """Return the page with every block made from the latest records.

    Raises:
        PageError: a marker has no partner, or names no suite.
    """
    known = set(suites)
    blocks = list(BLOCK.finditer(page))
    if 2 * len(blocks) != len(MARKER.findall(page)):
        raise PageError("each <!-- benchmark: SUITE --> needs its own <!-- end -->")
    for block in blocks:
        if block["suite"] not in known:
            raise PageError(f"unknown suite {block['suite']!r}: one of {', '.join(sorted(known))}")
    return BLOCK.sub(lambda block: _block(block, records), page)


def _block(block: re.Match[str], records: Sequence[Record]) -> str:
    found = latest(records, block["suite"])
    texts = [section(record) for record in found]
    if not texts:
        texts = [f"Not measured yet: `python tools/benchmark.py {block['suite']}`\n"]
    return f"{block['begin']}\n{chr(10).join(texts)}{block['end']}"


def section(record: Record) -> str:
    """Return what the page says of a record."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    device = f"{record.device}, host {record.cpu}" if record.is_cuda else record.cpu
    parts = [
        f"`{record.command}`",
        f"{record.date} UTC; {device}, {record.cores} cores; {versions}. {_spread(record.rows)}",
        *_tables(record.rows),
        *record.notes,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(rows: Sequence[Row]) -> Iterable[str]:
    """Yield each table with its title before it."""
    for title in dict.fromkeys(row.table for row in rows):
        yield f"{title}:" if title else ""
        yield table([row for row in rows if row.table == title])


def _spread(rows: Sequence[Row]) -> str:
    counts = sorted({figure.n for row in rows for figure in row.figures.values() if figure.n > 1})
    runs = " or ".join(map(str, counts))
    return f"Medians of {runs} runs, with the smallest and the largest." if counts else "One run."


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of all rows and columns; what was not measured says why below it."""
    fullest = sorted(rows, key=lambda row: -len(row.figures))  # its order of columns is the table's
    columns = list(dict.fromkeys(column for row in fullest for column in row.figures))
    columns = columns or [""]  # the reasons need a place
    units = {c: next((r.figures[c].unit for r in rows if c in r.figures), "") for c in columns}
    heads = [f"{column} ({units[column]})" if units[column] else column for column in columns]
    lines = ["| " + " | ".join(["", *heads]) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = [cell(row.figures[c]) if c in row.figures else "-" for c in columns]
        lines.append("| " + " | ".join([row.name, *cells]) + " |")
        if row.missing:
            lines[-1] = f"| {row.name} | not measured: {row.missing.replace('|', '/')} |"
            lines[-1] += " |" * (len(columns) - 1)
    return "\n".join(lines)


def cell(figure: Figure) -> str:
    """Return a figure as the table shows it: median (smallest - largest)."""
    median = number(figure.median)
    low, high = number(figure.min), number(figure.max)
    return median if low == high else f"{median} ({low} - {high})"


def number(value: float) -> str:
    """Return a number with three figures that count."""
    if value and abs(value) < 100:
        text = f"{value:.3g}"
        return text if "e" not in text else f"{value:.1e}"
    return f"{value:,.0f}"
