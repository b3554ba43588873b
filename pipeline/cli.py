"""The command line. Commands that need vision are found by entry point, as nodes are."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text
from typer.exceptions import TyperException

from pipeline.errors import ConfigError, InputError, MissingDependencyError, PosestreamError

FIRST_STEPS = """\
posestream turns a camera or a video into keypoints, matches, relative poses and panoramas.

  posestream demo               track a built-in scene and compare with the exact truth
  posestream run VIDEO          track a video, a folder of images, or a camera (run 0)
  posestream run VIDEO --config panorama    stitch it into a panorama

posestream --help lists everything."""

app = typer.Typer(add_completion=False, no_args_is_help=False, rich_markup_mode=None)
_debug = False  # --debug may stand anywhere on the command line
console = Console(stderr=True, highlight=False, soft_wrap=True)

Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Change a setting: detector.params.algorithm=sift")
]
Config = Annotated[
    str | None,
    typer.Option("--config", help="The graph for an input [video]: a built-in name or a YAML file"),
]


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Turn any camera or video into keypoints, matches, relative poses and panoramas."""
    if version:
        typer.echo(f"posestream {metadata.version('posestream')}")
    elif context.invoked_subcommand is None:
        typer.echo(FIRST_STEPS)


@app.command("run")
def _run(
    target: Annotated[
        str, typer.Argument(help="A video, a folder, a camera index, or a graph (name or .yaml)")
    ],
    graph_name: Config = None,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(help="The run folder [runs/TIME-NAME]")] = None,
    camera: Annotated[str | None, typer.Option(help="Calibration file of the camera")] = None,
    placement: Annotated[
        str | None, typer.Option(help="threads: one process; processes: one for each node")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Unreadable input ends with exit code 3.")] = False,
) -> None:
    """Run a graph, or the graph `video` on an input."""
    from pipeline import launch

    graph = launch.graph_for(target, graph_name, sets or (), camera, placement, say=console.print)
    raise typer.Exit(execute(graph, out or default_folder(graph.name), strict=strict))


@app.command("check")
def _check(
    file: Annotated[str, typer.Argument(help="A graph: a YAML file or a built-in name")],
    sets: Sets = None,
) -> None:
    """Check a graph and say everything that is wrong with it."""
    from pipeline import launch

    graph = launch.load(file, sets or ())
    typer.echo(f"{file}: ok, {len(graph.nodes)} nodes, {len(graph.edges)} links")


@app.command("graph")
def _graph(
    file: Annotated[str, typer.Argument(help="A graph: a YAML file or a built-in name")],
    sets: Sets = None,
    mermaid: Annotated[bool, typer.Option(help="Draw as Mermaid.")] = False,
) -> None:
    """Draw a graph with its ports, link policies and windows."""
    from pipeline import launch

    graph = launch.load(file, sets or ())
    typer.echo(launch.draw_graph(graph, mermaid=mermaid))


@app.command("nodes")
def _nodes(name: Annotated[str | None, typer.Argument(help="A node type")] = None) -> None:
    """List the node types, or the ports and settings of one."""
    from pipeline import catalogue

    typer.echo(catalogue.describe(name) if name else catalogue.listing())


def execute(graph: Any, out: Path, *, strict: bool = False) -> int:
    """Run a graph with a status line, print its balance, and return the exit code."""
    from pipeline.runner import run
    from pipeline.status import status_line

    with _Status() as status:
        result = run(graph, out, lambda nodes, s: status.show(status_line(graph, nodes, s)))
    report = result.report
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False)
    if any(balance.frames for balance in report.balances):
        console.print(_balance_table(report.balances))
    for link, count in report.dropped.items():
        console.print(f"dropped by link {link}: {count}", markup=False)
    if result.failure:
        _complain(result.failure.text, result.failure.trace)
        return result.exit_code
    why = f" ({report.why})" if report.why else ""
    numbers = "".join(f", {name} {value:g}" for name, value in report.reported.items())
    files = " ".join(sorted(path.name for path in out.iterdir()))
    console.print(f"{report.state}{why}: {report.fps:.1f} fps{numbers}", markup=False)
    console.print(f"results in {out}: {files}", markup=False)
    if strict and not result.exit_code and any(b.account.errors for b in report.balances):
        _complain("with --strict every frame must be decoded", "")
        return InputError.exit_code
    return result.exit_code


def default_folder(name: str) -> Path:
    """Return a new run folder's path, `runs/TIME-NAME`."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"


def _balance_table(balances: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = ["stream", "frames", "= results", "+ skips", "+ errors", "+ gaps"]
    unfinished = any(
        not balance.holds for balance in balances
    )  # a run that did not come to its end
    for column in [*columns, *(["+ unfinished"] if unfinished else []), "at"]:
        side: Any = "left" if column in ("stream", "at") else "right"
        table.add_column(column, justify=side, no_wrap=column != "at", overflow="fold")
    for b in balances:
        a = b.account
        numbers = [b.frames, a.results, a.skips, a.errors, a.gaps]
        numbers += [b.frames - a.total] if unfinished else []
        table.add_row(b.stream, *map(str, numbers), b.sink)
    return table


class _Status:
    """The status line: kept in place on a terminal, a plain line every 5 s elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._next = 5.0
        self._started = time.monotonic()

    def __enter__(self) -> _Status:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if console.is_terminal:
            self._live.stop()

    def show(self, line: str) -> None:
        """Show the line, if it is time to."""
        if console.is_terminal:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
        elif time.monotonic() - self._started >= self._next:
            self._next += 5.0
            console.print(line, markup=False)


def _add_commands() -> None:
    for point in metadata.entry_points(group="posestream.commands"):
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)


def main() -> NoReturn:
    """Run the command line: one line and an exit code for every foreseen error."""
    global _debug
    for name in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: outputs are finished
        signal.signal(name, signal.default_int_handler)
    _debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    # Nodes run side by side, each in one thread: threads of a matrix product would only spin.
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    code: object = 1
    try:
        _add_commands()
        code = app(arguments, standalone_mode=False)
    except PosestreamError as error:
        code = error.exit_code
        if isinstance(error, ConfigError) and len(error.problems) > 1:
            console.print(str(error), markup=False)
            error = ConfigError(f"{len(error.problems)} problems in the configuration")
        _complain(str(error), traceback.format_exc())
    except TyperException as error:
        code = error.exit_code
        _complain(f"{error.format_message()} (posestream --help lists the commands)", "")
    except (KeyboardInterrupt, typer.Abort):
        code = 130
        console.print("interrupted before the run began", markup=False)
    except ImportError as error:
        code = MissingDependencyError.exit_code
        cure = (
            "apt-get install libgl1 libglib2.0-0" if "libg" in str(error).lower() else "reinstall"
        )
        _complain(f"{error} ({cure})", traceback.format_exc())
    except Exception as error:  # noqa: BLE001 (one line for the user, the trace with --debug)
        _complain(
            f"unexpected {type(error).__name__}: {error} (--debug shows where)",
            traceback.format_exc(),
        )
    _leave(code if isinstance(code, int) else 0)


def _complain(text: str, trace: str) -> None:
    if _debug:
        console.print(trace, markup=False)
    console.print(f"error: {text}", markup=False)


def _leave(code: int) -> NoReturn:
    """Leave at once: a node that hangs in a library must not keep the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
