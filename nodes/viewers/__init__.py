"""Viewers: each shows the results of all streams, frame by frame, in its own way.

The visualiser makes one viewer and hands it a `View` for each frame. The `null` viewer shows
nothing, so that nothing else has to ask whether to show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from pipeline.registry import Registry

VIEWERS = Registry(
    "viewer",
    {
        "null": "nodes.viewers.null:Null",
        "video": "nodes.viewers.video:Video",
    },
    group="posestream.viewers",
)


@dataclass(frozen=True, eq=False, kw_only=True)
class View:
    """One frame and what is known about it; points are (x, y) pixels of the image."""

    stream: str
    seq: int
    stamp_ns: int
    image: npt.NDArray[np.uint8]
    """(H, W[, 3]), RGB or grey."""
    keypoints: npt.NDArray[np.float32]
    """(N, 2), all that were detected."""
    trails: npt.NDArray[np.float32]
    """(M, L, 2), L >= 2: of each match the point now, in the frame before and so on, then NaN."""
    inliers: npt.NDArray[np.bool_] | None = None
    """(M,), None where no pose was looked for."""
    title: str = ""
    """Which frame this is, in words."""
    state: str = ""
    """What became of it, in words."""
    mood: Literal["good", "bad", "neutral"] = "neutral"
    """Whether the state is as it should be."""
    facts: str = ""
    """Figures worth showing."""


@dataclass(frozen=True)
class NoOptions:
    """The options of a viewer that has none."""


class Viewer:
    """Base of all viewers."""

    Options: ClassVar[type] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.options = self.Options() if options is None else options

    def open(self, folder: Path, streams: tuple[str, ...]) -> None:
        """Prepare to show the named streams; a viewer that writes does so in `folder`."""
        raise NotImplementedError  # every viewer overrides it

    def show(self, view: View) -> None:
        """Show a frame; those of one stream come in order."""
        raise NotImplementedError  # every viewer overrides it

    def close(self) -> None:
        """Finish, also when the run fails."""
