"""Cuts an input into pieces, as a network would.  Law: the same input is always cut in the same way.

A parser must not care where the reads fall.  So a target reads its input whole, and once more in pieces: a stretch of
it byte by byte (all of it, where it is short), or cut at places that are drawn from the input's own checksum.  Which of
the two is drawn from it as well, so an input that was kept fails again, and a million inputs see a million splits.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

__all__ = ["draw", "pieces", "splits"]

STRETCH = 24
"""So many bytes come one by one, somewhere in the input: more would cost more than all the rest of an execution."""
LEAST_STEP = 24
"""A random piece has up to so many bytes, or up to a half of the input."""


def draw(data: bytes) -> int:
    """Return a number that belongs to the input: what of several checks is made with it is chosen by that."""
    return crc32(data)


def pieces(data: bytes) -> list[bytes]:
    """Return the input in pieces that give it when they are joined."""
    chance = crc32(data, 1)
    if chance & 1:
        start = (chance >> 1) % max(1, len(data) - STRETCH)
        return [*_some(data[:start]), *_bytewise(data[start : start + STRETCH]), *_some(data[start + STRETCH :])]
    return _random(data, chance >> 1)


def splits(data: bytes, count: int = 3) -> Iterator[list[bytes]]:
    """Yield the input byte by byte from end to end, and in so many random splits: for what is worth a longer look."""
    yield _bytewise(data)
    for number in range(count):
        yield _random(data, crc32(data, number + 2))


def _some(data: bytes) -> tuple[bytes, ...]:
    return (data,) if data else ()


def _bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def _random(data: bytes, chance: int) -> list[bytes]:
    found, at, end = [], 0, len(data)
    most = max(LEAST_STEP, end >> 1)
    while at < end:
        chance = chance * 1_103_515_245 + 12_345 & 0x7FFF_FFFF  # glibc's old generator: chance enough, and cheap
        step = 1 + (chance >> 8) % most
        found.append(data[at : at + step])
        at += step
    return found
