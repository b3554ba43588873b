"""`posestream schema`: the JSON Schema of a graph, for editors."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    built_in: Annotated[
        bool,
        typer.Option(
            "--built-in", help="Leave out nodes and plug-ins that other packages have added."
        ),
    ] = False,
) -> None:
    """Print the JSON Schema of a graph file, for editors that complete and check it."""
    from pipeline.config.schema import schema_text

    typer.echo(schema_text(installed=not built_in), nl=False)
