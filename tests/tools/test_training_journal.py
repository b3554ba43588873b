"""The journal of a training run: no line twice after a resume, curves that show every metric."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from pipeline.errors import InputError

Load = Callable[[str], ModuleType]


def test_lines_come_back_as_they_were_written_each_at_once(load: Load, tmp_path: Path) -> None:
    journal = load("training.journal")
    path = tmp_path / "run" / "metrics.jsonl"
    book = journal.Journal(path)
    book.write("shapes", 10, {"loss": np.float32(0.5), "val/loss": 2})
    assert journal.read(path) == [{"stage": "shapes", "step": 10, "loss": 0.5, "val/loss": 2.0}]
    book.write("joint", 1, {"loss": float("nan")})
    assert np.isnan(journal.read(path)[1]["loss"])
    book.close()


def test_a_second_journal_appends(load: Load, tmp_path: Path) -> None:
    journal = load("training.journal")
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        book = journal.Journal(path)
        book.write("shapes", step, {"loss": 1.0})
        book.close()
    assert [line["step"] for line in journal.read(path)] == [1, 2]


def test_a_resumed_run_leaves_the_journal_of_one_that_was_never_killed(
    load: Load, tmp_path: Path
) -> None:
    journal = load("training.journal")

    def run(path: Path, stage: str, steps: range, resume_at: int | None = None) -> None:
        book = journal.Journal(path)
        if resume_at is not None:
            book.rewind(stage, resume_at)
        for step in steps:
            book.write(stage, step, {"loss": 1 / step, "lr": 1e-3})
        book.close()

    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    for path in (whole, killed):
        run(path, "shapes", range(1, 40))
    run(whole, "joint", range(1, 30))
    run(killed, "joint", range(1, 17))
    with killed.open("a") as file:
        file.write('{"stage": "joint", "step": 17, "lo')  # the kill
    assert len(journal.read(killed)) == 39 + 16
    run(killed, "joint", range(11, 30), resume_at=10)
    assert killed.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".jsonl"] == []


def test_a_torn_end_is_cut_off_without_a_rewind(load: Load, tmp_path: Path) -> None:
    journal = load("training.journal")
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "a", "step": 1, "loss": 1.0}\n{"stage": "a", "st')
    book = journal.Journal(path)
    book.write("a", 2, {"loss": 0.5})
    book.close()
    assert [line["step"] for line in journal.read(path)] == [1, 2]


@pytest.mark.parametrize("bad", ["no json", "3", '{"step": 2}', '{"stage": "a", "step": null}'])
def test_a_line_that_is_none_of_a_journal_is_named(load: Load, tmp_path: Path, bad: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "a", "step": 1}\n' + bad + "\n")
    with pytest.raises(InputError) as caught:
        load("training.journal").read(path)
    assert str(caught.value) == f"{path}:2: not a line of a journal: {bad}"


def test_a_metric_called_step_is_an_error(load: Load, tmp_path: Path) -> None:
    book = load("training.journal").Journal(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="another name than stage and step"):
        book.write("shapes", 1, {"step": 2.0})
    book.close()


def test_the_running_median_ignores_spikes_and_gaps(load: Load) -> None:
    running_median = load("training.journal").running_median
    values = np.linspace(5, 1, 200)
    spiky = values.copy()
    spiky[[50, 120]] = 1000, np.nan
    places, medians = running_median(values)
    np.testing.assert_array_equal(places, np.arange(200))
    np.testing.assert_allclose(medians[4:-4], values[4:-4])
    np.testing.assert_allclose(running_median(spiky)[1][4:-4], values[4:-4], atol=0.05)
    np.testing.assert_array_equal(running_median(np.array([3.0, np.nan]))[1], [3.0, np.nan])


def test_the_running_median_of_a_long_run_is_thinned_from_end_to_end(load: Load) -> None:
    values = np.linspace(5, 1, 20001)
    places, medians = load("training.journal").running_median(values)
    assert len(places) == 400
    assert (places[0], places[-1]) == (0, 20000)
    np.testing.assert_allclose(medians[10:-10], values[places][10:-10])


def _panels(journal: ModuleType, path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Plot a journal; return of each stage and metric the drawn curves' labels and the y scale."""
    drawn: dict[str, dict[str, tuple[list[str], str]]] = {}
    figures = []
    init = journal.FigureCanvasAgg.__init__

    def remember(self: object, figure: object) -> None:
        figures.append(figure)
        init(self, figure)

    monkeypatch.setattr(journal.FigureCanvasAgg, "__init__", remember)
    journal.plot(path, path.with_suffix(".png"))
    for block in figures[0].subfigs:
        stage = drawn.setdefault(block.get_suptitle(), {})
        for axis in block.axes:
            if axis.get_title():
                labels = [line.get_label() for line in axis.get_lines()]
                stage[axis.get_title()] = ([x for x in labels if x[0] != "_"], axis.get_yscale())
    return drawn


def test_the_plot_has_a_panel_for_each_metric_of_each_stage(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = load("training.journal")
    path = tmp_path / "metrics.jsonl"
    book = journal.Journal(path)
    for step in range(1, 60):
        values = {
            "loss": 1 / step,
            "lr": 10 ** (-step / 20),
            **{f"m{i}": float(i) for i in range(5)},
        }
        book.write("shapes", step, values | ({"val/loss": 0.5} if step % 20 == 0 else {}))
        book.write("joint", step, {"loss": 1.0, "lr": 1e-3})
    book.close()
    drawn = _panels(journal, path, monkeypatch)
    assert list(drawn) == ["shapes", "joint"]
    assert list(drawn["shapes"]) == ["loss", "m0", "m1", "m2", "m3", "m4", "lr"]
    assert drawn["shapes"]["loss"] == (["train", "val"], "linear")
    assert drawn["shapes"]["lr"] == (["train"], "log")
    assert drawn["joint"] == {"loss": (["train"], "linear"), "lr": (["train"], "linear")}
    picture = cv2.imread(str(path.with_suffix(".png")))
    assert picture.shape[1] > 1200
    blue = (picture[:, :, 0].astype(int) - picture[:, :, 2] > 100).mean()
    orange = (picture[:, :, 2].astype(int) - picture[:, :, 0] > 150).mean()
    assert blue > 0.002
    assert 0 < orange < blue


@pytest.mark.parametrize(
    "lines", [[], [{"stage": "a", "step": 1}], [{"stage": "a", "step": 1, "loss": float("nan")}]]
)
def test_a_journal_with_little_in_it_has_a_plot(
    load: Load, tmp_path: Path, lines: list[dict[str, object]]
) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    load("training.journal").plot(path, tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
