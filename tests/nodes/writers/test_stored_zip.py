"""Archives are what `zipfile` reads, whatever their size, and cost no memory while they grow."""

import tracemalloc
import zipfile
from pathlib import Path

import pytest

from nodes.writers import stored_zip
from nodes.writers.stored_zip import StoredZip


def archive(path: Path, contents: dict[str, bytes]) -> zipfile.ZipFile:
    made = StoredZip(path)
    for name, content in contents.items():
        made.add(name, content)
    made.close()
    return zipfile.ZipFile(path)


def test_zipfile_finds_nothing_wrong_and_every_byte(tmp_path: Path) -> None:
    contents = {"a": b"", "folder/b.npy": b"\x00PK\x05\x06" * 99, "c": bytes(range(256))}
    with archive(tmp_path / "a.zip", contents) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == contents
        assert found.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("num_entries", [65_534, 65_535, 70_000])
def test_more_entries_than_the_old_form_holds_are_all_found(
    tmp_path: Path, num_entries: int
) -> None:
    contents = {str(i): str(i).encode() for i in range(num_entries)}
    with archive(tmp_path / "a.zip", contents) as found:
        assert len(found.namelist()) == num_entries
        assert found.read(str(num_entries - 1)) == str(num_entries - 1).encode()
    assert (b"PK\6\6" in (tmp_path / "a.zip").read_bytes()) == (num_entries > 65_534)


def test_entries_beyond_the_reach_of_the_old_form_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_zip, "MAX_32", 1000)  # as if 1 kB were 4 GiB
    contents = {str(i): bytes([i]) * 300 for i in range(20)}
    with archive(tmp_path / "a.zip", contents) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == contents


def test_an_archive_that_grows_costs_no_memory(tmp_path: Path) -> None:
    made = StoredZip(tmp_path / "a.zip")
    made.add("first", b"x" * 100)
    tracemalloc.start()
    for index in range(5_000):
        made.add(f"{index}-{index + 1}.npy", b"x" * 100)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    made.close()
    assert grown < 20_000


def test_the_run_folder_holds_nothing_but_the_archive(tmp_path: Path) -> None:
    made = StoredZip(tmp_path / "a.zip")
    made.add("a", b"a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    made.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
