"""The contract between engine and node: what a node declares, is given, and yields.

A node never sees a socket, a thread or a clock. The engine calls `open` where the node runs, then
`process` once for each complete set of inputs (or `process_batch`), then `close`.

    class Matcher(Node):
        outputs = {"matches": Output(Matches)}

        def process(self, features: Features) -> Iterator[Matches | Skip]:
            ...

The inputs of a node are the keyword arguments of its `process`: their names are the names of the
ports, their annotations the messages they take, and an argument with a default is optional.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline.messages import Message

__all__ = [
    "Break",
    "Lost",
    "Message",
    "NoParams",
    "Node",
    "Notice",
    "Output",
    "Resources",
    "Skip",
    "Source",
    "TruncatedError",
    "Unreadable",
]


@dataclass(frozen=True)
class Output:
    """An output port.

    A dense port answers every input key `(stream, seq)` with exactly one message or `Skip`; a
    sparse port sends when it has something, and cannot be joined exactly.
    """

    message: type[Message]
    dense: bool = True


@dataclass(frozen=True)
class Skip:
    """Yielded in place of a message: this input has no result, for an ordinary `reason`."""

    reason: str


@dataclass(frozen=True)
class Break:
    """Yielded in place of a message: no result, and the stream breaks here: a declared gap."""

    reason: str


@dataclass(frozen=True)
class Unreadable:
    """Yielded by a source in place of a frame that exists but cannot be decoded."""

    seq: int
    stamp_ns: int
    reason: str


@dataclass(frozen=True)
class Lost:
    """Yielded by a source in place of what it missed while its signal was gone: a declared gap.

    It takes one `seq` of its own, as nobody knows how many frames there would have been, and the
    stream is not continuous across it.
    """

    seq: int
    stamp_ns: int
    reason: str


class TruncatedError(Exception):
    """Raised by a source whose recording ends before its claimed end; what came before is valid."""


@dataclass(frozen=True)
class Notice:
    """What the engine tells a node about keys that bring no message.

    A "skip" or "break" was yielded by a node, an "error" is an input that could not be decoded, and
    a "gap" are `count` keys, from `seq` on, that were dropped on the way.
    """

    kind: Literal["skip", "error", "break", "gap"]
    stream: str
    seq: int
    stamp_ns: int
    reason: str
    count: int = 1


@dataclass(frozen=True)
class Resources:
    """What the engine hands to a node in `open`."""

    node: str = "node"
    """Name of the node in the graph; a source uses it as the name of its stream."""
    streams: tuple[str, ...] = ()
    """Names of all streams of the graph, in the order of the configuration."""
    out: Path = Path()
    """The run folder; nodes write nowhere else."""
    seed: int = 0
    """Seed of the run, to be mixed with stream and seq."""
    batch: int = 1
    """The most messages that `process_batch` is given."""
    threads: int = 1
    """Number of threads that a library may use inside this node."""
    empty: Callable[[tuple[int, ...], npt.DTypeLike], npt.NDArray[Any]] = np.empty
    """Makes a large array for a message, where other processes can read it without a copy; once the
    message is yielded, nobody may write to it."""
    report: Callable[[str, float], None] = field(default=lambda name, value: None)
    """Shows a named number in the status line, such as `report("inliers", 371)`."""
    state: Callable[[str], None] = field(default=lambda text: None)
    """Shows in the status line what state the node is in, such as "signal lost"; "" is none."""
    warn: Callable[[str], None] = field(default=lambda text: None)
    """Prints a warning to the user, once for each text."""


@dataclass(frozen=True)
class NoParams:
    """The parameters of a node that has none."""


class Node:
    """Base of all nodes. Construction is cheap; `open` loads what is heavy."""

    Params: ClassVar[type] = NoParams
    outputs: ClassVar[Mapping[str, Output]] = {}
    stateless: ClassVar[bool] = False
    """Whether `process` depends on its arguments alone, which allows `workers: N`."""
    memory: ClassVar[int | None] = None
    """On how many earlier messages of the stream the results depend; None: on all of them. What
    stateless nodes do depends on none. Where it is known, a dead process can be restarted."""

    process: Callable[..., Iterable[Any]]
    """Called with one message for each input; yields messages, or `Skip`, or `Break`."""

    def __init__(self, params: Any = None) -> None:
        self.params = self.Params() if params is None else params
        self.resources = Resources()

    def open(self, resources: Resources) -> None:
        """Prepare to run; called once, where the node runs."""
        self.resources = resources

    def process_batch(self, messages: Sequence[Any]) -> Iterable[Any]:
        """Process several messages of the only input; yield one result for each, in order."""
        for message in messages:
            yield from self.process(message)

    def notice(self, port: str, notice: Notice) -> None:
        """Hear of keys that bring no message on `port`; the engine passes them on by itself."""

    def flush(self, stream: str) -> Iterable[Message]:
        """Yield what remains for the sparse outputs after the last message of `stream`."""
        return ()

    def close(self) -> None:
        """Finish all outputs; called once after `open`, also when the run fails."""


def memory_of(node_class: type[Node]) -> int | None:
    """Return on how many earlier messages the results of a node depend; None: on all."""
    return 0 if node_class.stateless else node_class.memory


class Source(Node):
    """A node without inputs that starts one stream, named after the node."""

    replays: bool = True
    """Whether `produce` gives the same to a process that is started again; a pipe does not."""
    live: bool = False
    """Whether frames arrive by themselves (a camera) and are dropped when nobody has time."""

    def produce(self) -> Iterator[Message | Unreadable | Lost | None]:
        """Yield the stream in order of `seq`; may raise `TruncatedError` at its end.

        A source that waits for its signal yields None, "nothing yet", at least every half second:
        the engine can then end it, and does not take it for one that hangs.
        """
        raise NotImplementedError  # every source overrides it

    def length(self) -> int | None:
        """Return the number of messages to expect, or None when unknown; valid after `open`."""
        return None
