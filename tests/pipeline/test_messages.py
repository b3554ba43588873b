"""Messages check their arrays, and survive the wire bit for bit."""

from dataclasses import dataclass, make_dataclass
from typing import Annotated

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import Array, Item, Kind, Message
from pipeline.wire import WireError, decode, encode, read, scalars_of


@dataclass(frozen=True)
class Lens:
    focal: float
    terms: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Points(Message):
    points: Annotated[np.ndarray, Array("float32", "N 2")]
    scores: Annotated[np.ndarray, Array("float32 or uint8", "N")] | None = None
    transform: Annotated[np.ndarray, Array("float64", "4 4")] | None = None
    lens: Lens = Lens(1.0)


def points(n: int = 3, **changes: object) -> Points:
    values = {"stream": "cam", "seq": 7, "stamp_ns": -5, "points": np.ones((n, 2), np.float32)}
    return Points(**{**values, **changes})


def roundtrip(item: Item) -> Item:
    parts = [bytes(part) for part in encode(item, 3, 0)]
    decoded, number = decode(parts, {"Points": Points})
    assert number == 3
    return decoded


@given(
    n=st.integers(0, 50),
    seq=st.integers(0, 2**40),
    stamp_ns=st.integers(-(2**62), 2**62),
    stream=st.text(max_size=40),
    with_scores=st.booleans(),
    focal=st.floats(allow_nan=False),
)
def test_a_message_survives_the_wire_bit_for_bit(
    n: int, seq: int, stamp_ns: int, stream: str, with_scores: bool, focal: float
) -> None:
    rng = np.random.default_rng(n)
    message = Points(
        stream=stream, seq=seq, stamp_ns=stamp_ns, lens=Lens(focal, (0.1, focal)),
        points=rng.normal(size=(n, 2)).astype(np.float32),
        scores=rng.integers(0, 255, n).astype(np.uint8) if with_scores else None,
    )  # fmt: skip
    decoded = roundtrip(Item.data(message, 11))
    assert decoded.born_ns == 11
    received = decoded.message
    assert isinstance(received, Points)
    assert (received.stream, received.seq, received.stamp_ns) == (stream, seq, stamp_ns)
    assert received.lens == message.lens
    np.testing.assert_array_equal(received.points, message.points)
    assert (received.scores is not None) == with_scores
    if with_scores:
        np.testing.assert_array_equal(received.scores, message.scores)


def test_items_without_a_message_survive_the_wire() -> None:
    gap = Item(Kind.GAP, "cam", 4, 9, 1, reason="dropped", count=3, last=8)
    assert roundtrip(gap) == gap
    end = Item(Kind.EOS, "cam", 0, 0, reason="3 of 9", count=12)
    assert roundtrip(end) == end


def test_a_non_contiguous_array_is_sent_in_its_own_order() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 12).T
    received = roundtrip(Item.data(points(points=array), 0)).message
    assert isinstance(received, Points)
    np.testing.assert_array_equal(received.points, np.arange(24).reshape(2, 12).T)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"points": np.ones((3, 2))}, "Points.points must be float32 of shape (N, 2), not float64 of shape (3, 2)"),
        ({"points": np.ones((3, 3), np.float32)}, "Points.points must be float32 of shape (N, 2), not float32 of shape (3, 3)"),
        ({"points": None}, "Points.points must be float32 of shape (N, 2), not NoneType"),
        ({"points": [[1.0, 2.0]]}, "Points.points must be float32 of shape (N, 2), not list"),
        ({"scores": np.ones(4, np.float32)}, "Points.scores must be float32 or uint8 of shape (N), not float32 of shape (4,)"),
        ({"transform": np.ones((4, 3))}, "Points.transform must be float64 of shape (4, 4), not float64 of shape (4, 3)"),
    ],
)  # fmt: skip
def test_a_wrong_array_is_named_with_what_was_expected(changes: dict, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        points(**changes)
    assert str(caught.value) == expected


def test_arrays_of_a_message_cannot_be_written() -> None:
    message = points()
    with pytest.raises(ValueError, match="read-only"):
        message.points[0, 0] = 5


def test_a_declaration_with_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="complex64"):
        Array("complex64", "N")


def test_an_oversized_header_is_refused() -> None:
    with pytest.raises(WireError, match="exceeds 4096"):
        encode(Item.data(points(lens=Lens(1.0, tuple(range(2000)))), 0), 0, 0)


