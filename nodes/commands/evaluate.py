"""`posestream evaluate`: how far the poses of a run are from the truth, in degrees."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

RESULT_FILE = "evaluation.json"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `posestream run` has left.")],
    groundtruth: Annotated[
        Path | None,
        typer.Option(help="TUM file, or a folder of them; else what lies beside the input."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Compare the poses of a run with ground truth, and print how far off they are."""
    result = evaluate_run(run, groundtruth)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        show(result)


def evaluate_run(run: Path, groundtruth: Path | None = None) -> dict[str, Any]:
    """Score a run folder, write `evaluation.json` into it, and return its content.

    Raises:
        PosestreamError: the run or its ground truth cannot be read, or do not belong together.
    """
    from nodes.commands.scoring import score_run  # the help must not pay for cv2

    result = score_run(Path(run), groundtruth and Path(groundtruth))
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    (Path(run) / RESULT_FILE).write_text(text, encoding="utf-8", newline="\n")
    return result


def show(result: Mapping[str, Any]) -> None:
    """Print the figures as a table, one column for each stream."""
    from rich.console import Console
    from rich.table import Table

    streams = result["streams"]
    table = Table(box=None, pad_edge=False)
    table.add_column("errors against ground truth")
    for name in streams:
        table.add_column(name, justify="right")
    columns = [table_column(figures) for figures in streams.values()]
    for row in columns[0]:
        table.add_row(row, *(column[row] for column in columns))
    console = Console()
    console.print(table)
    for line in footnotes(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def table_column(figures: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of the table for one stream: what is told -> the value."""
    return {
        "pairs of frames": str(figures["num_pairs"]),
        "... with a pose": f"{figures['coverage']:.1%}",
        "... with ground truth": str(figures["num_scored"]),
        "rotation: median": _degrees(figures["rotation_median_deg"]),
        "rotation: 90 % are below": _degrees(figures["rotation_p90_deg"]),
        "pairs in which the picture moves": str(figures["num_direction_scored"]),
        "direction of motion: median": _degrees(figures["direction_median_deg"]),
        "direction of motion: 90 % are below": _degrees(figures["direction_p90_deg"]),
        "AUC at 5 / 10 / 20 deg (1 is best)": " / ".join(
            _share(figures[f"auc_{threshold}_deg"]) for threshold in (5, 10, 20)
        ),
    }


def footnotes(result: Mapping[str, Any]) -> list[str]:
    """Return what the reader must know to trust the table."""
    notes = [
        f"A missing pose counts as {result['missing_pose_deg']:.0f} deg. Direction and AUC are of "
        f"the pairs in which the picture moves by {result['min_flow_px']:.0f} px or more beside "
        "its rotation."
    ]
    for name, figures in result["streams"].items():
        if figures["num_flow_unknown"]:
            notes.append(
                f"{name}: for {figures['num_flow_unknown']} pairs it is not known how far the "
                "picture moves (no matches.npz, no calibration or no matches); they are scored."
            )
    return notes + [f"{name} is not scored: {why}" for name, why in result["not_scored"].items()]


def _degrees(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} deg"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
