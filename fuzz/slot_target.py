"""Spool files: whatever becomes of the bytes on the disk, a slot gives back what was written, or says that it cannot.

An input is a row of steps, four bytes each: which owner, what to do (write a slot, read one, free one, and what a disk
or an intruder may do: bytes changed, two places exchanged, an old copy put back, the file cut), where, and how much.
"""

from __future__ import annotations

import os

from fuzz.targets import memory
from netstructer.codec.slots import SLOT_BYTES, SlotFile
from netstructer.errors import SourceFailed, SpoolFull
from netstructer.limits import Limits

LIMITS = Limits(spool_free_bytes=1, spool_directory=memory())
STRIDE = SLOT_BYTES + 16
SIZES = (1, 16, 100, 1000, 0, 17, 500, 4096)
OWNERS = 3
MOST_STEPS = 40
WRITE, READ, READ_OPEN, FREE, CHANGE, EXCHANGE, KEEP, PUT_BACK, CUT = range(9)

Slots = dict[int, tuple[int, int, bytes]]
"""By slot: its owner, its place in the owner's row, and what was written."""


def seeds() -> list[bytes]:
    """Return rows of steps: honest ones, and ones with each thing that can happen to the file."""
    write = b"".join(bytes([owner, WRITE, owner, size]) for owner in range(3) for size in (owner, 3))
    reads = b"".join(bytes([0, READ, place, 0]) for place in range(6))
    harms = [bytes([0, harm, 0, 1]) for harm in range(FREE, CUT + 1)]
    return [
        write + reads,
        *(write + harm + reads for harm in harms),
        write + harms[3] + harms[0] + write + harms[4] + reads,
    ]


def one(data: bytes) -> None:
    """Do the steps; each slot that is read is what was written, or `SourceFailed`, and that only after harm."""
    file = SlotFile(LIMITS)
    slots: Slots = {}
    copy, harmed = b"", False
    try:
        for at in range(0, min(len(data) - 3, 4 * MOST_STEPS), 4):
            owner, what, place, amount = data[at] % OWNERS, data[at + 1] % 9, data[at + 2], data[at + 3]
            if what == WRITE:
                plain = (data[at : at + 4] * 1024)[: SIZES[amount % 8]]
                slots[file.write(plain, owner, at)] = owner, at, plain
            elif not slots:
                continue
            slot = list(slots)[place % len(slots)]
            if what in (READ, READ_OPEN):
                _look(file, slot, slots[slot], harmed=harmed, keep=what == READ_OPEN)
            elif what == FREE:
                file.free([slot])
                del slots[slot]
            elif what == KEEP:
                copy = os.pread(file._descriptors[0], STRIDE * 4, 0)
            elif what > FREE:
                harmed = True
                _harm(file._descriptors[0], what, place, amount, copy)
        for slot, written in slots.items():
            _look(file, slot, written, harmed=harmed)
    except SpoolFull:
        pass
    finally:
        for owner in range(OWNERS):
            file.leave(owner, [slot for slot, (whose, _, _) in slots.items() if whose == owner])
    assert not file._descriptors, "the file is open still"


def _look(file: SlotFile, slot: int, written: tuple[int, int, bytes], *, harmed: bool, keep: bool = False) -> None:
    owner, position, plain = written
    try:
        found = file.read(slot, owner, position, len(plain), keep=keep)
    except SourceFailed:
        assert harmed, "a slot is lost that nobody harmed"
        return
    assert found == plain, "a slot gives back other bytes"


def _harm(descriptor: int, what: int, place: int, amount: int, copy: bytes) -> None:
    offset = place % 8 * STRIDE
    if what == CHANGE:
        found = os.pread(descriptor, 1, offset + amount)
        os.pwrite(descriptor, bytes([(found or b"\0")[0] ^ (place | 1)]), offset + amount)
    elif what == EXCHANGE:
        other = amount % 8 * STRIDE
        first, second = os.pread(descriptor, 4112, offset), os.pread(descriptor, 4112, other)
        os.pwrite(descriptor, second, offset)
        os.pwrite(descriptor, first, other)
    elif what == PUT_BACK:
        os.pwrite(descriptor, copy, 0)
    else:
        os.ftruncate(descriptor, offset + amount)