def test_more_arrays_than_a_message_may_have_are_refused() -> None:
    names = [f"array{index}" for index in range(9)]
    hints = [(name, Annotated[np.ndarray, Array("uint8", "N")]) for name in names]
    many = make_dataclass("Many", hints, bases=(Message,), frozen=True, eq=False, kw_only=True)
    values = {name: np.zeros(1, np.uint8) for name in names}
    with pytest.raises(WireError, match="9 arrays exceed 8"):
        encode(Item.data(many(stream="cam", seq=0, stamp_ns=0, **values), 0), 0, 0)


def test_parts_of_any_type_are_read_without_knowing_it() -> None:
    header, arrays = read(valid_parts())
    assert (header.type, list(arrays), arrays["points"].shape) == ("Points", ["points"], (3, 2))
    assert scalars_of(header)["lens"] == {"focal": 1.0, "terms": []}


@pytest.mark.parametrize("raw", [b"\x90", b"\x81\x01\x01", b"\x81\xa1\xff\x01"])
def test_fields_that_are_no_map_of_names_are_refused(raw: bytes) -> None:
    header, _ = read(with_header(fields=msgspec.Raw(raw)))
    with pytest.raises(WireError, match="fields: "):
        scalars_of(header)


def valid_parts() -> list[bytes]:
    return [bytes(part) for part in encode(Item.data(points(), 0), 0, 0)]


def with_header(**changes: object) -> list[bytes]:
    header, *buffers = valid_parts()
    return [msgspec.msgpack.encode({**msgspec.msgpack.decode(header), **changes}), *buffers]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], "0 parts"),
        ([b""] * 10, "10 parts"),
        ([b"\x80" * 5000], "header of 5000 bytes"),
        ([b"\xc1"], "header: "),
        ([b"\x80"], "header: Object missing required field"),
        (with_header(v=9), "wire version 9, expected 1"),
        (with_header(extra=1), "unknown field `extra`"),
        (with_header(type="Frame"), "message type 'Frame' is not one of"),
        (with_header(parts=[]), "1 buffers for 0 arrays"),
        (with_header(parts=[["points", "complex64", [3, 1]]]), "is not allowed"),
        (with_header(parts=[["other", "float32", [3, 2]]]), "is not allowed"),
        (with_header(parts=[["points", "float32", [-3, -2]]]), "is not allowed"),
        (with_header(parts=[["points", "float32", [2**31, 2**31]]]), "24 bytes do not fill"),
        (with_header(parts=[["points", "float32", [2, 3]]]), "must be float32 of shape (N, 2)"),
        (with_header(fields=msgspec.Raw(b"\x80")), "Points: Object missing required field"),
        (with_header(fields=msgspec.Raw(b"\x91" * 3000 + b"\x90")), "header: "),
        (with_header(parts=[["points", "float32", [3, 2]]] * 2), "1 buffers for 2 arrays"),
        ([*with_header(parts=[["points", "float32", [3, 2]]] * 2), bytes(24)], "is not allowed"),
        (with_header(parts=[["points", "float32", [1] * 100 + [6]]]), "array 'points' of float32"),
        (
            [with_header(parts=[["points", "float32", [2**62, 2**62, 0]]])[0], b""],
            "array 'points' of float32",
        ),
        (
            [with_header(parts=[["points", "float32", [2**64 - 1, 0]]])[0], b""],
            "array 'points' of float32",
        ),
        (with_header(kind="skip"), "skip with arrays"),
    ],
)
def test_broken_parts_are_refused_with_the_reason(parts: list[bytes], expected: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(parts, {"Points": Points})
    assert expected in str(caught.value)


@given(st.lists(st.binary(max_size=200), max_size=10))
def test_random_bytes_are_never_more_than_a_wire_error(parts: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode(parts, {"Points": Points})


@given(st.data())
def test_a_damaged_header_is_never_more_than_a_wire_error(data: st.DataObject) -> None:
    header, *buffers = valid_parts()
    position = data.draw(st.integers(0, len(header) - 1))
    damaged = bytearray(header)
    damaged[position] = data.draw(st.integers(0, 255))
    try:
        decode([bytes(damaged), *buffers], {"Points": Points})
    except WireError:
        return  # refused; otherwise the damage left a valid header
