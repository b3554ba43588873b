"""`posestream weights`: which pretrained weights there are, where they lie, and how to get them."""

import dataclasses
import enum
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from nodes.networks.weights import (
    MANIFEST,
    Weights,
    cache_folder,
    fetch_command,
    find,
    known,
    locate,
    sha256,
    vain_folder,
)
from pipeline.errors import ConfigError, InputError
from pipeline.json_lines import FLAG, emit

SCHEMES = ("https",)
TIMEOUT_S = 30.0
CHUNK = 1 << 16


class Action(enum.StrEnum):
    """What to do."""

    LIST = "list"
    FETCH = "fetch"
    PATH = "path"


def weights(
    action: Annotated[
        Action,
        typer.Argument(
            help="list: all that are known; fetch NAME: download; path NAME: where it is"
        ),
    ],
    name: Annotated[str | None, typer.Argument(help="Which weights, as listed.")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="fetch: agree to a licence with conditions.")
    ] = False,
    to: Annotated[
        Path | None, typer.Option(help="fetch: folder to write to [the cache folder]")
    ] = None,
    as_json: Annotated[bool, typer.Option(FLAG, help="list: print JSON lines.")] = False,
) -> None:
    """List pretrained weights, fetch them, or print where they are (exit code 4: nowhere)."""
    if (name is None) != (action is Action.LIST):
        wants = "no NAME" if action is Action.LIST else f"a NAME: {', '.join(MANIFEST)}"
        raise ConfigError(f"posestream weights {action} takes {wants}")
    if name is None:
        show(as_json)
    elif action is Action.PATH:
        typer.echo(locate(known(name).name))
    elif known(name).is_shipped:
        typer.echo(f"nothing to fetch: {name} is shipped with posestream", err=True)
        typer.echo(locate(name))
    else:
        typer.echo(fetch(known(name), to or cache_folder(), accept_licence=accept_licence))


def show(as_json: bool) -> None:
    """Print a table of all known weights, or the same as JSON lines."""
    rows = [_row(entry) for entry in MANIFEST.values()]
    if vain := vain_folder():
        typer.echo(f"warning: {vain}", err=True)
    if as_json:
        for row in rows:
            emit("weights", **row)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("weights", "MB", "here", "licence", "description"):
        table.add_column(column, justify="right" if column == "MB" else "left", overflow="fold")
    for row in rows:
        megabytes = f"{row['num_bytes'] / 1e6:.1f}"
        here = f"{row['state']} {row['path'] or ''}"
        table.add_row(row["name"], megabytes, here, row["licence"], row["description"])
    Console().print(table)


def _row(entry: Weights) -> dict[str, Any]:
    path = find(entry)
    row = {**dataclasses.asdict(entry), "path": path and str(path)}
    if path is None:
        return {**row, "state": "no"}
    if entry.is_shipped:
        return {**row, "state": "shipped", "num_bytes": path.stat().st_size}
    return {**row, "state": "yes" if sha256(path) == entry.sha256 else "damaged"}


def fetch(entry: Weights, folder: Path, *, accept_licence: bool = False) -> Path:
    """Download weights into a folder, unless they are there, and return the file.

    Nothing is left of a download that fails or whose SHA-256 is wrong.

    Raises:
        ConfigError: the licence has conditions, which were not accepted.
        InputError: the file cannot be downloaded or written, or is not what was published.
    """
    if not entry.allows_commercial_use and not accept_licence:
        raise ConfigError(
            f"the licence of weights {entry.name!r} has conditions ({entry.licence}); if yours is "
            f"such a use: {fetch_command(entry)}"
        )
    target = folder / entry.files[0]
    if target.is_file() and sha256(target) == entry.sha256:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the folder {folder}: {error.strerror}") from error
    try:
        _download(entry, target)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"cannot fetch weights {entry.name!r} from {entry.url}: {reason}; they may be copied "
            f"from another machine as {target}"
        ) from error
    return target


def _download(entry: Weights, target: Path) -> None:
    """Write a file beside the target first, and rename it once its SHA-256 is right."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, _open(entry.url) as response:
            digest = hashlib.sha256()
            for chunk in _chunks(response, entry):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise ValueError(f"its SHA-256 is {digest.hexdigest()}, not {entry.sha256}")
        partial.chmod(0o644)  # temporary files are for their owner only
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection unless it leads away from https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_scheme(newurl)
        except ValueError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str) -> Any:
    _check_scheme(url)
    return urllib.request.build_opener(_SafeRedirects).open(url, timeout=TIMEOUT_S)


def _check_scheme(url: str) -> None:
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise ValueError(f"{url} is not https")


def _chunks(response: IO[bytes], entry: Weights) -> Iterator[bytes]:
    """Yield what comes with a progress bar, and stop where it is more than it should be."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    console.print(f"fetching {entry.name}, {entry.num_bytes / 1e6:.1f} MB, {entry.licence}")
    columns = (TextColumn("{task.description}"), DownloadColumn())
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task(entry.name, total=entry.num_bytes)
        received = 0
        while chunk := response.read(CHUNK):
            received += len(chunk)
            if received > entry.num_bytes:
                raise ValueError(f"it is larger than {entry.num_bytes} bytes")
            bar.advance(task, len(chunk))
            yield chunk
