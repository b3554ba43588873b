"""The tables of docs/sources.md are true: of every source, each name, test and message in them."""

import ast
import dataclasses
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import picture
from source_breaks import BREAKS, write_inputs

from nodes.sources import SOURCES, recognise

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "sources.md"
Row = list[str]


def tables() -> list[list[Row]]:
    """Return the cells of all tables of the page, without their heads."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE.read_text("utf-8"), re.MULTILINE):
        rows = [re.split(r" *\| *", line.strip("| ")) for line in block.splitlines()]
        found.append(rows[2:])
    return found


OPENED, BROKEN, ORIGINS = tables()
MESSAGES = [(row[0], *row[-2:]) for row in OPENED + BROKEN]
"""Source, "how it is broken: `message`", exit code."""


def codes(cell: str) -> Row:
    return re.findall(r"`([^`]*)`", cell)


class Device:
    """Camera 0, which gives three frames and is gone; there are no others."""

    def __init__(self, index: int) -> None:
        self.left = 0 if index or Device.is_gone else 3
        self.is_open = bool(self.left)
        Device.is_gone |= not index and self.is_open

    is_gone = False

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return self.is_open

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, picture(self.left)

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}[key]

    def set(self, key: int, value: float) -> None:
        pass

    def release(self) -> None:
        pass


def test_each_source_has_its_row_in_the_order_of_the_registry() -> None:
    assert [row[0] for row in OPENED] == [row[0] for row in ORIGINS] == SOURCES.names()
    assert {row[0] for row in BROKEN} == set(SOURCES.names())


@pytest.mark.parametrize("row", OPENED, ids=lambda row: row[0])
def test_the_tests_that_open_a_source_are_there(row: Row) -> None:
    words = re.findall(r"\]\(([^)]*)\)|`([^`]*)`", row[2])
    assert words[0][0] and words[-1][1]
    for link, name in words:
        if link:
            body = ast.parse((PAGE.parent / link).read_text("utf-8")).body
        else:
            assert name in [node.name for node in body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("row", ORIGINS, ids=lambda row: row[0])
def test_the_options_of_a_source_are_all_named(row: Row) -> None:
    known = {field.name for field in dataclasses.fields(SOURCES.load(row[0]).Options)}
    assert set(codes(row[3])) == known - {"path", "url"}


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the inputs that the page speaks of, and go there."""
    monkeypatch.chdir(tmp_path)
    write_inputs()


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("row", OPENED, ids=lambda row: row[0])
def test_an_example_is_recognised_as_its_source(row: Row) -> None:
    Path("pipe").unlink()
    os.mkfifo("pipe")
    assert codes(row[1])
    for example in codes(row[1]):
        found = recognise(example.strip("'"))
        assert found is not None and found.overrides[0] == f"params.source={row[0]}", example


def test_every_break_has_a_row_and_every_row_a_break() -> None:
    assert {(source, cell.partition(": `")[0]) for source, cell, _ in MESSAGES} == set(BREAKS)
    assert len(MESSAGES) == len(BREAKS)


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: f"{row[0]}-{row[1].split(':')[0]}")
def test_a_break_gives_its_message(
    row: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cell, code = row
    if source == "camera":
        monkeypatch.setattr(cv2, "VideoCapture", Device)
        monkeypatch.setattr(Device, "is_gone", False)
    message, given = BREAKS[source, cell.partition(": `")[0]]()
    message = message.replace(f"{Path.cwd()}/", "")
    (expected,) = codes(cell)
    pattern = re.escape(expected).replace("…", r"\S+")
    assert re.fullmatch(pattern, message), message
    assert given == code
