"""Small node types for the tests of configurations and graphs: they are checked, never run."""

import datetime
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pipeline.errors import MissingDependencyError
from pipeline.messages import Message
from pipeline.node import Node, Output, Source
from pipeline.registry import Registry


@dataclass(frozen=True, eq=False, kw_only=True)
class Frame(Message):
    pass


@dataclass(frozen=True, eq=False, kw_only=True)
class Points(Message):
    pass


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs(Message):
    pass


@dataclass(frozen=True, eq=False, kw_only=True)
class Note(Message):
    pass


READERS = Registry(
    "reader",
    {
        "file": "graph_nodes:FileReader",
        "live": "graph_nodes:LiveReader",
        "null": "graph_nodes:NullReader",
        "heavy": "module_that_is_not_installed:Heavy",
        "broken": "graph_nodes:Absent",
    },
    extras={"module_that_is_not_installed": "heavy"},
)


class FileReader:
    @dataclass(frozen=True)
    class Options:
        path: Annotated[Path | str, "file"] = ""
        step: Annotated[int, "take every n-th"] = 1

        def __post_init__(self) -> None:
            if self.step < 1:
                raise ValueError(f"step must be 1 or more, not {self.step}")


class LiveReader:
    @dataclass(frozen=True)
    class Options:
        device: Annotated[int, "index"] = 0


class NullReader:
    pass


class Camera(Source):
    """A source with a plug-in."""

    @dataclass(frozen=True)
    class Params:
        reader: Annotated[str, READERS, "what reads"] = "file"
        options: Annotated[object, "of the reader"] = None

    outputs: ClassVar = {"frame": Output(Frame)}

    @property
    def live(self) -> bool:  # type: ignore[override]
        return self.params.reader == "live"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Grid:
    rows: int = 4
    cells: tuple[int, int] = (2, 3)


class Finder(Node):
    """Takes batches and several workers, and has a setting of every type."""

    @dataclass(frozen=True)
    class Params:
        threshold: Annotated[float, "contrast"] = 0.04
        limit: Annotated[int | None, "most points"] = None
        mode: Annotated[Literal["fast", "good"], "how"] = "fast"
        colour: Annotated[Colour, "of the channel"] = Colour.RED
        mask: Annotated[Path | str, "file"] = ""
        folder: Annotated[Path, "folder"] = Path()
        upright: Annotated[bool, "whether"] = False
        label: Annotated[str, "text"] = "point"
        grid: Annotated[Grid, "cells"] = Grid()
        grids: Annotated[tuple[Grid, ...], "more cells"] = ()
        sizes: Annotated[tuple[float, ...], "pixels"] = (1.0, 2.0)
        weights: Annotated[dict[str, float], "by name"] = field(default_factory=dict)
        day: Annotated[datetime.date | None, "of a type that has no words of ours"] = None

        def __post_init__(self) -> None:
            if self.threshold <= 0:
                raise ValueError(f"threshold must be above 0, not {self.threshold:g}")
            if self.mode == "good" and self.upright:
                raise ValueError("upright points cannot be good")
            if self.label == "none":
                raise ValueError("a label is needed")

    outputs: ClassVar = {"points": Output(Points)}
    stateless = True

    def process(self, frame: Frame) -> Iterator[Points]:
        yield from ()

    def process_batch(self, messages: Sequence[Frame]) -> Iterator[Points]:
        yield from ()


class Matcher(Node):
    """Remembers the last points."""

    outputs: ClassVar = {"pairs": Output(Pairs)}

    def process(self, points: Points) -> Iterator[Pairs]:
        yield from ()


class Marker(Node):
    """Has a sparse output."""

    outputs: ClassVar = {"note": Output(Note, dense=False)}

    def process(self, frame: Frame) -> Iterator[Note]:
        yield from ()


class Reader(Node):
    """Has a dense output."""

    outputs: ClassVar = {"points": Output(Points)}

    def process(self, note: Note) -> Iterator[Points]:
        yield from ()


class View(Node):
    """Needs a frame, and takes whatever else there is."""

    def process(
        self, frame: Frame, points: Points | None = None, pairs: Pairs | None = None
    ) -> None:
        pass


class Blend(Node):
    """Joins frames and points; its output is dense."""

    outputs: ClassVar = {"frame": Output(Frame)}

    def process(self, frame: Frame | None = None, points: Points | None = None) -> Iterator[Frame]:
        yield from ()

    def process_batch(self, messages: Sequence[Any]) -> Iterator[Frame]:
        yield from ()


class Writer(Node):
    """Takes anything, one at a time, by writers that are plug-ins without options."""

    @dataclass(frozen=True)
    class Params:
        readers: Annotated[tuple[str, ...], READERS, "which"] = ("file",)

    def process(
        self, points: Points | None = None, pairs: Pairs | None = None, note: Note | None = None
    ) -> None:
        pass


class TwoOutputs(Source):
    outputs: ClassVar = {"a": Output(Frame), "b": Output(Points)}


class SameOutputs(Node):
    outputs: ClassVar = {"a": Output(Frame), "b": Output(Frame)}

    def process(self, frame: Frame) -> None:
        pass


class NoMessage(Node):
    def process(self, number: int) -> None:
        pass


class NoProcess(Node):
    pass


class NoDataclass(Node):
    Params: ClassVar[type] = dict

    def process(self, frame: Frame) -> None:
        pass


class Uncheckable(Node):
    @dataclass(frozen=True)
    class Params:
        thing: Annotated[Node | None, "a setting that no text can be"] = None

    def process(self, frame: Frame) -> None:
        pass


class Needy(Node):
    """Can refuse its options, and has a setting without a default."""

    @dataclass(frozen=True)
    class Params:
        rate: Annotated[float, "Hz"]
        reader: Annotated[str, READERS, "what reads"] = "file"
        options: Annotated[object, "of the reader"] = None

        def __post_init__(self) -> None:
            if isinstance(self.options, FileReader.Options) and self.options.step > self.rate:
                raise ValueError(f"rate must be at least the step, not {self.rate:g}")

    def process(self, frame: Frame) -> None:
        pass


class Plain:
    """Is no node."""


def heavy() -> None:
    raise MissingDependencyError("never called")


NODES = Registry(
    "node type",
    {
        name: f"graph_nodes:{name.capitalize()}"
        for name in ("camera", "finder", "matcher", "marker", "reader", "view", "blend", "writer")
    },
)


class Origin(Source):
    outputs: ClassVar = {"frame": Output(Frame)}


class Relay(Node):
    outputs: ClassVar = {"frame": Output(Frame)}
    stateless = True

    def process(self, frame: Frame) -> Iterator[Frame]:
        yield from ()

    def process_batch(self, messages: Sequence[Frame]) -> Iterator[Frame]:
        yield from ()


class Meet(Node):
    """Joins up to three inputs."""

    outputs: ClassVar = {"frame": Output(Frame)}
    stateless = True

    def process(
        self, a: Frame | None = None, b: Frame | None = None, c: Frame | None = None
    ) -> Iterator[Frame]:
        yield from ()
