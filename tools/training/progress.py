"""How far a training run is: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

BAR_SECONDS = 0.5


class Progress:
    """Shows stage, step, speed, time left and the latest values on stderr; a context manager.

    On a terminal it is one line that is redrawn, elsewhere a plain line every so many seconds and
    at the end.
    """

    def __init__(
        self,
        stage: str,
        total: int,
        start: int = 0,
        seconds: float = 30.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage, self.total, self.start, self.step = stage, total, start, start
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._began = self._shown = clock()
        self._seconds = seconds
        self._values: dict[str, float] = {}
        self._shown_step: int | None = None
        self._bar: Bar | None = None
        if self._stream.isatty():
            self._seconds = min(seconds, BAR_SECONDS)
            columns = (BarColumn(20), TextColumn("{task.description}", markup=False))
            self._bar = Bar(*columns, console=Console(file=self._stream), auto_refresh=False)
            self._bar.add_task("", total=total, completed=start)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.step != self._shown_step:
            self._show()
        if self._bar:
            self._bar.stop()

    def update(self, step: int, values: Mapping[str, float]) -> None:
        """Take in that so many steps are done, with the latest values; show it when it is time."""
        self.step = step
        self._values.update(values)
        if self._shown_step is None or self._clock() - self._shown >= self._seconds:
            self._show()

    def text(self) -> str:
        """Return the line: stage, step/total, speed, time left, latest values."""
        elapsed = self._clock() - self._began
        speed = (self.step - self.start) / elapsed if elapsed > 0 else 0.0
        left = timedelta(seconds=round((self.total - self.step) / speed)) if speed > 0 else "?"
        parts = [f"{self.stage} {self.step}/{self.total}", f"{speed:.2f} steps/s", f"{left} left"]
        return "  ".join(parts + [f"{name} {value:.4g}" for name, value in self._values.items()])

    def _show(self) -> None:
        self._shown, self._shown_step = self._clock(), self.step
        if self._bar:
            self._bar.update(
                self._bar.task_ids[0], completed=self.step, description=self.text(), refresh=True
            )
        else:
            print(self.text(), file=self._stream, flush=True)
