"""Slots: up to 64 KiB each, sealed, in one file without a name.  Floor: CODEC.  Law: no nonce twice under a key.

All spools of a room share one `SlotFile`.  It is opened for the first slot, and closed when the last spool that ever
wrote there has left: so a link has one descriptor more than its socket, however many blobs wait.  Each time it is
opened it draws a key (AES-256-GCM), held in memory only; the file has no name, and whoever finds its blocks finds
noise.  The nonce is a counter of seals: it counts on where a slot is written again, where a write failed and where the
file is opened again, so it never repeats.  A byte has one spool and one position there for ever, and both are
authenticated with the slot: one read back in another's place, or as it was before it was written again, does not
verify.

Slots that were freed are written again, lowest first, so spools that are read as fast as they are written keep their
file as it is, its end is free sooner or later, and a file that is mostly free is cut.  A short slot has the place of a
whole one; what lies between them is a hole, which takes no disk where files may have holes.

Threads and the collector
-------------------------
The lock is held while a number is chosen or given back, not while a slot is sealed, written, read or opened: a number
in use belongs to one spool, whose own lock its writer and reader hold, and a file is not cut below it.  What is given
back may be given back by the collector, in the middle of anything, also of a thread that has the lock.  So it is noted
in a deque, whose append is atomic, and booked by whoever has the lock next, at the latest when they leave.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netstructer.errors import SourceFailed, SpoolFull
from netstructer.limits import Limits

__all__ = ["KEPT_SLOTS", "LOOK_BYTES", "OPENED_SLOTS", "SLOT_BYTES", "SlotFile"]

SLOT_BYTES = 64 * 1024
"""Plain bytes of one slot at most: what the processor's cache holds while it is sealed."""
LOOK_BYTES = 4 * 1024 * 1024
"""What the spools of one room write between two looks at the free disk; a short slot counts as a whole one."""
KEPT_SLOTS = 16
"""A file of so many slots is never cut: 1 MiB is not worth the calls."""
OPENED_SLOTS = 16
"""Slots of one room that were read in part and are kept open: 1 MiB, for so many readers of small pieces."""

Buffer = bytes | bytearray | memoryview

_TAG = 16
_STRIDE = SLOT_BYTES + _TAG
_COUNTER_AT = 32
"""A slot is one int, counter << 32 | number: 36 bytes of memory, where two ints in a tuple take 112."""
_NUMBER = (1 << _COUNTER_AT) - 1
_POSITIONED = hasattr(os, "pread")
_moving = threading.Lock()
"""For systems without `pread`: a descriptor has one position there, and who moves it must be alone until they act."""


