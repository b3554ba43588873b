"""`poses.jsonl`: one JSON object a line for each pair of frames, readable while the run goes on."""

import json
from dataclasses import asdict
from typing import Any, TextIO

from nodes.writers import PoseRow, StreamFiles, Writer


class Poses(Writer[PoseRow]):
    """Writes `poses.jsonl`; a line is on disk as soon as it is known."""

    port = "pose"
    _file: TextIO

    def open(self, files: StreamFiles) -> None:
        """Begin the file."""
        path = files.path("poses", ".jsonl")
        self._file = path.open("w", encoding="utf-8", newline="\n", buffering=1)

    def write(self, record: PoseRow) -> None:
        """Add a line."""
        self._file.write(format_row(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def format_row(row: PoseRow) -> str:
    """Return a row as JSON: fields in their order, floats as short as reads back equal.

    Raises:
        ValueError: a number is not finite, which JSON has no word for.
    """
    fields: dict[str, Any] = asdict(row)
    if row.T_cur_prev is not None:
        fields["T_cur_prev"] = row.T_cur_prev.tolist()
    return json.dumps(fields, allow_nan=False)
