"""`posestream run`: a graph, or a graph on an input, with what the user sees of it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import completion
from pipeline.commands.terminal import StatusLine, balance_table, complain, console
from pipeline.errors import ConfigError, InputError
from pipeline.json_lines import FLAG, emit

if TYPE_CHECKING:
    from pipeline.graph import Graph


Say = Callable[[str], None]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a setting: detector.params.algorithm=sift",
        autocompletion=completion.settings,
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="The graph for an input [video]: a built-in name or a YAML file",
        autocompletion=completion.graphs,
    ),
]
Json = Annotated[bool, typer.Option(FLAG, help="Print JSON lines (see pipeline/json_lines.py).")]


def run(
    target: Annotated[
        str,
        typer.Argument(
            help="A video, a folder, a camera index, or a graph (name or .yaml)",
            autocompletion=completion.targets,
        ),
    ],
    graph_name: Config = None,
    sets: Sets = None,
    out: Annotated[Path | None, typer.Option(help="The run folder [runs/TIME-NAME]")] = None,
    camera: Annotated[str | None, typer.Option(help="Calibration file of the camera")] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            help="threads: one process; processes: one for each node",
            autocompletion=completion.placements,
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Serve only this group of `hosts`, for a run on another machine.",
            autocompletion=completion.groups,
        ),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Unreadable input ends with exit code 3.")] = False,
    as_json: Json = False,
) -> None:
    """Run a graph, or the graph `video` on an input."""
    from pipeline import launch
    from pipeline.hosts import plaintext_warning

    say = _sayer(target, as_json)
    graph = launch.graph_for(target, graph_name, sets or (), camera, placement, say=say)
    out = out or default_folder(graph.name)
    if group is not None:
        raise typer.Exit(serve_group(graph, group, out, say))
    if warning := plaintext_warning(graph):
        say(f"warning: {warning}")
    raise typer.Exit(execute(graph, out, strict=strict, as_json=as_json))


def serve_group(graph: Graph, group: str, out: Path, say: Say) -> int:
    """Serve a group of a graph's `hosts` on this machine; return the exit code of its run.

    Raises:
        ConfigError: the graph has no such group.
    """
    from pipeline.hosts import MAIN, is_remote
    from pipeline.registry import suggest
    from pipeline.remote import serve

    served = [name for name in graph.hosts if is_remote(graph, name)]
    if not served:
        raise ConfigError(f"--group {group}: the graph has no hosts: all of it runs on one machine")
    if group == MAIN:
        raise ConfigError(f"--group {MAIN}: that is the run itself: leave --group out")
    if group not in served:
        raise ConfigError(f"--group {group}: unknown group. {suggest(group, served)}")
    return serve(graph, group, out, say)


def execute(graph: Graph, out: Path, *, strict: bool = False, as_json: bool = False) -> int:
    """Run a graph, tell the user how it goes and what came of it, and return the exit code."""
    from pipeline.runner import run

    if as_json:
        return _execute_as_json(graph, out, strict)
    from pipeline.status import status_line

    with StatusLine() as status:
        result = run(graph, out, lambda nodes, s: status.show(status_line(graph, nodes, s)))
    report = result.report
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False)
    if any(balance.frames for balance in report.balances):
        console.print(balance_table(report.balances))
    for link, count in report.dropped.items():
        console.print(f"dropped by link {link}: {count}", markup=False)
    if result.failure:
        complain(result.failure.text, result.failure.trace)
        return result.exit_code
    why = f" ({report.why})" if report.why else ""
    values = "".join(f", {name} {value:g}" for name, value in report.reported.items())
    files = " ".join(sorted(path.name for path in out.iterdir()))
    console.print(f"{report.state}{why}: {report.fps:.1f} fps{values}", markup=False)
    console.print(f"results in {out}: {files}", markup=False)
    return _judge(result, strict)


def _execute_as_json(graph: Graph, out: Path, strict: bool) -> int:
    from pipeline.run_events import RunEvents
    from pipeline.runner import run

    types = {name: spec.type for name, spec in graph.nodes.items()}
    emit("started", graph=graph.name, folder=out, nodes=types)
    events = RunEvents(graph)
    result = run(graph, out, events.update)
    if result.failure:
        complain(result.failure.text, result.failure.trace)
    code = _judge(result, strict)
    events.finish(result, code)
    return code


def _judge(result: Any, strict: bool) -> int:
    """Return the exit code of a run, which with --strict minds frames that cannot be decoded."""
    code: int = result.exit_code
    if strict and not code and any(b.account.errors for b in result.report.balances):
        complain("with --strict every frame must be decoded", "")
        return InputError.exit_code
    return code


def default_folder(name: str) -> Path:
    """Return a new run folder's path, `runs/TIME-NAME`."""
    return Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"


def _sayer(target: str, as_json: bool) -> Say:
    """Return what tells the user what is done."""
    if not as_json:
        return lambda text: console.print(text, markup=False)
    from pipeline.launch import shown

    recognised = f"{shown(target)}: "

    def say(text: str) -> None:
        if text.startswith(recognised):
            emit("recognised", input=shown(target), kind=text.removeprefix(recognised))
        else:
            emit("note", text=text)

    return say
