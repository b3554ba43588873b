"""The command line. Commands that need vision are found by entry point, as nodes are."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from importlib import metadata
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pipeline import completion, json_lines
from pipeline.commands.run import Json, Sets, default_folder, execute, run
from pipeline.commands.terminal import complain, console, show_traces
from pipeline.errors import ConfigError, MissingDependencyError, PosestreamError

__all__ = ["app", "default_folder", "execute", "main"]

FIRST_STEPS = """\
posestream turns a camera or a video into keypoints, matches, relative poses and panoramas.

  posestream demo               track a built-in scene and compare with the exact truth
  posestream run VIDEO          track a video, a folder of images, or a camera (run 0)
  posestream run VIDEO --config panorama    stitch it into a panorama

posestream --help lists everything."""

app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None)
app.command("run")(run)

GraphFile = Annotated[
    str,
    typer.Argument(
        help="A graph: a YAML file or a built-in name", autocompletion=completion.graphs
    ),
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


@app.command("check")
def _check(file: GraphFile, sets: Sets = None, as_json: Json = False) -> None:
    """Check a graph and say everything that is wrong with it."""
    from pipeline import launch

    graph = launch.load(file, sets or ())
    if as_json:
        counts = {"nodes": len(graph.nodes), "links": len(graph.edges)}
        json_lines.emit("checked", graph=file, name=graph.name, **counts)
    else:
        typer.echo(f"{file}: ok, {len(graph.nodes)} nodes, {len(graph.edges)} links")


@app.command("graph")
def _graph(
    file: GraphFile,
    sets: Sets = None,
    mermaid: Annotated[bool, typer.Option(help="Draw as Mermaid.")] = False,
    as_json: Json = False,
) -> None:
    """Draw a graph with its ports, link policies and windows."""
    from pipeline import catalogue, launch

    graph = launch.load(file, sets or ())
    if as_json:
        catalogue.emit_graph(graph)
    else:
        typer.echo(launch.draw_graph(graph, mermaid=mermaid))


@app.command("nodes")
def _nodes(
    name: Annotated[
        str | None, typer.Argument(help="A node type", autocompletion=completion.node_types)
    ] = None,
    as_json: Json = False,
) -> None:
    """List the node types, or the ports and settings of one."""
    from pipeline import catalogue

    if as_json:
        catalogue.emit_nodes(name)
    else:
        typer.echo(catalogue.describe(name) if name else catalogue.listing())


def _add_commands() -> None:
    for point in metadata.entry_points(group="posestream.commands"):
        command = point.load()
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=point.name)
        else:
            app.command(point.name)(command)


def main() -> NoReturn:
    """Run the command line: one line and an exit code for every foreseen error."""
    for name in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: outputs are finished
        signal.signal(name, signal.default_int_handler)
    if "--debug" in sys.argv:  # it may stand anywhere on the command line
        show_traces()
    # Nodes run side by side, each in one thread: threads of a matrix product would only spin.
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    _leave(_run_command([word for word in sys.argv[1:] if word != "--debug"]))


def _run_command(arguments: list[str]) -> int:
    """Run a command, say what is wrong where it fails, and return the exit code."""
    as_json = json_lines.is_asked_for(arguments)
    try:
        _add_commands()
        code = app(arguments, prog_name="posestream", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # whoever read the output has enough of it
        json_lines.silence()
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail(130, "interrupted before the run began", as_json=as_json)
    except PosestreamError as error:
        problems = error.problems if isinstance(error, ConfigError) else (str(error),)
        return _fail(error.exit_code, *problems, as_json=as_json)
    except TyperException as error:
        text = f"{error.format_message()} (posestream --help lists the commands)"
        if "extra argument" in text:
            text += "; several files are named as one, in quotes: 'photos/*.jpg'"
        return _fail(error.exit_code, text, as_json=as_json)
    except ImportError as error:
        needs_libraries = "libg" in str(error).lower()
        cure = "apt-get install libgl1 libglib2.0-0" if needs_libraries else "reinstall"
        return _fail(MissingDependencyError.exit_code, f"{error} ({cure})", as_json=as_json)
    except Exception as error:  # noqa: BLE001 (one line for the user, the trace with --debug)
        text = f"unexpected {type(error).__name__}: {error} (--debug shows where)"
        return _fail(1, text, as_json=as_json)


def _fail(code: int, *problems: str, as_json: bool) -> int:
    """Say what is wrong, to people and with --json to programs too; return the exit code."""
    if as_json:
        json_lines.emit("error", exit_code=code, problems=problems)
    if code == 130:
        console.print(problems[0], markup=False)
    elif len(problems) > 1:
        console.print("\n".join(problems), markup=False)
        complain(f"{len(problems)} problems in the configuration", traceback.format_exc())
    else:
        complain(problems[0], traceback.format_exc())
    return code


def _leave(code: int) -> NoReturn:
    """Leave at once: a node that hangs in a library must not keep the process."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue  # nobody reads it, or there is no room for it
    os._exit(code)
