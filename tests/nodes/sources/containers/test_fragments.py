"""Fragments of MP4, byte by byte as ISO/IEC 14496-12, 8.8 lays them out."""

import struct
from io import BytesIO

import numpy as np
import pytest

from nodes.sources.containers.boxes import walk
from nodes.sources.containers.fragments import NOT_A_KEY, Fragments


def box(kind: bytes, *numbers: int, inside: bytes = b"") -> bytes:
    content = b"".join(struct.pack(">I", number & 0xFFFFFFFF) for number in numbers) + inside
    return struct.pack(">I4s", 8 + len(content), kind) + content


MVEX = box(b"mvex", inside=box(b"trex", 0, 1, 1, 40, 500, NOT_A_KEY))
"""Track 1: of 40 ticks, 500 bytes, no key picture, where a fragment says nothing else."""


def runs(*parts: bytes) -> list[tuple[list[int], list[int], list[bool]]]:
    data = MVEX + box(b"moof", inside=box(b"mfhd", 0, 1) + box(b"traf", inside=b"".join(parts)))
    mvex, moof = walk(BytesIO(data), 0, len(data))
    found = Fragments(BytesIO(data), mvex, 1, [1], end=7).runs(moof)
    return [tuple(np.asarray(part).tolist() for part in run) for run in found]


def test_a_run_without_columns_takes_the_defaults_of_the_track() -> None:
    assert runs(box(b"tfhd", 0, 1), box(b"trun", 0, 3)) == [([7, 47, 87], [500] * 3, [False] * 3)]


def test_the_head_of_a_fragment_has_defaults_of_its_own() -> None:
    # base data offset (8 bytes), description, duration, size, flags
    head = box(b"tfhd", 0x3B, 1, 0, 99, 1, 25, 600, 0)
    assert runs(head, box(b"trun", 0, 2)) == [([7, 32], [600, 600], [True, True])]


@pytest.mark.parametrize(
    "start", [box(b"tfdt", 0, 1000), box(b"tfdt", 0x01000000, 0, 1000)], ids=["32 bits", "64 bits"]
)
def test_a_fragment_says_when_it_begins(start: bytes) -> None:
    assert runs(box(b"tfhd", 0, 1), start, box(b"trun", 0, 1))[0][0] == [1000]


def test_a_run_may_say_everything_of_each_sample() -> None:
    flags = 0x1 | 0x4 | 0x100 | 0x200 | 0x400 | 0x800
    rows = [10, 501, NOT_A_KEY, 20, 30, 502, NOT_A_KEY, -5]
    run = box(b"trun", flags, 2, 1234, 0, *rows)  # offset of the data, flags of the first sample
    assert runs(box(b"tfhd", 0, 1), run) == [([27, 12], [501, 502], [True, False])]
