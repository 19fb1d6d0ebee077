"""Slots: up to 64 KiB each, sealed, in a file without a name.  Floor: CODEC.  Law: no nonce twice under a key.

Every file has a key of its own (AES-256-GCM), drawn when the file is opened and held in memory only; the file has no
name, and whoever finds its blocks finds noise.  The nonce is a counter of seals: it counts on where a slot is written
again and where a write failed, so it never repeats under its key.  A byte of a spool has one position for ever, and the
position is authenticated with the slot: a slot read back in another's place, or as it was before it was written again,
does not verify.  The key is the file's identity: a slot of another file is sealed under another key.

Slots that were freed are written again, lowest first, so a spool that is read as fast as it is written keeps its file
as it is, its end is free sooner or later, and a file that is mostly free is cut.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from netstructer.errors import SourceFailed, SpoolFull
from netstructer.limits import Limits

__all__ = ["KEPT_SLOTS", "LOOK_BYTES", "SLOT_BYTES", "SlotFile"]

SLOT_BYTES = 64 * 1024
"""Plain bytes of one slot at most: what the processor's cache holds while it is sealed."""
LOOK_BYTES = 4 * 1024 * 1024
"""What one spool writes between two looks at the free disk."""
KEPT_SLOTS = 16
"""A file of so many slots is never cut: 1 MiB is not worth the calls."""

Buffer = bytes | bytearray | memoryview

_TAG = 16
_STRIDE = SLOT_BYTES + _TAG
_COUNTER_AT = 32
"""A slot is one int, counter << 32 | number: 36 bytes of memory, where two ints in a tuple take 112."""
_NUMBER = (1 << _COUNTER_AT) - 1
_POSITIONED = hasattr(os, "pread")


class SlotFile:
    """Numbered slots in a file without a name, sealed with a key that lives here.  For who has its spool's lock."""

    __slots__ = ("_cipher", "_counter", "_descriptors", "_free", "_freed", "_limits", "_slots", "_unlooked")

    def __init__(self, limits: Limits) -> None:
        """Open the file.  Raises `SpoolFull` where that cannot be."""
        self._limits = limits
        self._slots = self._freed = self._counter = 0
        self._free: list[int] = []
        self._unlooked = LOOK_BYTES
        try:
            # A descriptor of our own: a file object in a cycle may be collected, with a warning, before its spool is.
            with tempfile.TemporaryFile(dir=limits.spool_directory, prefix="netstructer-", buffering=0) as file:
                self._descriptors = [os.dup(file.fileno())]
        except OSError as error:
            raise SpoolFull(f"no file for a spool could be opened: {error.strerror}") from error
        self._cipher = AESGCM(AESGCM.generate_key(256))

    def write(self, plain: Buffer, position: int) -> int:
        """Seal up to 64 KiB into a slot, and return it.  Raises `SpoolFull` where the disk does not take it."""
        number = heappop(self._free) if self._free else self._slots
        counter = self._counter
        self._counter += 1
        self._slots = max(self._slots, number + 1)
        try:
            self._look(len(plain))
            sealed = self._cipher.encrypt(counter.to_bytes(12, "big"), plain, position.to_bytes(8, "big"))
            _write_at(self._descriptors[0], sealed, number * _STRIDE)
        except BaseException as error:
            heappush(self._free, number)
            if isinstance(error, OSError) and not isinstance(error, SpoolFull):
                raise SpoolFull(f"the disk takes no more of a spool: {error.strerror}") from error
            raise
        return counter << _COUNTER_AT | number

    def read(self, slot: int, position: int, count: int) -> bytes:
        """Return the `count` bytes of a slot, verified.  Raises `SourceFailed`."""
        counter, number = slot >> _COUNTER_AT, slot & _NUMBER
        try:
            sealed = _read_at(self._descriptors[0], count + _TAG, number * _STRIDE)
            return self._cipher.decrypt(counter.to_bytes(12, "big"), sealed, position.to_bytes(8, "big"))
        except OSError as error:
            raise SourceFailed(f"the disk could not read a spool back: {error.strerror}") from error
        except InvalidTag as error:
            raise SourceFailed(f"the disk gave back other bytes than a spool wrote, at byte {position}") from error

    def free(self, slot: int) -> None:
        """Let a slot be written again."""
        heappush(self._free, slot & _NUMBER)
        self._freed += 1

    @property
    def loose(self) -> bool:
        """Whether `shrink` is worth a call: half of the slots were freed since the last one, or all are free."""
        return self._slots > KEPT_SLOTS and (self._freed * 2 >= self._slots or len(self._free) == self._slots)

    def shrink(self, slots: Iterable[int]) -> None:
        """Cut the file behind the last of `slots`, which are all that are held, if half of it goes."""
        self._freed = 0
        used = 1 + max((slot & _NUMBER for slot in slots), default=-1)
        if used * 2 > self._slots:
            return
        with contextlib.suppress(OSError):  # then it stays as long as it is, and its slots are free
            os.ftruncate(self._descriptors[0], used * _STRIDE)
            self._slots = used
            self._free = [number for number in self._free if number < used]
            heapify(self._free)

    def close(self) -> None:
        """Close the file; its bytes are gone with it, and its key with this object."""
        with contextlib.suppress(IndexError):  # closed already: pop makes sure that no descriptor is closed twice
            os.close(self._descriptors.pop())

    def _look(self, count: int) -> None:
        if self._unlooked + count > LOOK_BYTES:
            found = shutil.disk_usage(self._limits.spool_directory or tempfile.gettempdir()).free
            if found < self._limits.spool_free_bytes:
                least = self._limits.spool_free_bytes
                text = f"the disk of the spools has {found} bytes free, and {least} are left to others"
                raise SpoolFull(text, limit=least, found=found)
            self._unlooked = 0
        self._unlooked += count


def _write_at(descriptor: int, sealed: bytes, offset: int) -> None:
    rest = memoryview(sealed)
    while rest:
        if _POSITIONED:
            written = os.pwrite(descriptor, rest, offset)
        else:
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
            os.lseek(descriptor, offset, os.SEEK_SET)
            part = os.read(descriptor, count)
        if not part:
            break
        parts.append(part)
        count, offset = count - len(part), offset + len(part)
    return b"".join(parts)
