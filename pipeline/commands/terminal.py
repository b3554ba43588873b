"""What all commands show to people: on stderr, as stdout is for results."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from rich.table import Table


class _Terminal(Console):
    """Rich would leave with code 1 once nobody reads any more; a run goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Let all that is still said vanish."""
        self.quiet = True


console = _Terminal(stderr=True, highlight=False, soft_wrap=True)
_shows_traces = False


def show_traces() -> None:
    """Let every error show where it was raised, as --debug asks."""
    global _shows_traces
    _shows_traces = True


def complain(text: str, trace: str = "") -> None:
    """Say in one line what went wrong."""
    if _shows_traces and trace:
        console.print(trace, markup=False)
    console.print(f"error: {text}", markup=False)


def balance_table(balances: Any) -> Table:
    """Return the final table: what became of the frames of every stream."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    columns = ["stream", "frames", "= results", "+ skips", "+ errors", "+ gaps"]
    unfinished = any(not b.holds for b in balances)  # a run that did not come to its end
    for column in [*columns, *(["+ unfinished"] if unfinished else []), "at"]:
        side: Any = "left" if column in ("stream", "at") else "right"
        table.add_column(column, justify=side, no_wrap=column != "at", overflow="fold")
    for b in balances:
        a = b.account
        numbers = [b.frames, a.results, a.skips, a.errors, a.gaps]
        numbers += [b.frames - a.total] if unfinished else []
        table.add_row(b.stream, *map(str, numbers), b.sink)
    return table


class StatusLine:
    """The status line: kept in place on a terminal, a plain line every 5 s elsewhere."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._next = 5.0
        self._started = time.monotonic()

    def __enter__(self) -> StatusLine:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if console.is_terminal:
            self._live.stop()

    def show(self, line: str) -> None:
        """Show the line, if it is time to."""
        if console.is_terminal:
            from rich.text import Text

            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
        elif time.monotonic() - self._started >= self._next:
            self._next += 5.0
            console.print(line, markup=False)
