"""Changes bytes in the ways in which formats break: flipped bits, lengths that lie, pieces lost, doubled and exchanged.

Law: the same generator and the same corpus give the same inputs, on every machine, so that a run is told again by its
seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

__all__ = ["LONGEST", "mutate"]

LONGEST = 1 << 16
"""Bytes of one input: the length of a large record.  Longer ones cost time and find nothing that these do not."""

EDGES = sorted(
    {edge for bits in (7, 8, 15, 16, 24, 31, 32, 63) for edge in ((1 << bits) - 1, 1 << bits)} | {0, 1, 2, 16}
)
"""Numbers at which a length, a count or a sign turns over."""


def mutate(data: bytes, corpus: Sequence[bytes], draw: Random) -> bytes:
    """Return one input made from `data` by one to eight changes; some of them take pieces of another in `corpus`."""
    changed = bytearray(data)
    for _ in range(1 << draw.randrange(4)):
        draw.choice(_CHANGES)(changed, corpus, draw)
    return bytes(changed[:LONGEST])


def _flip_bit(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _set_byte(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.randrange(256)


def _add_small(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    if data:
        at = draw.randrange(len(data))
        data[at] = (data[at] + draw.randint(-4, 4)) & 0xFF


def _set_edge(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    width = draw.choice((1, 2, 4, 8))
    edge = draw.choice(EDGES) & ((1 << 8 * width) - 1)
    at = draw.randrange(max(1, len(data) - width + 1))
    data[at : at + width] = edge.to_bytes(width, draw.choice(("big", "little")))


def _insert(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.randbytes(_few(draw))


def _delete(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    at = draw.randrange(len(data) + 1)
    del data[at : at + _few(draw)]


def _truncate(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _repeat(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    at = draw.randrange(len(data) + 1)
    times = draw.choice((1, 2, 3, 16, 256))
    data[at:at] = bytes(data[at : at + _few(draw)]) * times
    del data[LONGEST:]


def _exchange(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    size = _few(draw)
    here, there = draw.randrange(len(data) + 1), draw.randrange(len(data) + 1)
    first, second = bytes(data[here : here + size]), bytes(data[there : there + size])
    data[here : here + len(first)], data[there : there + len(second)] = second, first


def _splice(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    other = draw.choice(corpus)
    data[draw.randrange(len(data) + 1) :] = other[draw.randrange(len(other) + 1) :]


def _graft(data: bytearray, corpus: Sequence[bytes], draw: Random) -> None:
    other = draw.choice(corpus)
    start = draw.randrange(len(other) + 1)
    at = draw.randrange(len(data) + 1)
    data[at : at + _few(draw)] = other[start : start + _few(draw)]


def _few(draw: Random) -> int:
    """Draw a length: mostly a few bytes, now and then hundreds."""
    return draw.randint(1, 1 << draw.randrange(9))


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], Random], None], ...] = (
    *(_flip_bit, _set_byte, _add_small, _set_edge, _insert, _delete),
    *(_truncate, _repeat, _exchange, _splice, _graft),
)
