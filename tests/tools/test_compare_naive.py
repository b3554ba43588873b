"""The comparison makes its table of medians from the figures of all runs."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "compare_naive.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compare_naive", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _figures(**changed: Any) -> dict[str, Any]:
    return {
        "rotation_median_deg": 0.04,
        "rotation_p90_deg": 0.1,
        "direction_median_deg": 1.0,
        "direction_all_pairs_median_deg": 1.1,
        "fps": 6.0,
        "num_missing": 0,
        **changed,
    }


def test_the_table_holds_the_medians_of_each_side(tool: ModuleType) -> None:
    naive = [_figures(fps=fps, rotation_median_deg=fps / 100) for fps in (5.0, 9.0, 6.0)]
    ours = [_figures(fps=12.04, num_missing=3)]
    table = tool.format_table({"kitti00": {"hand-written loop": naive, "posestream": ours}})
    assert table.splitlines() == [
        "| sequence | by | rotation median | rotation p90 | direction median (flow >= 2 px) "
        "| direction median (all pairs) | fps | lost |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        "| kitti00 | hand-written loop | 0.060 | 0.100 | 1.00 | 1.10 | 6.0 | 0 |",
        "| kitti00 | posestream | 0.040 | 0.100 | 1.00 | 1.10 | 12.0 | 3 |",
    ]


def test_a_figure_that_a_run_lacks_is_a_dash(tool: ModuleType) -> None:
    runs = [_figures(), _figures(direction_median_deg=None)]
    last = tool.format_table({"still": {"posestream": runs}}).splitlines()[-1]
    assert last == "| still | posestream | 0.040 | 0.100 | - | 1.10 | 6.0 | 0 |"


def test_a_sequence_is_a_name_or_a_path_with_a_step(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    assert tool.parse_sequence("box", tmp_path) == (tmp_path / "box", 1)
    assert tool.parse_sequence("box:5", tmp_path) == (tmp_path / "box", 5)
    assert tool.parse_sequence(f"{tmp_path}:2", Path("elsewhere")) == (tmp_path, 2)
    with pytest.raises(SystemExit, match="no dataset 'bix'"):
        tool.parse_sequence("bix", tmp_path)


def test_a_run_that_fails_ends_the_comparison_with_its_words(tool: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"ended with 3:\nno such file"):
        tool.run_python("-c", "import sys; print('no such file'); sys.exit(3)")


def test_posestream_is_run_with_seed_step_and_settings(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, ...]] = []

    def run_python(*arguments: str) -> str:
        calls.append(arguments)
        if "--out" in arguments:
            out = Path(arguments[arguments.index("--out") + 1])
            out.mkdir()
            (out / "stats.json").write_text('{"fps": 14.5}')
        return '{"streams": {"capture": {"num_missing": 2}}}'

    monkeypatch.setattr(tool, "run_python", run_python)
    figures = tool.run_posestream(Path("data/box"), 5, 3, ["a.b=c"])
    assert figures == {"num_missing": 2, "fps": 14.5}
    run, evaluate = calls
    assert run[:4] == ("-m", "pipeline", "run", str(Path("data/box")))
    assert run[-6:] == ("--set", "seed=3", "--set", "capture.params.step=5", "--set", "a.b=c")
    assert evaluate[:3] == ("-m", "pipeline", "evaluate")


def test_the_hand_written_loop_scores_a_real_sequence(tool: ModuleType, data_dir: Any) -> None:
    figures = tool.run_naive(data_dir("kitti01"), 1, 0, ["--max-frames", "6"])
    assert (figures["frames"], figures["num_scored"], figures["num_missing"]) == (6, 5, 0)
    assert figures["rotation_median_deg"] < 0.1
    assert figures["direction_median_deg"] < 2
