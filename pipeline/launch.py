"""From what a user names - a graph, a video, a camera - to a graph that can run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Protocol

from pipeline import config, draw
from pipeline.errors import ConfigError, InputError
from pipeline.graph import Graph
from pipeline.registry import suggest

YAML = (".yaml", ".yml")
SOURCE_NODE = "capture"  # the node that takes the input in the built-in graphs
DEFAULT = "video"


class Recognised(Protocol):
    """What a recogniser (entry-point group posestream.inputs) says of an input."""

    kind: str
    """What it is, for the user."""
    overrides: Sequence[str]
    """Settings of the source node, as for `--set`, without the node's name."""


def load(name: str, sets: Sequence[str] = (), placement: str | None = None) -> Graph:
    """Load a graph from a YAML file or by the name of a built-in one.

    Raises:
        ConfigError: it does not exist, or something in it is wrong.
    """
    if Path(name).suffix in YAML:
        return config.load(Path(name), sets, placement=placement)
    builtin = _builtins().get(name)
    if builtin is None:
        raise ConfigError(f"unknown graph {name!r}. {suggest(name, _builtins())}, or a YAML file")
    return config.load_text(builtin, f"{name}.yaml", sets, placement=placement)


def graph_for(
    target: str,
    graph_name: str | None,
    sets: Sequence[str],
    camera: str | None,
    placement: str | None,
    say: Callable[[str], None],
) -> Graph:
    """Return the graph that runs `target`: the graph itself, or `graph_name` with the input put in.

    graph_name: None for the graph `video`.

    Raises:
        ConfigError, InputError: the target is neither, or is broken.
    """
    if Path(target).suffix in YAML or (target in _builtins() and not Path(target).exists()):
        if graph_name is not None:
            raise ConfigError(
                f"{shown(target)} is a graph itself: --config {graph_name} has no use for it"
            )
        overrides = [f"{SOURCE_NODE}.params.camera={camera}"] if camera else []
        return load(target, [*overrides, *sets], placement)
    graph_name = graph_name or DEFAULT
    recognised = recognise(target, camera)
    say(f"{shown(target)}: {recognised.kind}")
    if SOURCE_NODE not in load(graph_name).nodes:
        raise ConfigError(f"graph {graph_name!r} has no node {SOURCE_NODE!r} to put an input in")
    overrides = [f"{SOURCE_NODE}.{override}" for override in recognised.overrides]
    return load(graph_name, [*overrides, *sets], placement)


def shown(target: str) -> str:
    """Return an input as it may be shown: an address without the secrets in it."""
    if "://" not in target:
        return target
    return re.sub(r"[?#].*", "?***", re.sub(r"//.*@", "//***@", target))


def recognise(target: str, camera: str | None) -> Recognised:
    """Ask every recogniser what an input is.

    Raises:
        InputError: none knows it.
    """
    for point in metadata.entry_points(group="posestream.inputs"):
        recognised: Recognised | None = point.load()(target, camera)
        if recognised is not None:
            return recognised
    raise InputError(f"{shown(target)}: not an input that posestream knows")


def draw_graph(graph: Graph, *, mermaid: bool) -> str:
    """Draw a graph as text or as Mermaid."""
    return draw.draw_mermaid(graph) if mermaid else draw.draw_text(graph)


def _builtins() -> dict[str, str]:
    """Return the text of every built-in graph by name."""
    files = [f for f in resources.files("configs").iterdir() if f.name.endswith(".yaml")]
    return {f.name[:-5]: f.read_text() for f in sorted(files, key=lambda f: f.name)}
