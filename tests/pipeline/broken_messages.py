"""Breaks messages on purpose, the same ones with each seed."""

import random
from typing import Any

import msgspec

Parts = list[bytes]

VALUES: list[Any] = [
    None, True, "", "x" * 300, "data", "eos", "float32", "object", "Number", b"\xff" * 9, 1.5,
    float("nan"), float("inf"), 0, -1, 1, 255, 2**31, -(2**31), 2**63 - 1, -(2**63), 2**64 - 1,
    [], {}, [[]], {"": {}}, [["points", "float32", [3, 2]]], [["points", "float32", [-1, -6]]],
    [["points", "float32", [2**32, 2**32]]], [["points", "uint8", [1] * 70]],
    [["points", "float32", [0, 2**62]]], [["scores", "float32", [6]], ["scores", "float32", [6]]],
]  # fmt: skip

# The codes of msgpack that announce a length: of binary data, extensions, text, lists and maps.
LENGTHS = [b"\xc6", b"\xc9", b"\xdb", b"\xdd", b"\xdf", b"\xc5", b"\xc8", b"\xda", b"\xdc", b"\xde"]


class Breaker:
    """Breaks good messages, as a seed says."""

    def __init__(self, good: list[Parts], seed: int) -> None:
        self._good = good
        self._rng = random.Random(seed)
        self._ways = [
            self.flip, self.cut, self.insert, self.claim_length, self.splice, self.replace_value,
            self.nest, self.repeat,
        ]  # fmt: skip

    def next(self) -> Parts:
        """Return a message with one wrong value, or broken in one to three ways."""
        parts = list(self._rng.choice(self._good))
        if self._rng.random() < 0.5:
            return [self.replace_value(parts[0]), *parts[1:]]
        for _ in range(self._rng.randint(1, 3)):
            if self._rng.random() < 0.1 or not parts:
                parts = self.shuffle_parts(parts)
                continue
            index = 0 if self._rng.random() < 0.8 else self._rng.randrange(len(parts))
            parts[index] = self._rng.choice(self._ways)(parts[index])
        return parts

    def shuffle_parts(self, parts: Parts) -> Parts:
        """Leave out, double or swap parts."""
        return [self._rng.choice([*parts, b""]) for _ in range(self._rng.randint(0, 11))]

    def flip(self, data: bytes) -> bytes:
        """Flip bits."""
        found = bytearray(data or b"\0")
        for _ in range(self._rng.randint(1, 8)):
            found[self._rng.randrange(len(found))] ^= 1 << self._rng.randrange(8)
        return bytes(found)

    def cut(self, data: bytes) -> bytes:
        """Take out a piece, or the end."""
        start = self._rng.randint(0, len(data))
        return data[:start] + (data[start + self._rng.randint(1, 9) :] if start % 2 else b"")

    def insert(self, data: bytes) -> bytes:
        """Put noise in."""
        place = self._rng.randint(0, len(data))
        return data[:place] + self._rng.randbytes(self._rng.randint(1, 40)) + data[place:]

    def claim_length(self, data: bytes) -> bytes:
        """Announce more than there is."""
        place = self._rng.randint(0, len(data))
        claimed = self._rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
        return data[:place] + self._rng.choice(LENGTHS) + claimed + data[place + 1 :]

    def splice(self, data: bytes) -> bytes:
        """Go on as another message."""
        other = self._rng.choice(self._rng.choice(self._good))
        return data[: self._rng.randint(0, len(data))] + other[self._rng.randint(0, len(other)) :]

    def replace_value(self, data: bytes) -> bytes:
        """Give a field another value, and perhaps a field of a field."""
        try:
            found = msgspec.msgpack.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return data
        holder = found
        while isinstance(holder, dict | list) and holder:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            key = self._rng.choice(keys)
            if self._rng.random() < 0.6 or not isinstance(holder[key], dict | list):
                holder[key] = self._rng.choice(VALUES)
                break
            holder = holder[key]
        return msgspec.msgpack.encode(found)

    def nest(self, data: bytes) -> bytes:
        """Nest lists or maps deeply."""
        place = self._rng.randint(0, len(data))
        level = self._rng.choice([b"\x91", b"\x81\xa1a", b"\x81\x91", b"\xdd\0\0\0\1"])
        return data[:place] + level * self._rng.choice([5, 300, 1300, 5000]) + data[place:]

    def repeat(self, data: bytes) -> bytes:
        """Say a piece many times."""
        start = self._rng.randint(0, len(data))
        piece = data[start : start + self._rng.randint(1, 30)]
        return data[:start] + piece * self._rng.randint(2, 60) + data[start:]
