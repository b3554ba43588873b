"""`matches.npz`: for each pair of frames the points they have in common, for `numpy.load`.

The entry `"<seq_prev>-<seq_cur>"` is (M, 4) float32: x_prev, y_prev, x_cur, y_cur in pixels of the
original images. Entries are added as they come, and equal content gives equal bytes.
"""

import io

import numpy as np

from nodes.writers import MatchedPoints, StreamFiles, Writer
from nodes.writers.stored_zip import StoredZip


class MatchArchive(Writer[MatchedPoints]):
    """Writes `matches.npz`, which can be read once it is closed."""

    port = "matches"
    _archive: StoredZip

    def open(self, files: StreamFiles) -> None:
        """Begin the archive."""
        self._archive = StoredZip(files.path("matches", ".npz"))

    def write(self, record: MatchedPoints) -> None:
        """Add the points of a pair."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(record.points, np.float32), allow_pickle=False)
        self._archive.add(f"{record.seq_prev}-{record.seq_cur}.npy", buffer.getvalue())

    def close(self) -> None:
        """Write the table of contents."""
        self._archive.close()
