"""Spools: what is added comes back, whatever is read and forgotten between; no budget is passed, and nothing is kept.

An input is a row of steps, two bytes each: which of three spools of one room, what to do, and how much.  A plain buffer
says what each spool must answer.
"""

from __future__ import annotations

from functools import cache

from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import Misuse, SpoolFull
from netstructer.limits import Limits

LIMITS = Limits(spool_memory_bytes=20_000, credit_bytes=64 << 10, spool_link_bytes=400_000, spool_free_bytes=1)
SIZES = (0, 1, 100, 4096, 5000, 65_535, 65_536, 65_537, 150_000, 10, 500, 3000, 4095, 4097, 6000, 9000)
"""Of chunks: small ones that are joined, and around the length of a slot.  Most are small: large ones take time."""
MOST = (150_000, 65_537, 65_536)
"""How much is read at a time."""
MOST_STEPS = 40
ADD, ADD_VIEW, READ, READ_LATE, FORGET, PROMISE, KEEP, CLOSE = range(8)


def seeds() -> list[bytes]:
    """Return rows of steps: one that keeps up, one that does not, one that runs full, and all kinds by turns."""
    keeps_up = bytes([ADD << 2, 5, FORGET << 2, 255]) * 8
    late = bytes([ADD << 2, 6]) * 5 + bytes([READ << 2, 40, FORGET << 2, 128]) * 5
    full = bytes([ADD << 2 | 1, 8, ADD_VIEW << 2 | 2, 7]) * 6
    promised = bytes([PROMISE << 2, 200, ADD << 2, 8, KEEP << 2, 100, ADD << 2 | 1, 8, CLOSE << 2, 0]) * 3
    return [keeps_up, late, full, promised, bytes(range(64)), bytes([ADD << 2, 3] * 60)]


def one(data: bytes) -> None:
    """Do the steps with spools and with buffers, and hold the one to the other."""
    room = SpoolRoom(LIMITS)
    spools = [Spool(room) for _ in range(3)]
    rows = [bytearray() for _ in spools]
    promised = 0
    for at in range(0, min(len(data) - 1, 2 * MOST_STEPS), 2):
        place, what, amount = data[at] % 3, (data[at] >> 2) % 8, data[at + 1]
        spool, row = spools[place], rows[place]
        if what in (ADD, ADD_VIEW):
            _add(spool, row, _chunk(SIZES[amount % len(SIZES)], at), view=what == ADD_VIEW)
        if what in (READ, READ_LATE):
            _read(spool, row, amount, MOST[amount % 3])
        if what == FORGET:
            spool.forget(spool.start + (spool.byte_count - spool.start) * amount // 255)
        if what == PROMISE and room.promise(amount << 10):
            promised += amount << 10
        if what == KEEP and promised:
            count = min(promised, amount << 10)
            room.keep(count)
            promised -= count
        if what == CLOSE:
            spool.close()
            spools[place], rows[place] = Spool(room), bytearray()
        assert room.promised_bytes == promised
        assert room.disk_bytes + promised <= LIMITS.spool_link_bytes
        assert room.memory_bytes <= LIMITS.credit_bytes * 9 // 8
    room.keep(promised)
    for spool, row in zip(spools, rows, strict=True):
        start = spool.start
        assert b"".join(spool) == row[start:]
    assert (room.memory_bytes, room.disk_bytes, room.promised_bytes) == (0, 0, 0)
    for spool in spools:
        spool.close()


def _add(spool: Spool, row: bytearray, chunk: bytes, *, view: bool) -> None:
    before = spool.byte_count
    try:
        spool.add(memoryview(bytes(10) + chunk)[10:] if view else chunk)
    except SpoolFull:
        assert spool.byte_count == before
        return
    row += chunk
    assert spool.byte_count == len(row)


def _read(spool: Spool, row: bytearray, amount: int, most_bytes: int) -> None:
    position = len(row) * amount // 200
    try:
        found = spool.read(position, most_bytes)
    except Misuse:
        assert not spool.start <= position <= len(row) or not most_bytes
        return
    assert bool(found) == (position < len(row))
    assert bytes(found) == row[position : position + len(found)]


@cache
def _chunk(size: int, seed: int) -> bytes:
    return (bytes((seed + place) % 251 for place in range(251)) * (size // 251 + 1))[:size]
