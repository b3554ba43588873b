"""Files of one JSON object a line, readable while the run goes on."""

import json
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from nodes.writers import Record, StreamFiles, Writer
from nodes.writers.output import OutputFile


class JsonLines(Writer[Record]):
    """Writes a line for each record; it is on disk as soon as it is known."""

    stem: ClassVar[str]
    """What the file is called, without the name of its stream and `.jsonl`."""
    _file: OutputFile

    def open(self, files: StreamFiles) -> None:
        """Begin the file."""
        self._file = OutputFile(files.path(self.stem, ".jsonl"))

    def write(self, record: Record) -> None:
        """Add a line."""
        self._file.write(format_row(record).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def format_row(row: Any) -> str:
    """Return a dataclass as JSON: fields in their order, floats as short as reads back equal.

    Raises:
        ValueError: a number is not finite, which JSON has no word for.
    """
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return json.dumps(
        {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        },
        allow_nan=False,
    )
