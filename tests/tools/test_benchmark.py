"""The benchmark tool: contestants meet in turns, what is missing says why, the command is checked."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]


def test_contestants_meet_in_turns_after_a_turn_that_does_not_count(
    load: Load,
) -> None:
    measure = load("benchmarks.measure")
    order: list[str] = []

    def contestant(name: str, values: list[float]) -> object:
        left = iter([-1.0, *values])

        def once() -> dict[str, float]:
            order.append(name)
            return {"time": next(left)}

        return measure.Contestant(name, lambda: once)

    found = measure.race([contestant("a", [4, 2, 9]), contestant("b", [8, 1, 3])], 3)
    assert order == ["a", "b"] * 4
    found.add_ratio("times b", "time", "b", less_is_better=True)
    a, _ = found.rows({"time": "ms", "times b": ""})
    time = a.figures["time"]
    assert (time.unit, time.median, time.min, time.max, time.n) == ("ms", 4, 2, 9, 3)
    ratio = a.figures["times b"]  # by repeat 8 / 4, 1 / 2, 3 / 9
    assert (ratio.median, ratio.max) == (0.5, 2.0)


def test_what_cannot_be_measured_is_a_row_with_the_reason(
    load: Load,
) -> None:
    measure = load("benchmarks.measure")

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'imagezmq'")

    def fails() -> None:
        raise measure.NotMeasuredError("/tmp/x/graph.yaml:3: too old\n")

    rows = measure.race(
        [measure.Contestant("no package", missing), measure.Contestant("fails", lambda: fails)], 2
    ).rows({"time": "ms"})
    assert [row.missing for row in rows] == ["No module named 'imagezmq'", "graph.yaml:3: too old"]


def test_a_mistake_in_our_own_code_is_not_a_missing_row(load: Load) -> None:
    measure = load("benchmarks.measure")
    with pytest.raises(ZeroDivisionError):
        measure.race([measure.Contestant("wrong", lambda: lambda: 1 / 0)], 1)


def test_the_page_of_the_project_is_up_to_date(load: Load) -> None:
    assert load("benchmark").main(["report", "--check"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mach"], "invalid choice: 'mach'"),
        (["report", "match"], "report goes by itself"),
        (["match", "--check"], "--check is of report"),
        (["match", "--repeats", "0"], "--repeats must be 1 or more, not 0"),
    ],
)
def test_a_wrong_command_is_refused(
    load: Load,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        load("benchmark").main(arguments)
    assert said in capsys.readouterr().err


def test_a_suite_that_lacks_its_data_is_a_row_and_a_record(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tmp_path / "records.jsonl"
    arguments = ["live", "--data", str(tmp_path), "--device", "cpu", "--record", str(records)]
    assert load("benchmark").main(arguments) == 0
    assert "not measured: needs the recording redkitchen" in capsys.readouterr().out
    line = json.loads(records.read_text())
    assert line["command"] == "python tools/benchmark.py live --data DIR --device cpu --repeats 5"
    assert line["rows"][0]["missing"] == "needs the recording redkitchen"


@pytest.mark.parametrize(
    "suite", ["detect", "match", "pose", "links", "pipeline", "live", "memory", "streams"]
)
@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_suite_runs_on_real_data(
    load: Load, suite: str, data_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    data = str(data_dir("redkitchen").parent)
    arguments = [suite, "--quick", "--device", "cpu", "--data", data, "--record", str(records)]
    assert load("benchmark").main(arguments) == 0
    (record,) = load("benchmarks.record").load(records)
    assert record.quick
    missing = {row.name: row.missing for row in record.rows if row.missing}
    assert not missing
