"""The wire format is the one of docs/protocol.md: vectors to the byte, and its tables as the code."""

import importlib.util
import json
import re
import types
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import msgpack
import numpy as np
import pytest

from nodes import messages
from nodes.vision.camera import Camera
from pipeline.messages import DTYPES, Kind, Message, array_fields
from pipeline.wire import MAX_HEADER_BYTES, MAX_PARTS, WIRE_VERSION, Header, decode, encode

DOCS = Path(__file__).parents[2] / "docs"
PROTOCOL = (DOCS / "protocol.md").read_text()
INDEX = json.loads((DOCS / "vectors" / "index.json").read_text())
TYPES = {
    name: kind
    for name, kind in vars(messages).items()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}


def _load() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("vectors", DOCS / "vectors" / "regenerate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VECTORS = _load()


def parts_of(name: str) -> list[bytes]:
    parts = VECTORS.split((DOCS / "vectors" / f"{name}.bin").read_bytes())
    assert isinstance(parts, list)
    return parts


# ------------------------------------------------------------------ vectors


def test_the_vectors_are_those_of_the_index() -> None:
    assert {path.stem for path in (DOCS / "vectors").glob("*.bin")} == set(INDEX)
    assert {INDEX[name]["header"]["kind"] for name in INDEX} == {kind.value for kind in Kind}
    assert (DOCS / "vectors" / "index.json").read_text() == VECTORS.index()


@pytest.mark.parametrize("name", INDEX)
def test_a_vector_is_encoded_to_the_byte(name: str) -> None:
    assert parts_of(name) == VECTORS.parts_of(name)


@pytest.mark.parametrize("name", INDEX)
def test_a_vector_decodes_and_encodes_again_to_the_same_bytes(name: str) -> None:
    topic, *parts = parts_of(name)
    item, number = decode(parts, TYPES)
    assert topic.decode() == INDEX[name]["topic"]
    again = encode(item, number, INDEX[name]["header"]["sent_ns"])
    assert [bytes(part) for part in again] == parts


@pytest.mark.parametrize("name", INDEX)
def test_a_vector_says_what_the_index_says_to_another_decoder(name: str) -> None:
    _, header, *buffers = parts_of(name)
    decoded = msgpack.unpackb(header)
    parts = decoded.pop("parts")
    assert decoded == INDEX[name]["header"]
    for (part, dtype, shape), buffer in zip(parts, buffers, strict=True):
        entry = INDEX[name]["arrays"][part]
        assert (dtype, shape) == (entry["dtype"], entry["shape"])
        little_endian = np.dtype(dtype).newbyteorder("<")
        expected = np.array(entry["values"]).astype(dtype)
        np.testing.assert_array_equal(np.frombuffer(buffer, little_endian).reshape(shape), expected)
    assert [part for part, _, _ in parts] == list(INDEX[name]["arrays"])


# ------------------------------------------------------------------ the document


def table(heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading of docs/protocol.md."""
    _, _, below = PROTOCOL.partition(f"# {heading}\n")
    rows = re.search(r"(^\|.*\|\n)+", below, re.MULTILINE)
    assert rows, heading
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in rows.group().splitlines()[2:]
    ]


@pytest.mark.parametrize("name", [*TYPES, "Camera"])
def test_the_document_lists_the_fields_of_every_message(name: str) -> None:
    message = TYPES.get(name, Camera)
    common = [field.name for field in fields(Message)] if name in TYPES else []
    expected = [field.name for field in fields(message) if field.name not in common]
    assert [row[0] for row in table(name)] == expected


@pytest.mark.parametrize("name", TYPES)
def test_the_document_has_dtype_and_shape_of_every_array(name: str) -> None:
    rows = {row[0]: row[1] for row in table(name)}
    for field, (array, optional) in array_fields(TYPES[name]).items():
        shapes = " or ".join(f"({', '.join(shape)})" for shape in array.shapes)
        expected = f"{' or '.join(array.dtypes)} {shapes}"
        assert rows[field] == expected + (", may be absent" if optional else ""), field


def test_the_document_lists_header_kinds_dtypes_and_limits() -> None:
    assert [row[0] for row in table("Header")] == list(get_type_hints(Header))
    assert [row[0] for row in table("Kinds")] == [kind.value for kind in Kind]
    assert {row[0] for row in table("Arrays")} == DTYPES
    assert f"wire version {WIRE_VERSION}" in PROTOCOL
    assert (MAX_HEADER_BYTES, MAX_PARTS) == (4096, 8)
    assert "at most 4096 bytes" in PROTOCOL and "at most 8 arrays" in PROTOCOL


def test_the_bytes_that_the_document_shows_are_those_of_the_vector() -> None:
    (block,) = re.findall(r"```\n([0-9a-f]{8} .*?)```", PROTOCOL, re.DOTALL)
    shown = "".join(re.split(r"\s{3,}", line.strip())[0] for line in block.splitlines())
    assert bytes.fromhex(shown) == (DOCS / "vectors" / "eos.bin").read_bytes()
