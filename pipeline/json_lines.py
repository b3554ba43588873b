"""What `--json` prints: JSON lines on stdout, one object a line, for other programs to read.

Every object has the key `event` and the fields that EVENTS lists for it; new fields and new events
may come, so that a reader should skip what it does not know. Numbers that are not finite are null.
What is meant for people goes to stderr, or nowhere. (`posestream listen --json` is not of this
kind: it prints what is published.)
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FLAG = "--json"

EVENTS: Mapping[str, Mapping[str, str]] = {
    "error": {
        "exit_code": "of the command, which ends with it",
        "problems": "list of texts, each with file, key and cure as far as there are any",
    },
    "recognised": {"input": "as it was given", "kind": "what it was taken for"},
    "note": {"text": "what is done, for people"},
    "started": {"graph": "its name", "folder": "the run folder", "nodes": "name -> its type"},
    "status": {
        "seconds": "since the start; a line comes each second",
        "captured": "frames that all sources have given",
        "expected": "frames to come in all; null where nobody knows",
        "done": "frames that have come to the end",
        "in_fps": "frames captured in a second, since the start",
        "out_fps": "frames done in a second, since the start",
        "dropped": "messages dropped by all links",
        "latency_ms": "from capture to end: {p50, p99}; null before the first",
        "reported": "numbers that nodes report, by name",
        "queued": "messages that wait, by node",
    },
    "state": {"node": "its name", "state": 'such as "signal lost"; "" is normal again'},
    "warning": {"text": "what was found"},
    "result": {
        "state": "complete, truncated, interrupted or failed",
        "why": "for a state other than complete",
        "exit_code": "of the command, which ends with it",
        "folder": "the run folder",
        "files": "what is in it",
        "seconds": "that the run took",
        "fps": "frames that came to their ends in a second",
        "balances": "for each stream and sink: {stream, sink, frames, results, skips, errors, "
        "gaps, unfinished}; frames is the sum of the others",
        "dropped": "messages dropped, by link",
        "reported": "the last numbers that nodes reported, by name",
        "failure": "which node failed, on which stream and frame; null where none did",
    },
    "checked": {"graph": "as it was given", "name": "its name", "nodes": "how many", "links": ""},
    "node": {"name": "in the graph", "type": "", "process": '"main", or its process group'},
    "link": {
        "from": "node.output",
        "to": "node.input",
        "policy": "lossless or latest",
        "window": "messages that may wait on it",
        "streams": "that travel on it",
    },
    "node_type": {
        "name": "",
        "summary": "one line",
        "inputs": "list of {name, message, optional}",
        "outputs": "list of {name, message, dense}",
        "params": "JSON Schema of its settings; only where one type was asked for",
        "plugins": "the same of its plug-ins' options, by KIND.NAME; as `params`",
    },
    "weights": {
        "name": "",
        "files": "names that the file may have",
        "licence": "",
        "allows_commercial_use": "",
        "description": "",
        "url": "where `fetch` finds it; empty where it is shipped",
        "sha256": "",
        "num_bytes": "",
        "path": "where it lies; null where it does not",
        "state": "yes, no, damaged or shipped",
    },
    "evaluation": {"...": "what evaluation.json holds"},
    "comparison": {
        "runs": "names of the runs",
        "streams": "stream -> figure -> {values, ratios, better, best}",
        "notes": "what must be known to read the figures",
    },
    "check": {
        "what": "that was looked at",
        "verdict": "ok, warn or FAIL",
        "text": "what was found",
        "cure": "the command or the change that mends it; empty for ok",
    },
    "health": {"failed": "how many checks", "warned": "", "seconds": "", "exit_code": ""},
}
"""Event -> its fields, with what they mean where the name does not say it."""


def is_asked_for(arguments: list[str]) -> bool:
    """Say whether a command line asks for JSON lines."""
    return FLAG in arguments


def emit(event: str, /, **fields: Any) -> None:
    """Print an event; if nobody reads any more, the command goes on in silence."""
    line = json.dumps(_plain({"event": event, **fields}), allow_nan=False)
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        silence()


def silence() -> None:
    """Let all that is still printed vanish: whoever read it has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value
