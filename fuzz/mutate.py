"""Changes bytes in the ways in which formats break: flipped bits, lengths that lie, pieces lost, doubled and exchanged.

Law: the same generator and the same corpus give the same inputs, on every machine, so that a run is told again by its
seed.

Chance is drawn as `int(draw.random() * n)`: a sixth of the time of `randrange`, which would otherwise be half of what
an execution of a fast target costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from fuzz.targets import LONGEST

__all__ = ["LONGEST", "mutate"]

EDGES = sorted(
    {edge for bits in (7, 8, 15, 16, 24, 31, 32, 63) for edge in ((1 << bits) - 1, 1 << bits)} | {0, 1, 2, 16}
)
"""Numbers at which a length, a count or a sign turns over."""
COUNTS = (1, 1, 1, 1, 2, 2, 4, 8)
"""How many changes one input has: mostly few, since most of what is read deeply is nearly right."""
WIDTHS = (1, 2, 4, 8)
ORDERS = ("big", "little")
TIMES = (1, 2, 3, 16, 256)

Change = Callable[[bytearray, Sequence[bytes], Callable[[], float]], None]


def mutate(data: bytes, corpus: Sequence[bytes], draw: Random) -> bytes:
    """Return one input made from `data` by one to eight changes; some of them take pieces of another in `corpus`."""
    changed, chance = bytearray(data), draw.random
    for _ in range(COUNTS[int(chance() * 8)]):
        _CHANGES[int(chance() * len(_CHANGES))](changed, corpus, chance)
    return bytes(changed[:LONGEST])


def _flip_bit(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    if data:
        data[int(chance() * len(data))] ^= 1 << int(chance() * 8)


def _set_byte(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    if data:
        data[int(chance() * len(data))] = int(chance() * 256)


def _add_small(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    if data:
        at = int(chance() * len(data))
        data[at] = (data[at] + int(chance() * 9) - 4) & 0xFF


def _set_edge(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    width = WIDTHS[int(chance() * 4)]
    edge = EDGES[int(chance() * len(EDGES))] & ((1 << 8 * width) - 1)
    at = int(chance() * max(1, len(data) - width + 1))
    data[at : at + width] = edge.to_bytes(width, ORDERS[int(chance() * 2)])


def _insert(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    at = int(chance() * (len(data) + 1))
    count = _few(chance)
    data[at:at] = int(chance() * (1 << 53)).to_bytes(7, "big") * (count // 7) + bytes(
        int(chance() * 256) for _ in range(count % 7)
    )


def _delete(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    at = int(chance() * (len(data) + 1))
    del data[at : at + _few(chance)]


def _truncate(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    del data[int(chance() * (len(data) + 1)) :]


def _repeat(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    at = int(chance() * (len(data) + 1))
    times = TIMES[int(chance() * 5)]
    data[at:at] = bytes(data[at : at + _few(chance)]) * times
    del data[LONGEST:]


def _exchange(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    size = _few(chance)
    here, there = int(chance() * (len(data) + 1)), int(chance() * (len(data) + 1))
    first, second = bytes(data[here : here + size]), bytes(data[there : there + size])
    data[here : here + len(first)], data[there : there + len(second)] = second, first


def _splice(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    other = corpus[int(chance() * len(corpus))]
    data[int(chance() * (len(data) + 1)) :] = other[int(chance() * (len(other) + 1)) :]


def _graft(data: bytearray, corpus: Sequence[bytes], chance: Callable[[], float]) -> None:
    other = corpus[int(chance() * len(corpus))]
    start = int(chance() * (len(other) + 1))
    at = int(chance() * (len(data) + 1))
    data[at : at + _few(chance)] = other[start : start + _few(chance)]


def _few(chance: Callable[[], float]) -> int:
    """Draw a length: mostly a few bytes, now and then hundreds."""
    return 1 + int(chance() * (1 << int(chance() * 9)))


_CHANGES: tuple[Change, ...] = (
    *(_flip_bit, _set_byte, _add_small, _set_edge, _insert, _delete),
    *(_truncate, _repeat, _exchange, _splice, _graft),
)
