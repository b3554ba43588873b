"""The record of the benchmark tool keeps all; the page is made from its last lines."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Load = Callable[[str], ModuleType]
PAGE = """# Figures

<!-- benchmark: match -->
old
<!-- end -->

Words between.

<!-- benchmark: live -->
<!-- end -->
"""


def _record(load: Load, median: float, **changed: object) -> object:
    record = load("benchmarks.record")
    rows = [
        record.Row("ours", {"time": record.Figure("ms", median, 2.0, 1234.5, 5)}),
        record.Row("peer", missing="No module named 'peer'"),
    ]
    known = {
        "suite": "match", "date": "2026-01-02 03:04", "device": "cpu", "cpu": "some CPU",
        "command": "python tools/benchmark.py match", "cores": 2, "versions": {"python": "3.11"},
        "rows": rows, "notes": ["A note."],
    }  # fmt: skip
    return record.Record(**{**known, **changed})


def test_a_record_comes_back_from_its_line_as_it_was(load: Load, tmp_path: Path) -> None:
    record = load("benchmarks.record")
    path = tmp_path / "records.jsonl"
    made = [_record(load, 3.0), _record(load, 4.0, device="GPU", quick=True)]
    for one in made:
        record.append(one, path)
    assert len(path.read_text().splitlines()) == 2
    assert record.load(path) == made
    assert record.load(tmp_path / "nothing.jsonl") == []


def test_a_record_names_machine_versions_and_commit(load: Load) -> None:
    record = load("benchmarks.record")
    made = record.make_record("match", record.Findings([]), "command", "cpu")
    assert {"python", "numpy", "opencv-python", "torch", "posestream"} <= set(made.versions)
    assert made.cores >= 1
    assert made.cpu
    assert not made.quick


def test_the_last_full_record_of_each_device_counts(load: Load) -> None:
    record = load("benchmarks.record")
    records = [
        _record(load, 1.0, device="GPU"), _record(load, 2.0), _record(load, 3.0),
        _record(load, 4.0, quick=True), _record(load, 5.0, suite="live"),
    ]  # fmt: skip
    found = record.latest(records, "match")
    assert [(r.device, r.rows[0].figures["time"].median) for r in found] == [
        ("cpu", 3.0), ("GPU", 1.0),
    ]  # fmt: skip


def test_the_page_shows_command_machine_and_medians(load: Load) -> None:
    page = load("benchmarks.page").rewritten(PAGE, [_record(load, 3.0)], ["match", "live"])
    assert (
        page
        == """# Figures

<!-- benchmark: match -->
`python tools/benchmark.py match`

2026-01-02 03:04 UTC; some CPU, 2 cores; python 3.11. Medians of 5 runs, with the smallest and the largest.

|  | time (ms) |
|---|---:|
| ours | 3 (2 - 1,234) |
| peer | not measured: No module named 'peer' |

A note.
<!-- end -->

Words between.

<!-- benchmark: live -->
Not measured yet: `python tools/benchmark.py live`
<!-- end -->
"""
    )


def test_rows_of_several_tables_stand_apart(load: Load) -> None:
    record, page = load("benchmarks.record"), load("benchmarks.page")
    figure = record.Figure("", 1.0, 1.0, 1.0, 1)
    rows = [
        record.Row("a", {"x": figure}, table="One"),
        record.Row("b", {"y": figure}, table="Two"),
    ]
    text = page.section(_record(load, 1.0, rows=rows))
    assert "One:\n\n|  | x |\n|---|---:|\n| a | 1 |\n\nTwo:\n\n|  | y |" in text


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<!-- benchmark: match -->\n", "needs its own"),
        ("<!-- benchmark: match -->\n<!-- benchmark: live -->\n<!-- end -->\n", "needs its own"),
        ("<!-- benchmark: mach -->\n<!-- end -->\n", "unknown suite 'mach'"),
    ],
)
def test_wrong_markers_are_refused(load: Load, page: str, said: str) -> None:
    pages = load("benchmarks.page")
    with pytest.raises(pages.PageError, match=said):
        pages.rewritten(page, [], ["match", "live"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.01234, "0.0123"), (0.00001, "1.0e-05"), (12.345, "12.3"), (12345.6, "12,346")],
)
def test_numbers_have_three_figures_that_count(load: Load, value: float, shown: str) -> None:
    assert load("benchmarks.page").number(value) == shown


def test_report_writes_the_page_and_check_says_whether_it_must(
    load: Load, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool, record = load("benchmark"), load("benchmarks.record")
    page, records = tmp_path / "PAGE.md", tmp_path / "records.jsonl"
    page.write_text(PAGE)
    record.append(_record(load, 3.0), records)
    report = ["report", "--page", str(page), "--record", str(records)]
    assert tool.main([*report, "--check"]) == 1
    assert page.read_text() == PAGE
    assert tool.main(report) == 0
    assert "| ours | 3 (2 - 1,234) |" in page.read_text()
    assert tool.main([*report, "--check"]) == 0
    record.append(_record(load, 2.5), records)
    assert tool.main([*report, "--check"]) == 1
    assert "PAGE.md is not up to date" in capsys.readouterr().out


def test_a_table_without_figures_still_gives_the_reasons(load: Load) -> None:
    record, page = load("benchmarks.record"), load("benchmarks.page")
    shown = page.table([record.Row("live", missing="needs the recording a|b")])
    assert shown == "|  |  |\n|---|---:|\n| live | not measured: needs the recording a/b |"
