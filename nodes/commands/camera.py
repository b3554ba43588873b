"""`posestream camera show|convert|check`."""

import typer

app = typer.Typer(help="Being written.")
