"""The viewer that shows nothing, for machines without anyone to look."""

from pathlib import Path

from nodes.viewers import View, Viewer


class Null(Viewer):
    """Shows nothing."""

    def open(self, folder: Path, streams: tuple[str, ...]) -> None:
        """Do nothing."""

    def show(self, view: View) -> None:
        """Do nothing."""
