"""`posestream demo`: the whole chain on a built-in scene, compared with its exact truth."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path | None, typer.Option(help="The run folder [runs/TIME-demo]")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Change a setting")] = None,
) -> None:
    """Track a built-in scene, stitch a panorama, and compare with the exact truth."""
    from nodes.commands.evaluate import evaluate_run, show
    from pipeline import launch
    from pipeline.cli import default_folder, execute

    graph = launch.load("demo", sets or ())
    out = out or default_folder("demo")
    code = execute(graph, out)
    if code:
        raise typer.Exit(code)
    show(evaluate_run(out))
    for path in sorted(out.iterdir()):
        if path.suffix in (".png", ".mp4"):
            typer.echo(f"look at {path}")
