"""`posestream compare`: two or more runs of one input, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.json_lines import FLAG, emit

if TYPE_CHECKING:
    from nodes.commands.comparison import Comparison


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Two or more folders of `posestream run`; one is enough to --plot."),
    ],
    groundtruth: Annotated[
        Path | None,
        typer.Option(help="TUM file, or a folder of them; evaluates all runs anew."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the trajectories into this PNG: over the ground truth, or where there is "
            "none over the first run, in units of its longest segment."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option(FLAG, help="Print the figures as a JSON line.")] = False,
) -> None:
    """Compare runs of one input: which is nearer to the ground truth, and by how much?"""
    from nodes.commands.comparison import compare_stream, footnotes, read_runs
    from pipeline.errors import ConfigError

    if len(runs) < 2 and plot is None:
        raise ConfigError(
            f"compare needs two run folders or more, not {len(runs)}; to draw the path of one, "
            f"add --plot {runs[0].name}.png"
        )
    figures = read_runs(runs, groundtruth)
    streams = {name: compare_stream(figures, name) for name in figures[0]}
    names = run_names(runs)
    notes = footnotes(names, figures)
    if as_json:
        emit("comparison", **as_data(names, streams), notes=notes)
    else:
        show(names, streams, notes)
    if plot is not None:
        for path in plot_runs(dict(zip(names, runs, strict=True)), plot, groundtruth):
            typer.echo(f"look at {path}", err=as_json)


def run_names(runs: Sequence[Path]) -> list[str]:
    """Return what to call each run: the name of its folder, or all of its path if two share it."""
    names = [run.resolve().name for run in runs]
    return names if len(set(names)) == len(names) else [str(run) for run in runs]


def as_data(
    names: Sequence[str], streams: Mapping[str, Sequence["Comparison"]]
) -> Mapping[str, Any]:
    """Return the comparison as plain data."""
    return {
        "runs": list(names),
        "streams": {
            stream: {
                row.metric.path: {
                    "values": list(row.values),
                    "ratios": row.ratios,
                    "better": row.metric.better,
                    "best": None if row.best is None else names[row.best],
                }
                for row in rows
            }
            for stream, rows in streams.items()
        },
    }


def show(
    names: Sequence[str],
    streams: Mapping[str, Sequence["Comparison"]],
    notes: Sequence[str] = (),
) -> None:
    """Print a table for each stream; the best value is marked, ratios are to the first run."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for stream, rows in streams.items():
        table = Table(box=None, pad_edge=False)
        table.add_column(stream)
        for i, name in enumerate(names):
            table.add_column(name, justify="right", overflow="fold")
            if i:
                table.add_column("ratio", justify="right", no_wrap=True)
        for row in rows:
            table.add_row(row.metric.title, *_cells(row))
        console.print(table)
    legend = ["* the best; ratios are to the first run"] if len(names) > 1 else []
    for line in (*legend, *notes):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _cells(row: "Comparison") -> Iterator[str]:
    texts = ["-" if value is None else row.metric.form.format(value) for value in row.values]
    best = row.best if len(set(texts)) > 1 else None  # what looks equal is equal to the reader
    for i, (text, ratio) in enumerate(zip(texts, row.ratios, strict=True)):
        yield f"[bold]*[/bold] {text}" if i == best else text
        if i:
            yield "" if ratio is None else f"{ratio:.2f}"


def plot_runs(
    runs: Mapping[str, Path], plot: Path, groundtruth: Path | None = None
) -> Iterator[Path]:
    """Draw the trajectories of all runs into `plot`; with several streams a file for each.

    Raises:
        ConfigError: no run has a trajectory that can be drawn, or `plot` is no PNG.
    """
    from nodes.commands.overlays import overlays
    from nodes.commands.plots import save
    from pipeline.errors import ConfigError

    if plot.suffix.lower() != ".png":
        raise ConfigError(f"--plot writes a PNG: {plot} should end in .png")
    if not plot.parent.is_dir():
        raise ConfigError(f"--plot {plot}: there is no folder {plot.parent}")
    drawings = overlays(runs, groundtruth)
    if not drawings:
        raise ConfigError("no trajectory to draw: the runs had no odometry, or placed no frame")
    for stream, draw in drawings.items():
        yield save(plot if len(drawings) == 1 else plot.with_stem(f"{plot.stem}_{stream}"), draw)
