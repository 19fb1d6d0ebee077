"""Spools: what is added comes back, whatever is read and forgotten between; no budget is passed, and nothing is kept.

An input is a row of steps, two bytes each: which of three spools of one room, what to do, and how much.  A plain row
of bytes says what each spool must answer.
"""

from __future__ import annotations

from functools import cache
from hashlib import shake_128

from fuzz.targets import memory
from netstructer.codec.spool import Spool, SpoolRoom
from netstructer.errors import Misuse, SpoolFull
from netstructer.limits import Limits

LIMITS = Limits(
    spool_memory_bytes=20_000, credit_bytes=64 << 10, spool_link_bytes=400_000, spool_free_bytes=1,
    spool_directory=memory(),
)  # fmt: skip
SIZES = (0, 1, 100, 4096, 5000, 65_535, 65_536, 65_537, 150_000, 10, 500, 3000, 4095, 4097, 6000, 9000)
"""Of chunks: small ones that are joined, and around the length of a slot.  Most are small: large ones take time."""
MOST = (150_000, 65_537, 65_536)
"""How much is read at a time."""
MOST_STEPS = 40
NOISE_BYTES = 1 << 20
"""After so many bytes what is added comes again."""
ADD, ADD_VIEW, READ, READ_LATE, FORGET, PROMISE, KEEP, CLOSE = range(8)


def seeds() -> list[bytes]:
    """Return rows of steps: one that keeps up, one that does not, one that runs full, and all kinds by turns."""
    keeps_up = bytes([ADD << 2, 5, FORGET << 2, 255]) * 4
    late = bytes([ADD << 2, 6]) * 3 + bytes([READ << 2, 40, FORGET << 2, 128]) * 3
    full = bytes([ADD << 2 | 1, 8, ADD_VIEW << 2 | 2, 7]) * 3
    promised = bytes([PROMISE << 2, 200, ADD << 2, 8, KEEP << 2, 100, ADD << 2 | 1, 8, CLOSE << 2, 0]) * 2
    return [keeps_up, late, full, promised, bytes(range(64)), bytes([ADD << 2, 3] * 30)]


def one(data: bytes) -> None:
    """Do the steps with spools and with rows, and hold the one to the other."""
    room = SpoolRoom(LIMITS)
    rows = [_Row(room, place << 18) for place in range(3)]
    promised = 0
    for at in range(0, min(len(data) - 1, 2 * MOST_STEPS), 2):
        place, what, amount = data[at] % 3, (data[at] >> 2) % 8, data[at + 1]
        row = rows[place]
        if what in (ADD, ADD_VIEW):
            row.add(SIZES[amount % len(SIZES)], view=what == ADD_VIEW)
        elif what in (READ, READ_LATE):
            row.read(amount, MOST[amount % 3])
        elif what == FORGET:
            row.forget(amount)
        elif what == CLOSE:
            row.spool.close()
            rows[place] = _Row(room, (place << 18) + 4099 * at)
        elif what == PROMISE and room.promise(amount << 10):
            promised += amount << 10
        elif what == KEEP and promised:
            count = min(promised, amount << 10)
            room.keep(count)
            promised -= count
        if what not in (READ, READ_LATE):
            _see(room, promised)
    _see(room, promised)
    room.keep(promised)
    for row in rows:
        row.see()
    assert (room.memory_bytes, room.disk_bytes, room.promised_bytes) == (0, 0, 0)
    for row in rows:
        row.spool.close()


def _see(room: SpoolRoom, promised: int) -> None:
    assert room.promised_bytes == promised
    assert room.disk_bytes + promised <= LIMITS.spool_link_bytes
    assert room.memory_bytes <= LIMITS.credit_bytes * 9 // 8


class _Row:
    """A spool, and what it must hold: a stretch of the same noise, so that nothing has to be kept twice."""

    def __init__(self, room: SpoolRoom, start: int) -> None:
        self.spool, self._start, self._count = Spool(room), start, 0

    def add(self, size: int, *, view: bool) -> None:
        start = self._at(self._count)
        chunk = memoryview(_noise())[start : start + size]
        try:
            self.spool.add(chunk if view else bytes(chunk))
        except SpoolFull:
            assert self.spool.byte_count == self._count
            return
        self._count += size
        assert self.spool.byte_count == self._count

    def read(self, amount: int, most_bytes: int) -> None:
        position = self._count * amount // 200
        try:
            found = self.spool.read(position, most_bytes)
        except Misuse:
            assert not self.spool.start <= position <= self._count
            return
        assert bool(found) == (position < self._count)
        assert _noise().startswith(found, self._at(position))

    def forget(self, amount: int) -> None:
        spool = self.spool
        spool.forget(spool.start + (spool.byte_count - spool.start) * amount // 255)

    def see(self) -> None:
        """Read to the end what is left, which is forgotten as it is read."""
        position = self.spool.start
        for piece in self.spool:
            assert _noise().startswith(piece, self._at(position))
            position += len(piece)
        assert position == self._count

    def _at(self, position: int) -> int:
        return (self._start + position) % NOISE_BYTES


@cache
def _noise() -> bytes:
    """Return noise that goes on where it ends, for as long as anything is that is read at once."""
    noise = shake_128(b"spools").digest(NOISE_BYTES)
    return noise + noise[: 2 * max(SIZES)]