class SlotFile:
    """Numbered slots in a file without a name, sealed with a key that lives here.  Thread-safe; cheap until it is used.

    A spool is an `owner`, a number that no other spool of the room ever has.  One owner calls once at a time.
    """

    __slots__ = (
        *("_cipher", "_counter", "_descriptors", "_free", "_freed", "_given", "_limits", "_lock", "_opened", "_owners"),
        *("_unlooked", "_used"),
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._given: deque[tuple[int | None, Sequence[int]]] = deque()
        self._owners: set[int] = set()
        self._descriptors: list[int] = []
        self._cipher: AESGCM | None = None
        self._used = bytearray()  # by number: whether it is in use
        self._free: list[int] = []
        self._opened: dict[int, bytes] = {}
        self._freed = self._counter = self._unlooked = 0

    def write(self, plain: Buffer, owner: int, position: int) -> int:
        """Seal up to 64 KiB into a slot, and return it.  Raises `SpoolFull` where the disk does not take it.

        From its first write on, failed or not, an owner keeps the file open until it leaves.
        """
        try:
            cipher, counter, number = self._reserve(owner)
            try:
                sealed = cipher.encrypt(counter.to_bytes(12, "big"), plain, _place(owner, position))
                _write_at(self._descriptors[0], sealed, number * _STRIDE)
            except BaseException as error:
                self.free([number])
                if isinstance(error, OSError):
                    raise SpoolFull(f"the disk takes no more of a spool: {error.strerror}") from error
                raise
        finally:
            self._settle()
        return counter << _COUNTER_AT | number

    def read(self, slot: int, owner: int, position: int, count: int, *, keep: bool = False) -> bytes:
        """Return the `count` bytes of a slot, verified; `keep` it open for who reads on.  Raises `SourceFailed`."""
        plain = self._opened.get(slot)
        if plain is not None:
            return plain
        counter, number = slot >> _COUNTER_AT, slot & _NUMBER
        assert self._cipher is not None
        try:
            sealed = _read_at(self._descriptors[0], count + _TAG, number * _STRIDE)
            plain = self._cipher.decrypt(counter.to_bytes(12, "big"), sealed, _place(owner, position))
        except OSError as error:
            raise SourceFailed(f"the disk could not read a spool back: {error.strerror}") from error
        except InvalidTag as error:
            raise SourceFailed(f"the disk gave back other bytes than a spool wrote, at byte {position}") from error
        if keep:
            with self._lock:
                self._opened[slot] = plain
                if len(self._opened) > OPENED_SLOTS:
                    del self._opened[next(iter(self._opened))]
            self._settle()
        return plain

    def free(self, slots: Sequence[int]) -> None:
        """Let slots be written again.  Never waits, so finalisers may call it; as `leave` and `close`."""
        self._given.append((None, slots))
        self._settle()

    def leave(self, owner: int, slots: Sequence[int]) -> None:
        """Free an owner's last slots; where it was the last owner, the file is closed, and its key and bytes are gone.

        An owner that wrote nothing since may leave again.
        """
        self._given.append((owner, slots))
        self._settle()

    def close(self) -> None:
        """Close the descriptor and nothing else: for a child that inherited it, where a lock may be held for ever."""
        with contextlib.suppress(IndexError):  # closed already: pop makes sure that no descriptor is closed twice
            os.close(self._descriptors.pop())

    def _settle(self) -> None:
        """Book what was given back, unless somebody has the lock: they come here when they leave."""
        while self._given and self._lock.acquire(blocking=False):
            try:
                self._book()
            finally:
                self._lock.release()

    # --- for who has the lock -----------------------------------------------------------------------------------------

    def _reserve(self, owner: int) -> tuple[AESGCM, int, int]:
        """Return the cipher, a counter and a free number that nobody else has."""
        with self._lock:
            if self._given:
                self._book()
            if not self._descriptors:
                self._open()
            self._owners.add(owner)
            self._look()
            assert self._cipher is not None
            counter = self._counter
            self._counter += 1
            if self._free:
                number = heappop(self._free)
                self._used[number] = 1
            else:
                number = len(self._used)
                self._used.append(1)
            return self._cipher, counter, number

    def _open(self) -> None:
        try:
            # A descriptor of our own: a file object in a cycle may be collected, with a warning, before its spools are.
            with tempfile.TemporaryFile(dir=self._limits.spool_directory, prefix="netstructer-", buffering=0) as file:
                self._descriptors.append(os.dup(file.fileno()))
        except OSError as error:
            raise SpoolFull(f"no file for spools could be opened: {error.strerror}") from error
        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._unlooked = LOOK_BYTES

    def _look(self) -> None:
        if self._unlooked + SLOT_BYTES > LOOK_BYTES:
            found = shutil.disk_usage(self._limits.spool_directory or tempfile.gettempdir()).free
            if found < self._limits.spool_free_bytes:
                least = self._limits.spool_free_bytes
                text = f"the disk of the spools has {found} bytes free, and {least} are left to others"
                raise SpoolFull(text, limit=least, found=found)
            self._unlooked = 0
        self._unlooked += SLOT_BYTES

    def _book(self) -> None:
        while self._given:
            owner, slots = self._given.popleft()
            for slot in slots:
                self._used[slot & _NUMBER] = 0
                heappush(self._free, slot & _NUMBER)
                self._opened.pop(slot, None)
            self._freed += len(slots)
            if owner is not None:
                self._owners.discard(owner)
        if not self._owners:
            self._used.clear()
            self._free.clear()
            self._opened.clear()
            self._freed = 0
            self._cipher = None
            self.close()
        elif len(self._used) > KEPT_SLOTS and (
            self._freed * 2 >= len(self._used) or len(self._free) == len(self._used)
        ):
            self._shrink()

    def _shrink(self) -> None:
        """Cut the file behind the last slot in use, if half of it goes."""
        self._freed = 0
        used = self._used.rfind(1) + 1
        if used * 2 > len(self._used):
            return
        with contextlib.suppress(OSError):  # then it stays as long as it is, and its slots are free
            os.ftruncate(self._descriptors[0], used * _STRIDE)
            del self._used[used:]
            self._free = [number for number in self._free if number < used]
            heapify(self._free)


def _place(owner: int, position: int) -> bytes:
    return (owner << 64 | position).to_bytes(16, "big")


def _write_at(descriptor: int, sealed: bytes, offset: int) -> None:
    rest = memoryview(sealed)
    while rest:
        if _POSITIONED:
            written = os.pwrite(descriptor, rest, offset)
        else:
            with _moving:
                os.lseek(descriptor, offset, os.SEEK_SET)
                written = os.write(descriptor, rest)
        rest, offset = rest[written:], offset + written


def _read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Return `count` bytes, or fewer where the file ends."""
    parts = []
    while count:
        if _POSITIONED:
            part = os.pread(descriptor, count, offset)
        else:
            with _moving:
                os.lseek(descriptor, offset, os.SEEK_SET)
                part = os.read(descriptor, count)
        if not part:
            break
        parts.append(part)
        count, offset = count - len(part), offset + len(part)
    return b"".join(parts)
