"""The room of a link's spools: its budgets, and their file.  Floor: CODEC.  Law: one lock, held for additions only.

Spec: docs/defaults.md, "Spools".  Every room is inside that of the process, which is a ledger: what all rooms claim of
the disk and what they have promised, together.  What is given back may be given back by the collector, in the middle of
anything, also of a thread that has the ledger's lock.  So it is noted in a deque, whose append is atomic, and booked by
whoever takes the lock next; nobody looks at a figure without booking first.

Locks are taken in the order spool, file (slots.py), ledger; none of the last two is ever held while another is taken.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from itertools import count as count_from

from netstructer.codec.slots import SLOT_BYTES, SlotFile
from netstructer.errors import Misuse, SpoolFull
from netstructer.limits import Limits

__all__ = ["JOIN_BYTES", "SpoolRoom"]

JOIN_BYTES = 4 * 1024
"""Chunks that lie together are joined up to this: a copy costs less than two objects, each byte of which counts too."""

_TAILS_SHARE = 8
"""The ends of rows may hold so small a share of the memory beyond it: as many rows have ends as there are blobs."""


class SpoolRoom:
    """What the spools of one link may hold: memory and disk, within the budgets of its `limits` and of the process.

    Bytes on disk are counted plain: their seals add 16 bytes to each slot.
    """

    __slots__ = ("_claimed", "_file", "_ledger", "_memory", "_promised", "_sealed", "limits", "owners")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._file: SlotFile | None = None
        self.owners = count_from()
        """Numbers for the spools of this room, none twice; `next` of it is atomic."""
        self._ledger = _ledger
        self._memory = self._claimed = self._sealed = self._promised = 0

    @property
    def file(self) -> SlotFile:
        """The file that the spools of this room share; it is made when one of them needs it, which most never do."""
        with self._ledger.lock:
            if self._file is None:
                self._file = SlotFile(self.limits)
            return self._file

    @property
    def memory_bytes(self) -> int:
        """What is held in memory now: chunks are counted until their last byte is forgotten."""
        self._ledger.settle()
        return self._memory

    @property
    def disk_bytes(self) -> int:
        """What lies sealed on disk now."""
        self._ledger.settle()
        return self._sealed

    @property
    def promised_bytes(self) -> int:
        """What was promised and not kept yet."""
        return self._promised

    def promise(self, count: int) -> bool:
        """Reserve disk for `count` bytes that a peer is allowed to send; False where a budget would be passed."""
        with self._ledger.lock:
            self._ledger.book()
            try:
                self._check(count)
            except SpoolFull:
                return False
            self._promised += count
            self._ledger.claimed += count
            return True

    def keep(self, count: int) -> None:
        """Give back `count` bytes of what was promised: they came and are about to be added, or will not come."""
        with self._ledger.lock:
            if not 0 <= count <= self._promised:
                raise Misuse(f"SpoolRoom.keep: {count} bytes of {self._promised} that were promised")
            self._promised -= count
            self._ledger.claimed -= count

    def place(self, held_bytes: int, count: int) -> int | None:
        """Take room for a chunk of a spool that holds `held_bytes` in memory; None where it stays in memory.

        Otherwise its bytes are claimed from the disk, and what is returned is how many of its spool may still wait in
        memory until they are sealed: less than a slot while the room's memory is within its credit, less than is worth
        a seal a little beyond that, and then none.  Raises `SpoolFull` where a budget would be passed.
        """
        credit = self.limits.credit_bytes
        with self._ledger.lock:
            self._ledger.book()
            found = self._memory + count
            if held_bytes + count <= self.limits.spool_memory_bytes and found <= credit:
                self._memory = found
                return None
            self._check(count)
            self._claimed += count
            self._ledger.claimed += count
            self._memory = found
            if found <= credit:
                return SLOT_BYTES - 1
            return JOIN_BYTES - 1 if found <= credit + credit // _TAILS_SHARE else 0

    def give(self, memory_bytes: int, claimed_bytes: int, sealed_bytes: int) -> None:
        """Give back what a spool held: of memory, of what it claimed of the disk, and of that what was sealed."""
        self.drop(memory_bytes, claimed_bytes, sealed_bytes)
        self._ledger.settle()

    def drop(self, memory_bytes: int, claimed_bytes: int, sealed_bytes: int) -> None:
        """Give back as `give` does, without a lock: for finalisers."""
        self._ledger.given.append((self, memory_bytes, claimed_bytes, sealed_bytes))

    @property
    def inherited(self) -> bool:
        """Whether this room came from the process that this one was forked from."""
        return self._ledger is not _ledger

    def _check(self, count: int) -> None:
        """Raise `SpoolFull` where `count` bytes more would pass a budget; no frame keeps it, and with it the spool."""
        for whose, limit, held in (
            ("link", self.limits.spool_link_bytes, self._claimed + self._promised),
            ("process", self.limits.spool_process_bytes, self._ledger.claimed),
        ):
            if held + count > limit:
                text = f"no room for {count} bytes: spools of this {whose} hold {held}, of at most {limit}"
                raise SpoolFull(text, limit=limit, found=held + count)

    def __del__(self) -> None:
        if self._promised:
            self._ledger.given.append((None, 0, self._promised, 0))


class _Ledger:
    """What all rooms of this process claim, and what was given back and is not booked yet."""

    __slots__ = ("claimed", "given", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.claimed = 0
        self.given: deque[tuple[SpoolRoom | None, int, int, int]] = deque()

    def settle(self) -> None:
        with self.lock:
            self.book()

    def book(self) -> None:
        """Take off what was given back; for who has the lock."""
        while self.given:
            room, memory, claimed, sealed = self.given.popleft()
            self.claimed -= claimed
            if room is not None:
                room._memory -= memory
                room._claimed -= claimed
                room._sealed -= sealed


_ledger = _Ledger()


def _after_fork() -> None:
    """Begin anew in the child: its budget is its own, and no thread that held a lock is there to give it back."""
    global _ledger
    _ledger.lock = threading.Lock()
    _ledger = _Ledger()


with contextlib.suppress(AttributeError):  # a system without fork
    os.register_at_fork(after_in_child=_after_fork)
