"""`matches.npz` is an archive that numpy reads, with the same bytes for the same content."""

from pathlib import Path

import numpy as np

from nodes.writers import MatchedPoints, StreamFiles
from nodes.writers.matches import MatchArchive

POINTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def _write(folder: Path, records: list[MatchedPoints]) -> Path:
    writer = MatchArchive()
    writer.open(StreamFiles(folder, "cam"))
    for record in records:
        writer.write(record)
    writer.close()
    return folder / "matches.npz"


def test_numpy_reads_each_pair_by_its_frames(tmp_path: Path) -> None:
    empty = MatchedPoints(seq_prev=5, seq_cur=6, points=np.empty((0, 4), np.float32))
    path = _write(tmp_path, [MatchedPoints(seq_prev=0, seq_cur=5, points=POINTS), empty])
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == ["0-5", "5-6"]
        assert np.array_equal(archive["0-5"], POINTS)
        assert archive["0-5"].dtype == np.float32
        assert archive["5-6"].shape == (0, 4)


def test_equal_content_gives_equal_bytes_at_any_time(tmp_path: Path) -> None:
    record = MatchedPoints(seq_prev=0, seq_cur=1, points=POINTS)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = _write(tmp_path / "a", [record]).read_bytes()
    assert first == _write(tmp_path / "b", [record]).read_bytes()
    assert b"\x00\x00\x21\x00" in first  # 1980-01-01 00:00, and no clock


def test_a_stream_without_matches_leaves_an_empty_archive(tmp_path: Path) -> None:
    with np.load(_write(tmp_path, [])) as archive:
        assert archive.files == []


def test_an_archive_of_many_pairs_keeps_all(tmp_path: Path) -> None:
    records = [MatchedPoints(seq_prev=i, seq_cur=i + 1, points=POINTS + i) for i in range(1000)]
    with np.load(_write(tmp_path, records)) as archive:
        assert len(archive.files) == 1000
        assert np.array_equal(archive["998-999"], POINTS + 998)
