"""Images from standard input, or from a pipe with a name: one after the other, nothing between."""

import os
import select
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from nodes.sources.base import FrameSource, Picture, Selection
from nodes.sources.files import missing
from nodes.sources.image_stream import ImageStream
from nodes.sources.images import UndecodableError, decode_image
from pipeline.errors import InputError

STANDARD_INPUT = "-"
CHUNK_BYTES = 1 << 18
WAIT_S = 0.5


class StandardInput(FrameSource):
    """Concatenated JPEG, PNG, PPM and PGM images.

    It is no live source: who writes waits until the frames before are done, and nothing is lost.
    """

    replays = False

    @dataclass(frozen=True)
    class Options:
        """Where the bytes come from, and how fast the images were taken."""

        path: Annotated[str, "a pipe (mkfifo), or - for standard input"] = STANDARD_INPUT
        fps: Annotated[float, "rate in Hz of the images"] = 30.0

        def __post_init__(self) -> None:
            if not self.path:
                raise ValueError("path must name a pipe, or be - for standard input, not ''")
            if not 0 < self.fps <= 1e6:
                raise ValueError(f"fps must be above 0 and at most 1000000 Hz, not {self.fps}")

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._is_used = False

    @property
    def name(self) -> str:
        """Return "standard input" or the path of the pipe."""
        return "standard input" if self._is_standard else str(self.options.path)

    def open(self, warn: Callable[[str], None]) -> None:
        """Check that there is something to read from; nothing is read yet."""
        if not self._is_standard:
            path = Path(self.options.path)
            if not path.exists():
                raise missing(path, "pipe")
            if path.is_dir():
                raise InputError(f"{path} is a folder, not a pipe")
        elif sys.stdin is None or sys.stdin.closed:
            raise InputError(
                "standard input cannot be read in a process of its own: leave the source in the "
                "main process, without --placement processes"
            )
        elif sys.stdin.isatty():
            raise InputError(
                "standard input is the keyboard: pipe images into it, such as "
                "'cat *.jpg | posestream run -'"
            )

    def frames(self, selection: Selection) -> Iterator[Picture | None]:
        """Yield the selected images as they come, and None while none comes."""
        if self._is_used and self._is_pipe():
            raise InputError(f"{self.name} can be read only once: set loop to 1")
        self._is_used = True
        index = 0
        with self._opened() as descriptor:
            for data in ImageStream(partial(_read, descriptor), self.name):
                if data is None:
                    yield None
                    continue
                if selection.ends_before(index):
                    return
                if selection.takes(index):
                    yield self._picture(index, data)
                index += 1

    @property
    def _is_standard(self) -> bool:
        return bool(self.options.path == STANDARD_INPUT)

    def _is_pipe(self) -> bool:
        return self._is_standard or stat.S_ISFIFO(Path(self.options.path).stat().st_mode)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Give the file descriptor to read from."""
        if self._is_standard:
            yield sys.stdin.fileno()
            return
        # Without waiting for somebody who writes: to wait is the business of `_read`.
        descriptor = os.open(self.options.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _picture(self, index: int, data: bytes) -> Picture:
        stamp_ns = round(index * 1e9 / self.options.fps)
        try:
            return Picture(index, stamp_ns, decode_image(f"image {index}", data, self.empty))
        except UndecodableError as error:
            return Picture(index, stamp_ns, None, str(error))


def _read(descriptor: int) -> bytes | None:
    """Return what is there, b"" at the end; None where nothing comes for a while."""
    ready, _, _ = select.select([descriptor], [], [], WAIT_S)
    return os.read(descriptor, CHUNK_BYTES) if ready else None
