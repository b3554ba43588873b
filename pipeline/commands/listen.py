"""`posestream listen`: prints what a run publishes, and says what it missed."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.listening import Heard, Listener

ENDPOINT = re.compile(r"tcp://[^\s/]+:(?P<port>[0-9]{1,5})|ipc://\S+")
SHORT = 16  # an array of so many numbers is printed with its values
POLL_MS = 200
SILENCE_S = 5.0  # after which a listener that heard nothing says so, once
SHOWN_FAULTS = 5  # malformed messages that are described one by one


def listen(
    endpoint: Annotated[str, typer.Argument(help="Such as tcp://127.0.0.1:5601")],
    topic: Annotated[str, typer.Option(help="How the topic begins: pose.pose/ [all]")] = "",
    count: Annotated[int, typer.Option(help="End after so many messages [at the end]")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    keys: Annotated[Path | None, typer.Option(help="Folder of keys, if the run has keys")] = None,
    name: Annotated[str, typer.Option("--as", help="Whose keys of that folder these are")] = "",
    server: Annotated[str, typer.Option(help="The machine that publishes")] = "main",
) -> None:
    """Print what a run publishes, a line for each message."""
    check_endpoint(endpoint)
    if count < 0:
        raise ConfigError(f"--count must be at least 0, not {count}")
    if (keys is None) != (name == ""):
        raise ConfigError("--keys FOLDER and --as NAME go together: whose keys, and where they are")
    from pipeline.listening import Listener

    listener = Listener(endpoint, topic, _guard(keys, name, server))
    log = Log(endpoint, as_line if not as_json else as_json_line)
    try:
        _follow(listener, log, count)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:  # whoever read the lines has enough of them
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        listener.close()
        log.sum_up()


def check_endpoint(endpoint: str) -> None:
    """Check that an endpoint can be listened to.

    Raises:
        ConfigError: it cannot.
    """
    match = ENDPOINT.fullmatch(endpoint)
    if not match or not 0 < int(match["port"] or 1) < 2**16:
        raise ConfigError(
            f"{endpoint!r} is not an endpoint such as tcp://127.0.0.1:5601 or ipc:///tmp/poses"
        )


def _guard(keys: Path | None, name: str, server: str) -> Callable[[Any], None] | None:
    if keys is None:
        return None
    from pipeline.keys import guard_listener

    return lambda socket: guard_listener(socket, keys, name, server)


def _follow(listener: Listener, log: Log, count: int) -> None:
    from pipeline.wire import WireError

    while not listener.has_ended and not 0 < count <= log.heard:
        try:
            heard = listener.hear(POLL_MS)
        except WireError as error:
            log.fault(str(error))
            continue
        if heard is None:
            log.silence(POLL_MS / 1e3)
        else:
            log.message(heard)


class Log:
    """What the user sees: messages on standard output, everything else on standard error."""

    def __init__(self, endpoint: str, form: Callable[[Heard], str]) -> None:
        self.heard = 0
        self._endpoint = endpoint
        self._form = form
        self._missed = 0
        self._faults = 0
        self._silent_s = 0.0

    def message(self, heard: Heard) -> None:
        """Print a message, and what was missed before it."""
        if heard.is_anew:
            self._say(f"{heard.topic}: began anew")
        if heard.missed:
            number = heard.header.link_seq
            where = "at the beginning" if heard.missed == number else f"before {number}"
            self._say(f"{heard.topic}: missed {heard.missed} {where}")
        self.heard += 1
        self._missed += heard.missed
        typer.echo(self._form(heard))

    def fault(self, why: str) -> None:
        """Count a malformed message; the first few are described."""
        self._faults += 1
        if self._faults <= SHOWN_FAULTS:
            self._say(f"malformed message: {why}")

    def silence(self, seconds: float) -> None:
        """Note that nothing came for so long."""
        before, self._silent_s = self._silent_s, self._silent_s + seconds
        if not self.heard and before < SILENCE_S <= self._silent_s:
            self._say(f"nothing heard from {self._endpoint} yet; waiting for it")

    def sum_up(self) -> None:
        """Say how much was heard."""
        self._say(f"{self.heard} messages, {self._missed} missed, {self._faults} malformed")

    def _say(self, text: str) -> None:
        typer.echo(plain(text), err=True)


def as_line(heard: Heard) -> str:
    """Return a message as one line for people."""
    header = heard.header
    words = [heard.topic, f"#{header.link_seq}", header.kind.value]
    if header.kind.value == "eos":
        words.append(f"after {header.count}")
    else:
        words += [f"seq={header.seq}", f"stamp={header.stamp_ns / 1e9:.6f}s"]
    if header.kind.value == "gap":
        words.append(f"to {header.last}, {header.count} in all")
    words += [json.dumps(header.reason)] if header.reason else []
    words += [header.type] if header.type else []
    words += [f"{name}={_show(value)}" for name, value in _scalars(heard).items()]
    words += [f"{name}={_show_array(array)}" for name, array in heard.arrays.items()]
    return plain(" ".join(words))


def as_json_line(heard: Heard) -> str:
    """Return a message as a JSON object; NaN and infinities are null."""
    h = heard.header
    return json.dumps(
        {
            "topic": heard.topic, "link_seq": h.link_seq, "missed": heard.missed,
            "kind": h.kind.value, "stream": h.stream, "seq": h.seq, "stamp_ns": h.stamp_ns,
            "born_ns": h.born_ns, "sent_ns": h.sent_ns, "reason": h.reason, "count": h.count,
            "last": h.last, "type": h.type, "fields": finite(_scalars(heard)),
            "arrays": {name: _array_entry(array) for name, array in heard.arrays.items()},
        },
        default=str, allow_nan=False,
    )  # fmt: skip


def finite(value: Any) -> Any:
    """Return a value of lists and dictionaries with null in place of NaN and infinities."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(text: str) -> str:
    """Return a text without control characters: those of a stranger could steer the terminal."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def _scalars(heard: Heard) -> dict[str, Any]:
    """Return the fields of a message that its header does not hold already."""
    return {k: v for k, v in heard.scalars.items() if k not in ("stream", "seq", "stamp_ns")}


def _array_entry(array: Any) -> dict[str, Any]:
    entry = {"dtype": str(array.dtype), "shape": list(array.shape)}
    return entry | ({"values": finite(array.tolist())} if array.size <= SHORT else {})


def _show(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(finite(value), default=str)


def _show_array(array: Any) -> str:
    shape = "x".join(map(str, array.shape))
    if array.size > SHORT:
        return f"{array.dtype}({shape})"
    values = " ".join(f"{value:.6g}" for value in array.ravel().tolist())
    return f"{array.dtype}({shape})[{values}]"
