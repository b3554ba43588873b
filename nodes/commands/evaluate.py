"""`posestream evaluate`: how far the poses of a run are from the truth, in degrees."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.json_lines import FLAG, emit

RESULT_FILE = "evaluation.json"


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `posestream run` has left.")],
    groundtruth: Annotated[
        Path | None,
        typer.Option(help="TUM file, or a folder of them; else what lies beside the input."),
    ] = None,
    as_json: Annotated[bool, typer.Option(FLAG, help="Print the figures as a JSON line.")] = False,
    plots: Annotated[
        bool | None,
        typer.Option(
            "--plots/--no-plots",
            help="Draw trajectory.png and errors.png [if there is a trajectory]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare the poses and the trajectory of a run with ground truth: how far off are they?"""
    result = evaluate_run(run, groundtruth, plots)
    if as_json:
        emit("evaluation", **result)
        return
    show(result)
    if plots is not False:
        for path in sorted([*run.glob("trajectory*.png"), *run.glob("errors*.png")]):
            typer.echo(f"look at {path}")


def evaluate_run(
    run: Path, groundtruth: Path | None = None, plots: bool | None = None
) -> dict[str, Any]:
    """Score a run folder, write `evaluation.json` and the plots into it, and return the figures.

    Args:
        run: the run folder.
        groundtruth: a TUM file, or a folder of them, instead of what lies beside the input.
        plots: whether to draw; None draws if there is a trajectory to draw.

    Raises:
        PosestreamError: the run or its ground truth cannot be read, or do not belong together.
    """
    from nodes.commands.scoring import score_run  # the help must not pay for cv2

    scored = score_run(Path(run), groundtruth and Path(groundtruth))
    result = scored.figures()
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    (Path(run) / RESULT_FILE).write_text(text, encoding="utf-8", newline="\n")
    if scored.has_trajectory if plots is None else plots:
        from nodes.commands.plots import write_plots  # matplotlib is slow to import

        write_plots(Path(run), scored)
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
    for row in dict.fromkeys(row for column in columns for row in column):
        table.add_row(row, *(column.get(row, "-") for column in columns))
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
        **_label_lines(figures["labels"]),
        **_trajectory_lines(figures["trajectory"]),
    }


def _label_lines(labels: Mapping[str, Any]) -> dict[str, str]:
    if set(labels) <= {"none"}:
        return {}
    share = {name: f"{figures['share']:.1%}" for name, figures in labels.items()}
    lines = {
        " / ".join(names): " / ".join(share.get(name, "0") for name in names)
        for names in (("general", "planar"), ("rotation", "static", "lost"))
    }
    nees = {
        f"NEES median / its expectation: {name}": f"{median:.2f}"
        for name, figures in labels.items()
        if (median := figures["nees_median"]) is not None
    }
    return {**lines, **nees}


def _trajectory_lines(figures: Mapping[str, Any] | None) -> dict[str, str]:
    if figures is None:
        return {}
    since = figures["coverage_from_bootstrap"]
    lines = {
        "trajectory: frames with a place": f"{figures['coverage']:.1%}",
        "... from the first one on": (
            "-" if since is None else f"{since:.1%} (frame {figures['first_placed']})"
        ),
        "segments": str(figures["num_segments"]),
    }
    if figures["ate_sim3_rmse"] is None:
        return lines
    share = figures["ate_percent_of_path"]
    part = "" if share is None else f" ({share:.2g} %)"
    return {
        **lines,
        "longest: poses, true path": f"{figures['num_poses']}, {figures['path_m']:.3g} m",
        "ATE (RMSE), Sim(3) (of the path)": f"{figures['ate_sim3_rmse']:.3g} m{part}",
        "ATE, SE(3): scale unknown: use Sim(3)": f"{figures['ate_se3_rmse']:.3g} m",
        **{f"RPE over {n} frame{'s' * (n > 1)}, median": _rpe(figures, n) for n in (1, 10)},
    }


def _rpe(figures: Mapping[str, Any], step: int) -> str:
    translation = figures[f"rpe_{step}_translation_median"]
    if translation is None:
        return "-"
    return f"{translation:.3g} m, {figures[f'rpe_{step}_rotation_median_deg']:.3f} deg"


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
                f"picture moves, since {figures['unknown_flow_reason']}; they are scored "
                "wherever the camera truly moved."
            )
    if any(figures["trajectory"] for figures in result["streams"].values()):
        notes.append(
            "Errors of a trajectory are those of its longest segment; m is the unit of the ground "
            "truth."
        )
    labels = [
        label for figures in result["streams"].values() for label in figures["labels"].values()
    ]
    if any(label["num_nees"] for label in labels):
        notes.append(
            "NEES: 1 is what the covariance promises, more is too sure. It also counts the errors "
            "of ground truth and calibration, and in real pictures errors of neighbouring matches "
            "are not independent: values above 1 are expected even with exact truth."
        )
    return notes + [f"{name} is not scored: {why}" for name, why in result["not_scored"].items()]


def _degrees(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} deg"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
