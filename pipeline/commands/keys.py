"""`posestream keys`: the keys by which machines know each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def keys(
    folder: Annotated[Path, typer.Argument(help="Where the key files are")],
    names: Annotated[
        list[str], typer.Argument(help="Machines: main, groups of `hosts`, listeners")
    ],
    force: Annotated[bool, typer.Option(help="Replace keys that are there.")] = False,
) -> None:
    """Make a pair of keys for each machine, for links that nobody else can read or join."""
    from pipeline.keys import make_keys

    for name in names:
        if not NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a machine: letters, digits, _ and -")
    for name in names:
        public, secret = make_keys(folder, name, force=force)
        typer.echo(f"{public}  to be known: copy it into the keys folder of every machine")
        typer.echo(f"{secret}  secret: to be on the machine {name!r} only, and nowhere else")
    typer.echo(f'in the graph: keys: "{folder}"')
