"""Progress of a training run: plain lines in a log, one bar on a terminal."""

import io
from collections.abc import Callable
from types import ModuleType

Load = Callable[[str], ModuleType]


class _Clock:
    """A clock that goes when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_lines_come_first_then_every_so_many_seconds_and_at_the_end(load: Load) -> None:
    clock, stream = _Clock(), io.StringIO()
    progress = load("training.progress").Progress("joint", 400, 100, 30.0, stream, clock)
    with progress:
        for step in range(101, 166):
            clock.now += 1
            progress.update(step, {"loss": 100 / step})
    assert stream.getvalue().splitlines() == [
        "joint 101/400  1.00 steps/s  0:04:59 left  loss 0.9901",
        "joint 131/400  1.00 steps/s  0:04:29 left  loss 0.7634",
        "joint 161/400  1.00 steps/s  0:03:59 left  loss 0.6211",
        "joint 165/400  1.00 steps/s  0:03:55 left  loss 0.6061",
    ]


def test_values_that_come_seldom_stay_in_the_line(load: Load) -> None:
    clock, stream = _Clock(), io.StringIO()
    progress = load("training.progress").Progress("shapes", 10, 0, 0.0, stream, clock)
    progress.update(1, {"loss": 1.0, "val/loss": 2.0})
    progress.update(2, {"loss": 0.5})
    assert stream.getvalue().splitlines() == [
        "shapes 1/10  0.00 steps/s  ? left  loss 1  val/loss 2",
        "shapes 2/10  0.00 steps/s  ? left  loss 0.5  val/loss 2",
    ]


def test_a_terminal_gets_a_bar_in_one_line_and_its_cursor_back(load: Load) -> None:
    clock, stream = _Clock(), _Terminal()
    with load("training.progress").Progress("joint", 20, 0, 30.0, stream, clock) as progress:
        for step in range(1, 21):
            clock.now += 1
            progress.update(step, {"loss": 0.25})
    text = stream.getvalue()
    assert "joint 10/20" in text
    assert "joint 20/20  1.00 steps/s  0:00:00 left  loss 0.25" in text
    assert "━" in text
    assert text.count("\n") <= 2
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
